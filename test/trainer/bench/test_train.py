"""`npm run bench:train` in small: everything runs, the document has its form, ways are compared like with like."""

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from bench.rounds import Times, in_turns
from bench.train.__main__ import main
from bench.train.loader import DECODERS, SIZES, photograph
from bench.train.report import Item, Row, run_items, table
from warm import ROOT, STAGE_ENV, warm_python


@pytest.fixture(scope="module")
def document():
    command = [warm_python(), "-W", "ignore", "-m", "bench.train", "--quick", "--json"]
    done = subprocess.run(command, env=STAGE_ENV, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(done.stdout)


def test_every_row_has_a_figure_or_the_reason_why_there_is_none(document):
    rows = document["rows"]
    assert len({row["what"] for row in rows}) == len(rows)
    for row in rows:
        assert ("value" in row and math.isfinite(row["value"]) and row["value"] >= 0) != ("left_out" in row)
    # Only a decoder may be absent.
    assert all(row["what"].startswith("crops") for row in rows if "left_out" in row)
    assert document["machine"]["threads"] >= 1 and document["versions"]["torch"] and document["quick"] is True
    text = table(document)
    assert all(row["what"] in text for row in rows) and "nothing of speed" in text


def test_ratios_and_the_closed_form_follow_from_the_figures_beside_them(document):
    value = {row["what"]: row["value"] for row in document["rows"] if "value" in row}
    for stage in ("embed_captions", "contrastive"):
        packed, padded = (value[f"{stage}, tokens a second, {way}"] for way in ("packed", "padded"))
        assert value[f"{stage}, packed against padded"] == pytest.approx(packed / padded, rel=2e-3)
    flop, most = (
        value["ViT-L/14-224, cached texts, a pair"] * 1e9,
        value["an H100 at all of its 989 TFLOP/s, images a second"],
    )
    assert most == pytest.approx(989e12 / flop, rel=2e-3)
    assert value["share of them that 900 images a second take"] == pytest.approx(100 * 900 / most, rel=2e-3)


def test_every_decoder_makes_nearly_the_same_crop():
    for size in SIZES:
        data = photograph(3, size)
        expected = DECODERS["Pillow"]()(data, "seed").astype(int)
        for name, make in DECODERS.items():
            try:
                found = make()(data, "seed")
            except (ImportError, OSError, RuntimeError):
                continue  # not installed, or its compiled half does not fit the torch that is
            assert found.shape == expected.shape and found.dtype == np.uint8
            assert np.abs(found - expected).mean() < 4, name


def test_ways_take_turns_and_none_is_always_first():
    order: list[str] = []
    ways = {name: lambda number, name=name: order.append(f"{name}{number}") for name in ("a", "b")}
    times = in_turns(ways, 3, torch.device("cpu"))
    assert order == ["a0", "b0", "b1", "a1", "a2", "b2", "b3", "a3"]
    assert {name: len(seconds) for name, seconds in times.seconds.items()} == {"a": 3, "b": 3}


def test_a_ratio_is_that_of_rounds_whatever_slowed_some_of_them():
    times = Times({"a": [1.0, 10.0, 2.0], "b": [2.0, 20.0, 1.0]})
    assert (times.median("a"), times.median("b"), times.ratio("b", "a")) == (2.0, 2.0, 2.0)


def test_what_breaks_or_does_not_fit_leaves_the_rest(capsys):
    def broken() -> Iterator[Row]:
        yield {"what": "half", "value": 1.23456, "unit": "s", "least": 1.0}
        raise RuntimeError("no such kernel")

    items = [
        Item("broken", 1, broken),
        Item("long", 500, broken),
        Item("last", 1, lambda: [{"what": "x", "value": 2.0, "unit": "x", "most": 1.0}]),
    ]
    rows = run_items(items, time.monotonic(), 60)
    assert [row["what"] for row in rows] == ["half", "broken", "long", "x"]
    assert rows[0].get("value") == 1.235 and rows[1].get("failed") and "no such kernel" in rows[1].get("left_out", "")
    assert "--only 'long' --minutes 17" in rows[2].get("left_out", "")
    assert "[3/3] last: 0 s so far" in capsys.readouterr().err
    text = table(
        {
            "machine": {"device": "d", "threads": 1, "dtype": "t"},
            "seconds": 1,
            "versions": {},
            "quick": False,
            "rows": rows,
        }
    )
    assert ">= 1  pass" in text and "<= 1  MISS" in text


def test_a_word_that_names_nothing_is_refused_with_what_there_is(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench:train", "--only", "nothing"])
    assert main() == 2
    assert "nothing is called nothing; there are attention, closed form," in capsys.readouterr().err
