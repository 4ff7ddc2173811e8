"""Scores after fine-tuning: fitted on own or general images as `calibrate` fits them, kept, or left out with a sentence."""

import json
import subprocess

import numpy as np
import pytest
from PIL import Image

from contracts import load
from support import run_stage, schedule, write_captioned_noise, write_job, write_tiered_model
from warm import ROOT, STAGE_ENV, warm_python


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """132 pictures with two captions each, and six of each of 24 plants in a folder of its name."""
    root = tmp_path_factory.mktemp("data")
    write_captioned_noise(root / "photos.jsonl", root / "photos")
    rng = np.random.default_rng(1)
    for plant in range(24):
        folder = root / "plants" / f"plant {plant}"
        folder.mkdir(parents=True)
        for number in range(6):
            Image.fromarray(rng.integers(0, 255, (24, 24, 3)).astype(np.uint8)).save(folder / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    """Three tiers of random weights that have verdicts."""
    bare, folder = tmp_path_factory.mktemp("bare"), tmp_path_factory.mktemp("model") / "fitted"
    write_tiered_model(bare)
    calibrate(bare, data, folder)
    return folder


def calibrate(model, data, to, seed=0):
    command = [warm_python(), "-W", "ignore", "-m", "exchange", "calibrate", str(model), "--model-version", "fitted"]
    command += ["--images", str(data / "photos.jsonl"), "--to", str(to), "--seed", str(seed)]
    subprocess.run(command, cwd=ROOT / "trainer", env=STAGE_ENV, check=True, capture_output=True)
    return manifest_of(to)


def manifest_of(folder):
    return load("ModelManifest", (folder / "manifest.json").read_text(encoding="utf-8"))


def adapted(model, data, folder, path, share=0.1, **changes):
    """Folder, manifest and report of an adaptation that hardly learns."""
    names = ["dev_path", "classes", "further_captions", "image_column", "caption_columns", "class_column"]
    settings = {
        "model": str(model), "name": "mine", "version": "1", "own": {"path": path, "dev_share": share, **dict.fromkeys(names)},
        "space": "keep", "text_start": "model", "image_fraction": 0.9, "crops": 0, "crop_scale": [0.5, 1.0], "batch_size": 8,
        "image_lr": 0.0, "static_lr": 0.0, "schedule": schedule(2, lr=1e-6), "minutes": None, "general_texts": 32,
        "general_weight": 1.0,
    }  # fmt: skip
    job = write_job(folder, "adapt", {"data": data}, settings | changes)
    report = run_stage(job)
    return job.parent, manifest_of(job.parent), report


def test_enough_own_images_with_captions_are_what_verdicts_are_fitted_on(model, data, tmp_path):
    _, manifest, report = adapted(model, data, tmp_path, "photos.jsonl", share=0.8, general_images="photos.jsonl")
    measured = report["metrics"]["images.dev"]
    assert measured >= 100
    for tier, verdicts in manifest["search_verdicts"].items():
        assert verdicts["text_image"]["counts"][-1] == measured - 1
        assert 0 <= report["metrics"][f"{tier}.verdict.present_called_absent"] <= 1
    notes = " ".join(report["notes"])
    assert f"Verdicts on searches are fitted on {measured:.0f} own images that were not learned from with " in notes
    there = report["metrics"]["tiny.verdict.present_called_absent"]
    assert f"tiny: of captions that are there {there:.1%} are called absent" in notes


def test_else_they_are_fitted_on_general_images_as_calibrate_fits_them(model, data, tmp_path):
    folder, manifest, report = adapted(
        model, data, tmp_path, "photos.jsonl", space="new", general_images="photos.jsonl"
    )
    again = calibrate(folder, data, tmp_path / "again")
    assert manifest["search_verdicts"] == again["search_verdicts"]
    verdicts = {name: value for name, value in again["metrics"].items() if ".verdict." in name}
    assert verdicts == {name: value for name, value in manifest["metrics"].items() if ".verdict." in name} != {}
    assert "fitted on 132 general images with 264 captions" in " ".join(report["notes"])


def test_without_them_a_space_that_stays_keeps_the_verdicts_of_the_model_before(model, data, tmp_path):
    settings = {"general_images": "elsewhere.jsonl"}
    _, manifest, report = adapted(model, data, tmp_path, "photos.jsonl", share=0.5, **settings)
    assert manifest["search_verdicts"] == manifest_of(model)["search_verdicts"]
    notes = " ".join(report["notes"])
    assert "Verdicts on searches are those of tiered fitted: the space stayed" in notes
    assert "of general ones, there is no " in notes and "elsewhere.jsonl. npm run model -- calibrate" in notes
    assert 0 <= report["metrics"]["student.verdict.present_called_absent"] <= 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"space": "new"}, "the space is a new one"),
        ({"text_start": "scratch", "schedule": schedule(2, lr=1e-3)}, "texts about anything moved"),
    ],
)
def test_a_model_that_has_changed_has_no_verdicts_and_says_how_to_fit_some(model, data, tmp_path, changes, reason):
    _, manifest, report = adapted(model, data, tmp_path, "photos.jsonl", **changes)
    assert "search_verdicts" not in manifest
    [note] = [note for note in report["notes"] if note.startswith("No verdicts on searches: ")]
    assert "images with captions, at least 100 are needed; of general ones, none are named" in note
    assert f"and {reason}. npm run model -- calibrate FOLDER --images PATH" in note


@pytest.mark.parametrize(
    ("name", "reason"),
    [("gone.png", "there is no file"), ("huge.png", "image is 4100 x 4000 pixels; at most 16000000 are allowed")],
)
def test_a_general_image_that_cannot_be_read_does_not_cost_the_training(model, data, tmp_path, name, reason):
    Image.new("1", (4100, 4000)).save(data / "huge.png")
    rows = (data / "photos.jsonl").read_text(encoding="utf-8") + json.dumps({"file_name": name, "captions": ["a cup"]})
    (data / "broken.jsonl").write_text(rows, encoding="utf-8")
    _, manifest, report = adapted(model, data, tmp_path, "photos.jsonl", general_images="broken.jsonl")
    assert manifest["search_verdicts"] == manifest_of(model)["search_verdicts"]
    assert f"133 with captions, one of which cannot be read: {reason}" in " ".join(report["notes"])


def test_own_classes_are_the_names_that_a_model_of_them_is_judged_by(model, data, tmp_path):
    settings = {"share": 0.8, "general_images": "photos.jsonl"}
    _, manifest, report = adapted(model, data, tmp_path, "plants", **settings)
    before = manifest_of(model)["search_verdicts"]
    for tier, verdicts in manifest["search_verdicts"].items():
        # 120 images of 24 plants are measured on.
        assert verdicts["short_texts"]["text_image"]["counts"] == [1, 4, 16, 64, 84]
        assert verdicts["short_texts"]["max_tokens"] == before[tier]["short_texts"]["max_tokens"]
    assert "by names are fitted on 24 classes of 120 own images" in " ".join(report["notes"])
