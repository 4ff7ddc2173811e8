"""`npm run claims` on runs that are written here: figures, intervals and verdicts from the closed form, and the page's block."""

import gzip
import json
import shutil
import statistics
import sys
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from streamed_clip import write_crops, write_inputs

from evaluation.claims.__main__ import main
from evaluation.claims.arms import comparisons_in
from evaluation.claims.page import BEGIN, END
from evaluation.claims.table import CLAIMS
from support import TINY_VISION, tiny_clip, write_job
from towers.data import write_rows
from towers.image.backbone import create_backbone
from towers.image.tower import ImageTower
from towers.items import write_items
from towers.text_sets import TextSet
from towers.two_towers import ScratchTextTower, load_adapter, save_towers
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
            gone = {stage: folder / f"{stage}-gone" for stage in ("prepare", "embed_images", "inherit")}
            read = gone | {"embed_captions": embedded}
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
        places = {"data": tmp_path / "data", "model": tmp_path / "model", "docs": tmp_path / "results.md"}
        words = ["claims", str(folder), *(f"--{name}={place}" for name, place in places.items()), *options]
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
    code, out, _ = command("--write-docs")
    text = page.read_text()
    assert code == 0 and text.startswith(f"# Before\n\n{BEGIN}\n\n| claim ") and text.endswith(f"{END}\n\nAfter\n")
    assert "old" not in text and out.splitlines()[0] in text
    line = next(line for line in text.splitlines() if "| `control` " in line)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[2:] == ["Flickr8k dev, mean recall", "`base` 55.0 ± 7.1", "`control` 45.0 ± 7.1", "+10.0 [+10.0, +10.0]",
                         "reproduced", "`--ablate control`"]  # fmt: skip
    assert len({len(line) for line in text.splitlines() if line.startswith("|")}) == 1
    fewer = [line for line in text.splitlines() if "| `no_mntp` " in line]
    assert fewer and all("(seed 1)" in line for line in fewer) and "seeds 1, 2 where a line says no others" in text
    again = command("--write-docs")
    assert again[0] == 0 and page.read_text() == text
    page.write_text("# No place\n")
    assert command("--write-docs")[0] == 2 and page.read_text() == "# No place\n"


@pytest.fixture
def page(tmp_path):
    """A page with the place of the table; what is known is kept beside it."""
    page = tmp_path / "results.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    return page


def compared(folder, name, figures):
    """Runs of one comparison: by arm, the metrics of its seeds from 1 on."""
    folder.mkdir(exist_ok=True)
    roles = {
        f"{arm}_{seed}": finished(write_job(folder, "clip", {}, {}, f"clip-{arm}-{seed}"), {"mean_recall": value})
        for arm, values in figures.items()
        for seed, value in enumerate(values, 1)
    }
    write_job(folder, "compare", roles, {}, name)
    return folder


def lines_of(page, *names):
    """The lines of the table that have all of these arms."""
    return [line for line in page.read_text().splitlines() if all(f"| `{name}` " in line for name in names)]


def test_what_was_written_of_other_runs_stays(command, tmp_path, page):
    assert command("--write-docs")[0] == 0
    before = lines_of(page, "base", "control")
    other = compared(tmp_path / "elsewhere", "compare-c", {"llm": [0.4, 0.5], "minilm": [0.5, 0.5]})
    code, out, _ = command("--write-docs", folder=other)
    assert code == 0 and lines_of(page, "base", "control") == before and before
    (line,) = lines_of(page, "llm", "minilm")
    assert "`llm` 45.0 ± 7.1" in line and "-5.0" in line and line in out
    (tmp_path / "empty").mkdir()
    text = page.read_text()
    assert command("--write-docs", folder=tmp_path / "empty")[0] == 0 and page.read_text() == text
    # Without writing, runs speak for themselves.
    assert answers_of(command("--json", folder=tmp_path / "empty")[1])[0] == {}


