"""Two-tower checkpoints: tiny ones in the public layout (open_clip_config.json, open_clip_model.safetensors), both kinds
of image tower, against open_clip itself; and what `inherit` learns from their text encoder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from support import TINY_VISION, run_stage, schedule, tiny_clip, write_job
from towers.data import write_rows
from towers.image.backbone import create_backbone, preprocess_recipe
from towers.image.checkpoint import read_model
from towers.image.tower import ImageTower
from towers.onnx_export import export_image_tower, session
from towers.preprocess import preprocess
from towers.text.checkpoint import checkpoint_vectors
from towers.two_towers import load_adapter

VISION = {
    "open_clip": TINY_VISION,
    "timm, linear head": {
        "timm_model_name": "test_vit",
        "timm_pool": "token",
        "timm_proj": "linear",
        "image_size": 160,
    },
    "timm, classifier": {"timm_model_name": "test_vit", "timm_pool": "token", "timm_proj": "", "image_size": 160},
}
CAPTIONS = ["a red circle", "two dogs run over the grass", "ein Hund im Schnee", "a boat on a lake at night"]


@pytest.fixture(scope="module", params=VISION, ids=lambda name: name.replace(" ", "-"))
def vision(request):
    return VISION[request.param]


@pytest.fixture(scope="module")
def checkpoint(vision, tmp_path_factory):
    return tiny_clip(tmp_path_factory.mktemp("clip"), vision)


def tower_of(name: str) -> ImageTower:
    backbone = create_backbone(name)
    tower = ImageTower(backbone, 16).eval()
    with torch.no_grad():
        tower.head.weight.copy_(backbone.projection[0])
        tower.head.bias.copy_(backbone.projection[1])
    return tower


def test_the_tower_with_the_projection_as_its_head_is_the_checkpoint(checkpoint, vision, tmp_path):
    size = vision["image_size"]
    reference: Any = open_clip.create_model(checkpoint.removeprefix("open_clip:")).eval()
    pixels = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1))
    tower = tower_of(checkpoint)
    with torch.no_grad():
        expected = reference.encode_image(pixels, normalize=True)
        torch.testing.assert_close(tower(pixels), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(F.normalize(tower.backbone(pixels), dim=-1), expected, atol=1e-5, rtol=0)
    export_image_tower(tower, size, tmp_path / "image.onnx", 18, "float16")
    served = session(tmp_path / "image.onnx").run(None, {"pixels": pixels.numpy()})[0]
    assert F.cosine_similarity(torch.from_numpy(np.asarray(served)), expected).min() > 0.999


def test_texts_are_the_checkpoints_own_whatever_was_done_before(checkpoint):
    reference: Any = open_clip.create_model(checkpoint.removeprefix("open_clip:")).eval()
    tokenizer = open_clip.get_tokenizer(checkpoint.removeprefix("open_clip:"))
    with torch.no_grad():
        expected = reference.encode_text(tokenizer(CAPTIONS), normalize=True)
    cpu = torch.device("cpu")
    torch.testing.assert_close(checkpoint_vectors(checkpoint, CAPTIONS, cpu), expected, atol=1e-5, rtol=0)
    resumed = checkpoint_vectors(checkpoint, CAPTIONS, cpu, expected[:1])
    torch.testing.assert_close(resumed, expected, atol=1e-5, rtol=0)


def test_pictures_are_prepared_as_the_checkpoint_says(checkpoint, vision):
    size = vision["image_size"]
    recipe = preprocess_recipe(create_backbone(checkpoint), size)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (290, 330, 3), np.uint8))
    transform: Any
    _, _, transform = open_clip.create_model_and_transforms(checkpoint.removeprefix("open_clip:"))
    # A level of rounding apart: open_clip resizes both axes in one call.
    assert np.abs(preprocess(image, recipe) - transform(image).numpy()).max() < 2 / 255 / 0.26
    with pytest.raises(ValueError, match=rf"{size} x {size} pixels: set backbone\.size to {size}, not 224"):
        preprocess_recipe(create_backbone(checkpoint), 224)


def test_a_checkpoint_without_weights_is_an_error_and_not_a_random_tower(tmp_path):
    name = tiny_clip(tmp_path, TINY_VISION)
    (tmp_path / "open_clip_model.safetensors").unlink()
    with pytest.raises(RuntimeError):
        read_model(name)
    with pytest.raises(ValueError, match="names no weights"):
        read_model("open_clip:ViT-B-32")


def embedded_captions(folder: Path, count: int = 40, width: int = 24) -> Path:
    """What `embed_captions` leaves behind: captions and features that say which caption it is."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(2)
    for name, number in (("pairs.train", count), ("groups.train", 10), ("prompts", 0)):
        rows = [{"id": str(n), "text": f"{name} {CAPTIONS[n % 4]} number {n}"} for n in range(number)]
        write_rows(folder / f"captions.{name}.jsonl", rows)
        features = torch.randn(number, width, generator=generator).to(torch.bfloat16)
        save_file({"features": features}, folder / f"features.{name}.safetensors")
    return folder


def inherit_config(name: str, **changes) -> dict:
    return {
        "backbone": {"name": name, "size": 64},
        "adapter": {"blocks": 1, "expansion": 2},
        "embed_dim": 16,
        "target": "clip_text",
        "struct_weight": 1.0,
        "batch_size": 50,
        "schedule": schedule(600, lr=5e-3),
        **changes,
    }


def test_inherit_puts_the_adapter_where_the_checkpoint_puts_the_same_captions(tmp_path):
    name = tiny_clip(tmp_path / "clip", TINY_VISION)
    embedded = embedded_captions(tmp_path / "embedded")
    inputs = {"prepare": tmp_path, "embed_captions": embedded, "contrastive": tmp_path, "data": tmp_path}
    job = write_job(tmp_path, "inherit", inputs, inherit_config(name))
    report = run_stage(job)
    assert report["metrics"]["nearest_target_is_own"] > 0.9
    head = load_file(job.parent / "head.safetensors")
    reference: Any = open_clip.create_model(name.removeprefix("open_clip:")).eval()
    assert isinstance(reference.visual.proj, nn.Parameter)
    torch.testing.assert_close(head["weight"], reference.visual.proj.detach().T)
    texts = [json.loads(line)["text"] for line in (embedded / "captions.pairs.train.jsonl").read_text().splitlines()]
    features = load_file(embedded / "features.pairs.train.safetensors")["features"].float()
    tokenizer = open_clip.get_tokenizer(name.removeprefix("open_clip:"))
    with torch.no_grad():
        expected = reference.encode_text(tokenizer(texts), normalize=True)
        learned = load_adapter(job.parent)(features)
    assert F.cosine_similarity(learned, expected).mean() > 0.9


def test_inherit_refuses_what_does_not_go_together(tmp_path):
    name = tiny_clip(tmp_path / "clip", TINY_VISION)
    embedded = embedded_captions(tmp_path / "embedded")
    inputs = {"prepare": tmp_path, "embed_captions": embedded, "contrastive": tmp_path, "data": tmp_path}
    for number, changes in enumerate(
        ({"target": "classifier_rows"}, {"embed_dim": 8}, {"backbone": {"name": "test_vit", "size": 160}})
    ):
        job = write_job(tmp_path, "inherit", inputs, inherit_config(name, **changes), f"inherit-{number}")
        run_stage(job, expect=1)
