"""A checkpoint imported with text students in place of its text tower: its own pictures' vectors, and texts near its own."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published_llm2clip import write_language_model, write_released
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import CLIPVisionModelWithProjection

from edge_clip import load
from exchange.__main__ import main
from exchange.incoming.isolate import check_students
from exchange.incoming.take_in import ImportOptions, import_into
from exchange.incoming.teachable import Wanted, teachable
from exchange.incoming.text_side import students
from exchange.refusal import CannotExpress
from published_clip import image_vectors, text_vectors, write_clip
from support import run_stage, schedule, write_job
from towers.preprocess import preprocess
from warm import ROOT

PHOTOS = ROOT / "api" / "playground" / "samples"
CAPTIONS = [
    f"a {colour} {thing} {place}"
    for colour in ("red", "green", "white")
    for thing in ("dog", "cat", "ball", "car", "tree", "boat")
    for place in ("in the snow", "on a beach", "at night")
]


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """(folder of a tiny CLIP, transformers' model of it, a finished run of `imitate`)."""
    folder = tmp_path_factory.mktemp("students")
    model = write_clip(folder / "clip")
    (folder / "captions.txt").write_text("\n".join(CAPTIONS))
    tier = {"layers": 1, "width": 32, "heads": 2, "table_width": 32, "initial_weights": "scratch", "static_weight": 1}
    student = {
        "vocabulary_size": 250, "alphabet": 60, "fallback": "bytes", "context_length": 16, "contrastive_weight": 0.2,
        "temperature": 0.05, "negatives_weight": 0, "noise": {"typing_errors": 0, "symbols": 0}, "batch_tokens": 200,
        "tiers": [{**tier, "tier": "student", "schedule": schedule(4)}],
        "static": {"width": 16, "batch_size": 32, "schedule": schedule(4)},
    }  # fmt: skip
    config = {
        "checkpoint": teachable(folder / "clip", Wanted()), "captions": ["captions.txt"], "features": None,
        "most_captions": 1000, "dev_captions": 10, "student": student,
    }  # fmt: skip
    run_stage(write_job(folder, "imitate", {"data": folder}, config))
    return folder / "clip", model, folder / "imitate"


def test_it_serves_the_checkpoints_pictures_and_texts_near_to_its_own(learned, tmp_path):
    folder, model, run = learned
    options = ImportOptions("taught", "1", PHOTOS, "clip", "MIT", students=run)
    manifest = import_into(folder, tmp_path / "model", options)
    served = load(tmp_path / "model", device="cpu")
    assert served.tiers == ["student", "static"]
    found = served.embed(CAPTIONS[:12], [str(PHOTOS / "cat.jpg")])
    pixels = preprocess((PHOTOS / "cat.jpg").read_bytes(), manifest["image"]["preprocess"])[None]
    assert (found.images * image_vectors(model, torch.from_numpy(pixels)).numpy()).sum() > 0.9999
    theirs = text_vectors(model, CAPTIONS[:12]).numpy()
    # Fresh weights put all texts into a narrow cone: each has to be nearest to its own vector.
    assert (np.argmax(found.texts @ theirs.T, axis=1) == np.arange(12)).mean() > 0.6
    assert manifest["matryoshka_dims"] == [theirs.shape[1]]
    parents = [parent["name"] for parent in manifest["lineage"]["parents"]]
    assert parents == ["taught", "captions.txt"]
    assert manifest["metrics"]["student.dev_cosine"] == pytest.approx(
        json.loads((run / "report.json").read_text())["metrics"]["student.dev_cosine"]
    )
    assert {row["tier"] for row in manifest["golden"]} == {"student", "static"}


def test_what_does_not_belong_together_is_refused(learned, tmp_path):
    folder, _, run = learned
    other = tmp_path / "other"
    model = write_clip(other)
    config = json.loads((other / "config.json").read_text())
    model.visual_projection = torch.nn.Linear(32, 16, bias=False)
    model.text_projection = torch.nn.Linear(32, 16, bias=False)
    model.config.projection_dim = 16
    model.save_pretrained(other)
    assert config["projection_dim"] == 24
    with pytest.raises(CannotExpress, match="vectors of the students have 24 numbers, those of pictures 16"):
        import_into(other, tmp_path / "model", ImportOptions("o", "1", PHOTOS, "o", "MIT", students=run))
    assert not (tmp_path / "model").exists()
    with pytest.raises(CannotExpress, match="is no finished run of imitate"):
        import_into(folder, tmp_path / "model", ImportOptions("o", "1", PHOTOS, "o", "MIT", students=tmp_path))
    with pytest.raises(CannotExpress, match="--features is for LLM2CLIP's layouts"):
        teachable(folder, Wanted(features=Path("features.safetensors")))
    with pytest.raises(CannotExpress, match="--language-model is for LLM2CLIP's layouts: clip has a text tower"):
        teachable(folder, Wanted(language_model=folder))


def test_students_that_no_isolate_holds_are_refused_before_they_are_trained(learned, tmp_path):
    folder, _, run = learned
    student = json.loads((run / "job.json").read_text())["config"]["student"]
    assert teachable(folder, Wanted(student=student)) == str(folder)
    wide: Any = {
        **student,
        "vocabulary_size": 60_000,
        "tiers": [{**student["tiers"][0], "width": 768, "table_width": 768, "layers": 12}],
    }
    with pytest.raises(
        CannotExpress,
        match=r"of the 128 MiB of an isolate.* Students of fewer or narrower layers.* do: imitate\.student",
    ):
        teachable(folder, Wanted(student=wide))
    # As the import itself measures their files afterwards.
    found = students(tmp_path, run, 18)
    own: Any = {**student, "vocabulary_size": found.described["text"]["table"]["rows"]}
    foretold = check_students(own, embed_dim=24)
    assert foretold == pytest.approx({name: found.metrics[name] for name in foretold}, rel=0.06)


def test_llm2clips_image_tower_is_served_with_students_of_its_language_models_vectors(learned, tmp_path, monkeypatch):
    _, _, run = learned
    folder = tmp_path / "LLM2CLIP-Openai-L-14-336"
    model, features = write_released(folder, width=12), tmp_path / "features.safetensors"
    save_file({"features": torch.randn(3, 12)}, features)
    with pytest.raises(CannotExpress, match="--language-model FOLDER computes them, --features FILE holds them"):
        teachable(folder, Wanted())
    assert teachable(folder, Wanted(features=features)) == str(folder)
    write_language_model(tmp_path / "language-model")
    with pytest.raises(CannotExpress, match=r"its vectors have 32 numbers, and the adapter of LLM2CLIP.* reads 12"):
        teachable(folder, Wanted(language_model=tmp_path / "language-model"))
    with pytest.raises(CannotExpress, match="it is no language model in transformers' layout"):
        teachable(folder, Wanted(language_model=tmp_path))
    save_file({"features": torch.randn(3, 13)}, tmp_path / "other.safetensors")
    with pytest.raises(CannotExpress, match=r"has features of 13 numbers.* width 12, and its joint space has 24"):
        teachable(folder, Wanted(features=tmp_path / "other.safetensors"))
    options = ImportOptions("llm2clip", "1", PHOTOS, folder.name, "Apache-2.0", students=run)
    manifest = import_into(folder, tmp_path / "model", options)
    picture = PHOTOS / "cat.jpg"
    pixels = torch.from_numpy(preprocess(picture.read_bytes(), manifest["image"]["preprocess"]))[None]
    with torch.no_grad():
        theirs = F.normalize(model(pixel_values=pixels).image_embeds, dim=-1)[0].numpy()
    found = load(tmp_path / "model", device="cpu").embed(["a dog"], [str(picture)])
    assert found.images[0] @ theirs > 0.9999
    assert manifest["image"]["preprocess"]["mean"] == pytest.approx([0.48145466, 0.4578275, 0.40821073])
    assert manifest["calibration"]["text_image"]["scale"] == pytest.approx(100, rel=1e-3)
    # Its image tower goes out again, which its students cannot.
    out = tmp_path / "out"
    argv = ["exchange", "export", str(tmp_path / "model"), "--format", "hf", "--to", str(out)]
    monkeypatch.setattr(sys, "argv", argv)
    assert main() == 2
    assert not out.exists()
    monkeypatch.setattr(sys, "argv", [*argv, "--tier", "image"])
    assert main() == 0
    opened: Any = CLIPVisionModelWithProjection.from_pretrained(out / "image")
    with torch.no_grad():
        vectors = F.normalize(opened(pixel_values=pixels).image_embeds, dim=-1).numpy()
    np.testing.assert_allclose(vectors, found.images, atol=1e-4)
    assert "CLIPVisionModelWithProjection" in (out / "README.md").read_text()
    monkeypatch.setattr(
        sys,
        "argv",
        ["exchange", "export", str(tmp_path / "model"), "--format", "safetensors", "--tier", "image", "--to", str(out)],
    )
    assert main() == 2
