"""`npm run claims` on runs that are written here: figures, intervals and verdicts from the closed form, and the page's block."""

import gzip
import json
import statistics
import sys
from typing import Any, cast

import numpy as np
import pytest
import torch

from evaluation.claims.__main__ import main
from evaluation.claims.arms import comparisons_in
from evaluation.claims.page import BEGIN, END
from evaluation.claims.table import CLAIMS
from support import TINY_VISION, tiny_clip, write_job
from towers.image.backbone import create_backbone
from towers.image.tower import ImageTower
from towers.items import write_items
from towers.two_towers import ScratchTextTower, save_towers
from towers.wordpiece import train_vocabulary


def finished(job, metrics, items=None, device="cpu"):
    """The folder of a run with these figures."""
    report = {"id": job.parent.name, "status": "succeeded", "device": device, "metrics": metrics}
    (job.parent / "report.json").write_text(json.dumps(report))
    write_items(job.parent, {metric: np.array(values) for metric, values in (items or {}).items()})
    return job.parent


@pytest.fixture
def runs(tmp_path):
    """Two seeds of the recipe, the control and `no_mntp`; the control is worse by a tenth on every item."""
    folder = tmp_path / "ablations"
    folder.mkdir()
    tuning = write_job(folder, "contrastive", {}, {}, "contrastive-1")
    tuned = finished(tuning, {"dev_accuracy.first": 0.05, "dev_accuracy.last": 0.25})
    embedded = finished(write_job(folder, "embed_captions", {"contrastive": tuned}, {}, "embed_captions-1"), {})
    roles = {}
    for seed, level in ((1, 0.5), (2, 0.6)):
        for name, shift in (("base", 0.0), ("control", -0.1), ("no_mntp", 0.0)):
            items = [level + shift + step for step in (-0.1, 0.0, 0.1, 0.0)]
            metrics = {"mean_recall": statistics.mean(items), "unseen_top1": 0.2}
            read = {"embed_captions": embedded}
            job = write_job(folder, "clip", read, {}, f"clip-{name}-{seed}")
            roles[f"{name}_{seed}"] = finished(job, metrics, {"mean_recall": items})
    write_job(folder, "compare", {role: run for role, run in roles.items() if "no_mntp" not in role}, {}, "compare-a")
    # Of another comparison one run is not finished: what both arms have counts.
    roles["no_mntp_2"] = folder / "clip-no_mntp-2-running"
    write_job(folder, "compare", {role: run for role, run in roles.items() if "control" not in role}, {}, "compare-b")
    return folder


@pytest.fixture
def command(runs, tmp_path, monkeypatch, capsys):
    """Runs the command; its exit code, standard output and standard error."""

    def run(*options, folder=runs):
        words = ["claims", str(folder), f"--data={tmp_path / 'data'}", f"--model={tmp_path / 'model'}", *options]
        monkeypatch.setattr(sys, "argv", words)
        return main(), *capsys.readouterr()

    return run


def answers_of(out):
    """Answers by what is measured and the two arms; and those that were not run."""
    answers = [found for claim in json.loads(out)["claims"] for found in claim["answers"]]
    ran = {(found["what"], found["more"]["name"], found["than"]["name"]): found for found in answers if "more" in found}
    return ran, [found for found in answers if "more" not in found]


def test_arms_over_equal_seeds_have_their_difference_an_interval_and_a_verdict(command):
    code, out, _ = command("--json")
    ran, rest = answers_of(out)
    assert code == 0 and {found["verdict"] for found in rest} == {"not run"}
    recall = ran["Flickr8k dev, mean recall", "base", "control"]
    assert recall["seeds"] == [1, 2] and recall["more"]["values"] == pytest.approx([0.5, 0.6])
    assert recall["more"]["sd"] == pytest.approx(statistics.stdev([0.5, 0.6]))
    # Worse by a tenth on every item: the interval has no width.
    assert [recall[key] for key in ("difference", "low", "high")] == pytest.approx([0.1] * 3, abs=1e-5)
    assert recall["verdict"] == "reproduced"
    unseen = ran["unseen nouns, top-1", "base", "control"]
    assert "low" not in unseen and unseen["verdict"] == "did not reproduce: no difference is seen"
    mntp = ran["Flickr8k dev, mean recall", "base", "no_mntp"]
    assert mntp["seeds"] == [1] and "sd" not in mntp["more"] and mntp["verdict"] == "reproduced"


def test_a_figure_of_a_stage_behind_both_seeds_is_one_figure(command):
    ran, _ = answers_of(command("--json")[1])
    tuned = ran["caption retrieval, language model", "after", "before"]
    assert (tuned["more"]["values"], tuned["than"]["values"]) == ([0.25], [0.05])
    assert tuned["verdict"] == "reproduced, without an interval"


