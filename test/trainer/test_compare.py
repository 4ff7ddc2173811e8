"""Stage `compare`: means and deviations over seeds, intervals over items, a table; values from the closed form."""

import json
import statistics

import numpy as np
import pytest
import torch

from support import run_stage, write_job
from towers.items import read_items, write_items
from towers.metrics import mean_recall_per_image, retrieval

CONFIG = {"variants": ["more"], "seeds": [1, 2], "seeded_from": "clip", "at": "clip", "bootstrap_samples": 200}


def measured(folder, metrics, items=None):
    """A finished run with these figures."""
    folder.mkdir()
    report = {"id": "clip", "stage": "clip", "status": "succeeded", "started_at": "2026-01-01T00:00:00.000Z",
              "seconds": 90, "device": "cpu", "metrics": metrics, "artefacts": {}, "notes": []}  # fmt: skip
    (folder / "report.json").write_text(json.dumps(report))
    if items is not None:
        write_items(folder, {name: np.array(values) for name, values in items.items()})
    return folder


def compare(folder, runs, metrics, expect=0):
    """The report and the document of a comparison of these runs, by role."""
    config = CONFIG | {"metrics": metrics}
    report = run_stage(write_job(folder, "compare", runs, config), expect)
    document = folder / "compare" / "comparison.json"
    return report, json.loads(document.read_text()) if document.exists() else {}


def test_a_variant_that_is_better_on_every_item_by_the_same_amount_has_an_interval_of_no_width(tmp_path):
    base = [0.0, 0.25, 0.5, 0.25]
    runs = {}
    for seed, shift in ((1, 0.0), (2, 0.1)):
        for name, better in (("base", 0.0), ("more", 0.25)):
            items = [value + shift + better for value in base]
            metrics = {"recall": statistics.mean(items), "loss": 2.0 + seed}
            runs[f"{name}_{seed}"] = measured(tmp_path / f"{name}{seed}", metrics, {"recall": items})
    report, document = compare(tmp_path, runs, ["recall", "loss"])
    base_arm, more = (document["metrics"]["recall"][name] for name in ("base", "more"))
    assert base_arm["values"] == pytest.approx([0.25, 0.35])
    assert more["mean"] == pytest.approx(0.55)
    assert more["sd"] == pytest.approx(statistics.stdev([0.5, 0.6]))
    assert [more[key] for key in ("difference", "low", "high")] == pytest.approx([0.25, 0.25, 0.25])
    assert report["metrics"]["more.recall.difference"] == pytest.approx(0.25)
    # A figure that is not measured item by item has no interval, and the table says so.
    assert "low" not in document["metrics"]["loss"]["more"]
    table = (tmp_path / "compare" / "comparison.md").read_text().splitlines()
    assert table[0] == "| clip | recall | against base | loss | against base | minutes |"
    assert table[2] == "| base | 30.00 ± 7.07 |  | 3.50 ± 0.71 |  | 1.5 |"
    assert table[3] == "| more | 55.00 ± 7.07 | +25.00 [25.00, 25.00] | 3.50 ± 0.71 | +0.00 | 1.5 |"
    assert "- loss of more: no interval, because it is not measured on equal items" in table


def test_the_interval_holds_what_resampling_items_gives(tmp_path):
    rng = np.random.default_rng(0)
    base, more = rng.random(400), rng.random(400)
    runs = {f"{name}_{seed}": measured(tmp_path / f"{name}{seed}", {"recall": float(items.mean())}, {"recall": items})
            for name, items in (("base", base), ("more", more)) for seed in (1, 2)}  # fmt: skip
    arm = compare(tmp_path, runs, ["recall"])[1]["metrics"]["recall"]["more"]
    # The normal interval of a mean of independent differences.
    half = 1.96 * (more - base).std(ddof=1) / 20
    middle = (more - base).mean()
    assert arm["low"] == pytest.approx(middle - half, abs=0.25 * half)
    assert arm["high"] == pytest.approx(middle + half, abs=0.25 * half)


def test_variants_with_other_items_are_compared_by_their_means(tmp_path):
    runs = {f"{name}_{seed}": measured(tmp_path / f"{name}{seed}", {"recall": 0.5}, {"recall": [0.5] * count})
            for name, count in (("base", 3), ("more", 4)) for seed in (1, 2)}  # fmt: skip
    arm = compare(tmp_path, runs, ["recall"])[1]["metrics"]["recall"]["more"]
    assert "low" not in arm
    assert arm["difference"] == 0


def test_the_interval_of_recalls_holds_their_difference_where_pictures_have_more_or_fewer_captions(tmp_path):
    """40 pictures with 16 captions each and 160 with one: captions of the first kind gain, those of the second one lose."""
    owner = torch.from_numpy(np.repeat(np.arange(200), [16] * 40 + [1] * 160))
    many, runs = owner.numpy() < 40, {}
    for name, right in (("base", (0.5, 0.9)), ("more", (0.7, 0.6))):
        rng = np.random.default_rng(1)
        is_right = rng.random(len(owner)) < np.where(many, *right)
        texts = torch.eye(200)[np.where(is_right, owner, (owner + 1 + rng.integers(0, 198, len(owner))) % 200)]
        metrics = {"mean_recall": retrieval(torch.eye(200), texts, owner)["mean_recall"]}
        items = {"mean_recall": mean_recall_per_image(texts.T, owner)}
        runs |= {f"{name}_{seed}": measured(tmp_path / f"{name}{seed}", metrics, items) for seed in (1, 2)}
    arm = compare(tmp_path, runs, ["mean_recall"])[1]["metrics"]["mean_recall"]["more"]
    assert arm["low"] < arm["difference"] < arm["high"]
    table = (tmp_path / "compare" / "comparison.md").read_text().splitlines()
    assert f"| {100 * arm['mean']:.2f} ± 0.00 |" in table[3]  # a fraction, though pictures contribute more than 1


def test_a_figure_that_no_report_has_is_refused(tmp_path):
    runs = {f"{name}_{seed}": measured(tmp_path / f"{name}{seed}", {"recall": 0.5, "loss": 1})
            for name in ("base", "more") for seed in (1, 2)}  # fmt: skip
    report, document = compare(tmp_path, runs, ["recal"], expect=1)
    assert (report, document) == ({}, {})


def test_items_are_read_as_they_were_written(tmp_path):
    assert read_items(tmp_path) == {}
    assert write_items(tmp_path, {"hit": np.array([0, 1, 1 / 3])}) == {"items": "items.json"}
    np.testing.assert_allclose(read_items(tmp_path)["hit"], [0, 1, 1 / 3], rtol=1e-5)