def test_recorded_figures_give_way_to_as_many_seeds_and_not_to_fewer(command, tmp_path, page):
    command("--write-docs", folder=compared(tmp_path / "three", "compare-a", {"llm": [0.4] * 3, "minilm": [0.3] * 3}))
    command("--write-docs", folder=compared(tmp_path / "one", "compare-b", {"llm": [0.9], "minilm": [0.1]}))
    assert "`llm` 40.0 ± 0.0" in lines_of(page, "llm", "minilm")[0]
    command("--write-docs", folder=compared(tmp_path / "again", "compare-c", {"llm": [0.2] * 3, "minilm": [0.3] * 3}))
    line = lines_of(page, "llm", "minilm")[0]
    assert "`llm` 20.0 ± 0.0" in line and "did not reproduce: the opposite" in line


def test_questions_without_figures_are_listed_whether_there_are_runs_or_not(command, tmp_path, page):
    nothing = json.loads(command("--open", folder=tmp_path / "nothing")[1])
    assert len(nothing) == sum(len(claim.questions) for claim in CLAIMS)
    chinese = {"what": "Flickr8k dev in Chinese (people), mean recall", "variants": ["control"], "measure": True}
    told = [{key: value for key, value in question.items() if key != "claim"} for question in nothing]
    assert {**chinese, "compared": False} in told
    # These runs have both arms: they are to be measured, not run again.
    told = [{key: value for key, value in q.items() if key != "claim"} for q in json.loads(command("--open")[1])]
    assert {**chinese, "compared": True} in told and not any(q["compared"] for q in told if not q["measure"])
    command("--write-docs")
    left = json.loads(command("--open", folder=tmp_path / "nothing")[1])
    answered = [line for line in (tmp_path / "claims.jsonl").read_text().splitlines() if line]
    assert 0 < len(left) == len(nothing) - len(answered)


def test_a_record_that_is_damaged_is_refused_by_its_line(command, tmp_path, page):
    command("--write-docs")
    file = tmp_path / "claims.jsonl"
    before = page.read_text()
    file.write_text(file.read_text() + "[1]\n")
    code, _, err = command("--write-docs")
    assert code == 2 and f"line {len(file.read_text().splitlines())} is no answer" in err and page.read_text() == before


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


def test_what_a_run_started_from_is_measured_once_and_stands_beside_what_it_ended_with(command, tmp_path, page):
    (tmp_path / "inputs").mkdir()
    inputs, folder = write_inputs(tmp_path / "inputs"), tmp_path / "started"
    write_crops(inputs["embed_images"], block=None)
    # Features that the head turns into the vectors of classes 0, 2 and 2; the pictures show classes 0, 1 and 2.
    prompts = TextSet(inputs["embed_captions"], "prompts", torch.device("cpu")).with_features()
    head = load_file(inputs["inherit"] / "head.safetensors")
    with torch.no_grad():
        vectors = load_adapter(inputs["inherit"])(prompts.inputs(np.array([0, 2, 2])))
    features = (vectors - head["bias"]) @ torch.linalg.pinv(head["weight"]).T
    np.save(inputs["embed_images"] / "classes.npy", features.numpy())
    write_rows(inputs["prepare"] / "class_images.jsonl", [{"key": f"c{n}", "index": n} for n in range(3)])
    folder.mkdir()
    run = finished(
        write_job(folder, "clip", inputs, {}, "clip-1"), {"zero_shot_top1": 1.0}, {"zero_shot_top1": [1] * 3}
    )
    write_job(folder, "compare", {"base_1": run}, {}, "compare-a")
    (tmp_path / "data").mkdir()
    code, out, err = command("--measure", "--json", folder=folder)
    assert code == 0 and "clip-1 started from 66.7 % of class pictures" in err
    found = answers_of(out)[0]["ImageNet sample, top-1", "after", "before"]
    assert (found["more"]["values"], found["than"]["values"]) == ([1.0], [pytest.approx(2 / 3)])
    assert found["low"] <= found["difference"] <= found["high"]
    assert "started from" not in command("--measure", folder=folder)[2]
    # Where the runs behind are gone, so that it cannot be measured, the rest is.
    shutil.rmtree(folder / "claims-starts")
    shutil.rmtree(inputs["embed_images"])
    code, _, err = command("--measure", folder=folder)
    assert code == 0 and "clip-1 started from was left out" in err


def test_every_figure_of_the_papers_names_its_source():
    assert all(bool(claim.paper) == bool(claim.source) and claim.questions for claim in CLAIMS)