def test_languages_are_read_from_what_was_measured_of_each_run(command, runs):
    figures = {f"clip-base-{seed}": {"flickr-zh.mean_recall": 0.02 * seed} for seed in (1, 2)}
    figures |= {f"clip-control-{seed}": {"flickr-zh.mean_recall": 0.04} for seed in (1, 2)}
    figures["student"] = {"flickr-zh.mean_recall": 0.338}
    (runs / "claims-dev-sets.json").write_text(json.dumps(figures))
    ran, _ = answers_of(command("--json")[1])
    chinese = "Flickr8k dev in Chinese (people), mean recall"
    assert ran[chinese, "base", "control"]["difference"] == pytest.approx(-0.01)
    assert ran[chinese, "base", "control"]["verdict"] == "did not reproduce: the opposite"
    assert ran[chinese, "student", "base"]["more"] == {
        "name": "student",
        "values": [0.338],
        "mean": 0.338,
        "devices": [],
    }


def test_arms_of_different_devices_are_told_apart(command, runs):
    report = runs / "clip-control-1" / "report.json"
    report.write_text(report.read_text().replace('"cpu"', '"cuda:0"'))
    verdicts = {line.split(" | ")[-2].strip() for line in command()[1].splitlines() if "| `control` " in line}
    assert "reproduced (cpu against cpu and cuda)" in verdicts
    assert not any("against" in line for line in command()[1].splitlines() if "| `no_mntp` " in line)


def test_runs_that_were_moved_together_are_found(command, runs, tmp_path):
    before = answers_of(command("--json")[1])[0]
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    runs.rename(moved / "ablations")
    assert answers_of(command("--json", folder=moved / "ablations")[1])[0] == before
    assert len(comparisons_in(moved / "ablations")) == 2


def test_the_block_of_a_page_is_replaced_and_nothing_else(command, tmp_path):
    page = tmp_path / "results.md"
    page.write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\nAfter\n")
    code, out, _ = command(f"--docs={page}")
    text = page.read_text()
    assert code == 0 and text.startswith(f"# Before\n\n{BEGIN}\n\n| claim ") and text.endswith(f"{END}\n\nAfter\n")
    assert "old" not in text and out.splitlines()[0] in text
    line = next(line for line in text.splitlines() if "| `control` " in line)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[2:] == ["Flickr8k dev, mean recall", "`base` 55.0 ± 7.1", "`control` 45.0 ± 7.1", "+10.0 [+10.0, +10.0]",
                         "reproduced", "`--ablate control`"]  # fmt: skip
    assert len({len(line) for line in text.splitlines() if line.startswith("|")}) == 1
    again = command(f"--docs={page}")
    assert again[0] == 0 and page.read_text() == text
    page.write_text("# No place\n")
    assert command(f"--docs={page}")[0] == 2 and page.read_text() == "# No place\n"


def test_what_is_missing_is_said(command, tmp_path):
    code, _, err = command(folder=tmp_path / "nothing")
    assert code == 2 and "there are no runs" in err and "--ablate" in err
    (tmp_path / "empty").mkdir()
    code, out, _ = command("--json", folder=tmp_path / "empty")
    assert code == 0 and answers_of(out)[0] == {}
    code, _, err = command("--measure")
    assert code == 2 and "data folder" in err


def test_languages_are_measured_once_for_every_run_that_reads_texts(command, runs, tmp_path, monkeypatch):
    (tmp_path / "data/text").mkdir(parents=True)
    for name, languages in (("en-de-fr-cs", ("en", "de", "fr", "cs")), ("more", ("pt", "es", "uk", "ar", "zh"))):
        rows = [{"id": str(n), **{language: f"{language} {n} words" for language in languages}} for n in range(3)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"data/text/multi30k-{name}.dev.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    scratch = {"vocabulary_size": 200, "context_length": 8, "width": 8, "heads": 2, "layers": 1}
    backbone = {"name": tiny_clip(tmp_path / "backbone", TINY_VISION), "size": 64}
    for folder in runs.glob("clip-*"):
        torch.manual_seed(3)
        image_tower = ImageTower(create_backbone(backbone["name"]), 8)
        shape = {"text_tower": "scratch", "scratch": scratch, "embed_dim": 8, "backbone": backbone, "preprocess": {}}
        save_towers(folder, image_tower, ScratchTextTower(cast(Any, scratch), 8), cast(Any, shape))
        train_vocabulary(["de 0 words", "en 1 words"], 200).write(folder / "vocabulary.txt")
    code, _, err = command("--measure", "--json")
    assert code == 0 and "flickr-zh was left out" in err
    figures = json.loads((runs / "claims-dev-sets.json").read_text())
    assert set(figures) == {f"clip-{arm}-{seed}" for arm in ("base", "control") for seed in (1, 2)}
    languages = [
        figures["clip-base-1"][f"multi30k.{name}_R@1"] for name in ("de", "fr", "cs", "pt", "es", "uk", "ar", "zh")
    ]
    assert figures["clip-base-1"]["multi30k.mean_R@1"] == pytest.approx(sum(languages) / 8)
    monkeypatch.setattr("evaluation.trained.TrainedModel.__init__", None)  # nothing is opened again
    ran, _ = answers_of(command("--measure", "--json")[1])
    translated = ran["Multi30k dev, R@1 of eight languages among English", "base", "control"]
    assert len(translated["more"]["values"]) == 2 and translated["difference"] == 0


def test_every_figure_of_the_papers_names_its_source():
    assert all(bool(claim.paper) == bool(claim.source) and claim.questions for claim in CLAIMS)
