"""A step has the same loss and gradient however its batch is cut: into micro-batches, and over ranks."""

import os
import subprocess
from pathlib import Path

import pytest
import torch
from small_steps import FINE, ONLY, clip_step, contrastive_step, region_step

from engine.sharding import equal_parts
from engine.world import ALONE_ON_CPU
from tasks.clip.objective import Objective
from warm import STAGE_ENV, warm_python

ENV = STAGE_ENV | {"PYTHONPATH": os.pathsep.join([STAGE_ENV["PYTHONPATH"], str(Path(__file__).parents[1])])}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """The whole batch at once, by one process."""
    return clip_step(tmp_path_factory.mktemp("clip"), ALONE_ON_CPU)


@pytest.mark.parametrize("size", [5, 100])
def test_the_size_of_a_micro_batch_changes_neither_loss_nor_gradient(tmp_path, clip, size):
    moved = {"image.head.weight", "text.projection.weight", "scales.captions", "scales.classes"}
    assert len(clip["parts"]) == 7 and moved <= set(clip["gradients"])
    cached = clip_step(tmp_path, ALONE_ON_CPU, micro_batch=size)
    torch.testing.assert_close(cached, clip, atol=3e-5, rtol=1e-4)


def test_nor_does_it_where_pictures_have_regions(tmp_path):
    whole = region_step(tmp_path, ALONE_ON_CPU)
    moved = {"image.backbone.conv_head.weight", "image.head.weight", "text.projection.weight", "scales.regions"}
    assert all(whole["gradients"][name].abs().max() > 1e-4 for name in moved)
    torch.testing.assert_close(region_step(tmp_path, ALONE_ON_CPU, micro_batch=3), whole, atol=3e-5, rtol=1e-4)


def test_no_more_images_than_a_micro_batch_are_embedded_at_a_time(tmp_path, monkeypatch):
    sizes = []
    embed = Objective.image_vectors
    monkeypatch.setattr(Objective, "image_vectors", lambda self, x: sizes.append(len(x)) or embed(self, x))
    clip_step(tmp_path, ALONE_ON_CPU, micro_batch=5)
    # Thirteen images in three parts, embedded twice.
    assert sizes == [4, 4, 5, 4, 4, 5]


def test_a_text_tower_computes_in_bfloat16_where_the_recipe_and_the_device_say_so(tmp_path, clip):
    asked = {"text_tower_dtype": "bfloat16"}
    torch.testing.assert_close(clip_step(tmp_path, ALONE_ON_CPU, **asked), clip, atol=0, rtol=0)
    wide, narrow = (clip_step(tmp_path, ALONE_ON_CPU, dtype=torch.bfloat16, **changes) for changes in ({}, asked))
    expected, found = (step["gradients"]["text.projection.weight"].flatten() for step in (wide, narrow))
    assert found.dtype == torch.float32 and not torch.equal(found, expected)
    assert torch.nn.functional.cosine_similarity(found, expected, dim=0) > 0.99


def test_dropout_is_drawn_from_the_largest_seed_of_a_recipe(tmp_path):
    one, other = (clip_step(tmp_path, ALONE_ON_CPU, dropout=0.5, seed=2**53 - n)["parts"]["loss"] for n in (1, 2))
    assert one != other


def test_two_processes_have_the_loss_and_gradient_of_one(tmp_path, clip):
    command = [warm_python(), "-m", "engine.launch", "--processes", "2", "small_steps", str(tmp_path)]
    done = subprocess.run(command, env=ENV, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = torch.load(tmp_path / "steps.pt")
    sigmoid = clip_step(tmp_path, ALONE_ON_CPU, loss="sigmoid")
    assert sigmoid["gradients"]["scales.bias"] != 0
    fine = clip_step(tmp_path, ALONE_ON_CPU, **FINE)
    assert fine["parts"]["hard_negatives"] > 0 and fine["parts"]["text_contrast"] > 0
    regions = region_step(tmp_path, ALONE_ON_CPU)
    assert all(regions["parts"][name] > 0 for name in ("regions", "region_negatives", "region_text_contrast"))
    one_image = region_step(tmp_path, ALONE_ON_CPU, only=ONLY)
    assert one_image["parts"]["regions"] > 0
    expected = {
        "clip": clip,
        "regions": regions,
        "cached regions": regions,
        "regions of one image": one_image,
        "cached": clip,
        "sigmoid": sigmoid,
        "fine": fine,
        "contrastive": contrastive_step(ALONE_ON_CPU),
    }
    torch.testing.assert_close(found, expected, atol=3e-5, rtol=1e-4)


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_every_rank_has_as_many_micro_batches_and_none_is_empty(ranks):
    for groups in range(ranks, 30):
        for size in range(2, 9):
            of_ranks = (2 * (groups // ranks), 2 * -(-groups // ranks))
            counts = set()
            for rank in range(ranks):
                texts = list(range(2 * (groups * (rank + 1) // ranks - groups * rank // ranks)))
                parts = equal_parts(texts, size, of_ranks)
                assert [text for part in parts for text in part] == texts
                assert all(0 < len(part) <= size for part in parts)
                # Alone, parts are full: how texts are padded together decides about the last bits.
                assert ranks > 1 or all(len(part) == size for part in parts[:-1])
                counts.add(len(parts))
            assert len(counts) == 1
