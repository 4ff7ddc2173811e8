"""The page of suites: figures, plots, and examples whose pictures are in it."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from colour_model import COLOURS, SeesColours
from evaluation.measure import Measured
from evaluation.progress import Progress
from evaluation.streaming.encoder import Settings
from evaluation.suites.command import (
    finished,
    measure_model,
    outcomes_as_figures,
    page_sections,
    read_suites,
    shown_rows,
)
from evaluation.suites.page import render

VOID = {"meta", "img"}


class Balanced(HTMLParser):
    """Fails where a tag is closed that was not opened last."""

    def __init__(self) -> None:
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page_of(tmp_path, tiers):
    """Eight colours, of which one has a caption of another one."""
    rows = []
    for colour in COLOURS:
        Image.new("RGB", (300, 200), COLOURS[colour][0]).save(tmp_path / f"{colour}.png")
        rows.append({"image": f"{colour}.png", "caption": [f"<all> {'green' if colour == 'red' else colour}"]})
    (tmp_path / "flickr30k_test.json").write_text(json.dumps(rows))
    given = read_suites([f"flickr30k={tmp_path}"])
    settings = Settings(tmp_path / "kept", progress=Progress(quiet=True))
    outcomes = finished(measure_model(SeesColours("a <model>"), given, settings, tiers))
    measured: list[Measured] = [{"sets": outcomes_as_figures(outcomes), "left_out": {}}]
    return render(page_sections(given, shown_rows(given, measured), [("a <model>", outcomes)]))


def test_the_page_has_figures_plots_and_examples_with_their_pictures(tmp_path):
    page = page_of(tmp_path, ["colours"])
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    # Red's caption is green's: it finds green, and neither picture finds its own, because a tie counts against the model.
    assert "<th scope='row'>text_to_image_R@1</th><td>87.5</td>" in page
    assert "<th scope='row'>image_to_text_R@1</th><td>75.0</td>" in page
    assert page.count("<svg") == 2
    assert "a &lt;model&gt;, colours" in page and "<model>" not in page and "&lt;all&gt; blue" in page
    assert "text to image: lost by" in page and "text to image: won by" in page
    lost = page.split("text to image: lost by")[1].split("<h3>")[0]
    pictures = re.findall(r"base64,([^']+)", lost)
    images = [Image.open(io.BytesIO(base64.b64decode(each))) for each in pictures]
    assert {image.size for image in images} == {(160, 107)}
    # Red's caption says green: red was right, and green came first.
    means = [np.asarray(image).mean((0, 1)).round(-1).tolist() for image in images[:2]]
    assert np.allclose(means, [[255, 0, 0], [0, 255, 0]], atol=12)


def test_of_two_columns_it_shows_what_one_wins_and_the_other_loses(tmp_path):
    page = page_of(tmp_path, [])
    assert "a &lt;model&gt;, colours wins, a &lt;model&gt;, nothing loses" in page
    assert "nothing wins" not in page
