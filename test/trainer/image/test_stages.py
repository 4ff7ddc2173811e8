"""Stages with towers that know neither classes nor texts, and what they make of the tower's own knowledge."""

import json
import signal
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from evaluation.recipe.zero_shot import by_classifier
from small_towers import backbone_of, size_of
from stages import inherit
from support import draw_images, schedule, write_job
from towers.data import read_images, write_rows
from towers.image.activations import as_float16, frozen_activations
from towers.image.backbone import preprocess_recipe
from towers.image.tower import ImageTower
from towers.preprocess import preprocess
from towers.shards import ShardWriter
from towers.two_towers import load_adapter

COUNT = 24


@pytest.fixture
def handlers():
    """Stages that run in this process leave no signal handler behind."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_a_tower_with_neither_classes_nor_texts_starts_from_pictures_and_their_captions(
    tmp_path, monkeypatch, handlers
):
    """Two captions a picture; what the language model says of a caption names its picture, so that it can be learned."""
    prepared, embedded = tmp_path / "prepare", tmp_path / "embedded"
    embedded.mkdir()
    drawn = draw_images(prepared / "images", COUNT)
    writer = ShardWriter(prepared / "train-00000.tar")
    for row in drawn:
        writer.add(row["key"], (prepared / "images" / f"{row['key']}.jpg").read_bytes())
    writer.close()
    rows = [row | {"shard": writer.file.name} for row in drawn]
    write_rows(prepared / "pairs.train.jsonl", rows)
    captions = [{"id": row["key"], "text": text} for row in rows for text in row["captions"][:2]]
    write_rows(embedded / "captions.pairs.train.jsonl", captions)
    save_file({"features": torch.eye(COUNT).repeat_interleave(2, 0)}, embedded / "features.pairs.train.safetensors")
    backbone, size = backbone_of("InternViT"), size_of("InternViT")
    monkeypatch.setattr(inherit, "create_backbone", lambda **_: backbone)
    config = {"backbone": {"name": "intern", "size": size}, "adapter": {"blocks": 1, "expansion": 2}, "embed_dim": 8,
              "target": "features", "struct_weight": 1.0, "batch_size": 16, "schedule": schedule(300, lr=1e-2)}  # fmt: skip
    job = write_job(tmp_path, "inherit", {"prepare": prepared, "embed_captions": embedded}, config)
    monkeypatch.setattr(sys, "argv", ["inherit", str(job)])
    inherit.main()
    report = json.loads((job.parent / "report.json").read_text())
    assert report["metrics"]["nearest_target_is_own"] > 0.9 and "classes" not in report["artefacts"]
    # The head puts pictures where their captions were put.
    head = load_file(job.parent / "head.safetensors")
    recipe = preprocess_recipe(backbone, size)
    pixels = np.stack([preprocess(data, recipe) for _, data in read_images(prepared, rows)])
    with torch.no_grad():
        features = ImageTower(backbone, 1).eval().pooled_features(torch.from_numpy(pixels), 0)
        image = F.normalize(F.linear(features, head["weight"], head["bias"]), dim=-1)
        text = load_adapter(job.parent)(torch.eye(COUNT))
    assert (text @ image.T).argmax(1).eq(torch.arange(COUNT)).float().mean() > 0.8


def test_activations_of_a_transformer_are_stored_as_tokens():
    tower = ImageTower(backbone_of("EVA02"), 1).eval()
    pixels = torch.randn(3, 3, 64, 64)
    tokens, features = frozen_activations(tower, pixels.numpy(), 1)
    assert tokens.shape == (3, 17, 32) and tokens.dtype == np.float16
    with torch.no_grad():
        again = tower.pooled_features(torch.from_numpy(tokens).float(), 1)
        expected = tower.pooled_features(pixels, 0)
    torch.testing.assert_close(again, expected, atol=2e-2, rtol=0)
    torch.testing.assert_close(torch.from_numpy(features).float(), expected, atol=2e-3, rtol=2e-3)


def test_activations_beyond_float16_are_an_error_and_not_infinite():
    stored = as_float16(torch.tensor([65504.0, -1.0]), "the features")
    assert stored.tolist() == [65504, -1]
    with pytest.raises(
        ValueError, match=r"the features reach 1e\+05, float16 holds 65504: set first_trainable_block to 0"
    ):
        as_float16(torch.tensor([1e5, -1.0]), "the features")


def test_the_frozen_classifier_is_asked_about_the_classes_that_it_has_by_name():
    """Rows 1, 0 and 587 of ImageNet's classifier; the fourth class is none of its."""
    named = [{"index": 0, "name": "goldfish"}, {"index": 1, "name": "tench"}, {"index": 2, "name": "hammer"}]
    named.append({"index": 3, "name": "Golden Delicious"})
    logits = torch.zeros(4, 1000)
    logits[:, 900] = 9  # a class that the file does not name
    logits[0, 1] = logits[1, 0] = logits[2, 0] = 5
    logits[3] = 7
    found = by_classifier(logits, torch.tensor([0, 1, 2, 3]), named)
    assert found["frozen_tower"]["zero_shot_top1"] == pytest.approx(2 / 3)
    assert by_classifier(torch.zeros(4, 512), torch.tensor([0, 1, 2, 3]), named) == {}
