"""Recalls of compact vectors, against a slow search written out."""

import numpy as np
import pytest
import torch

from contracts.types import ModelManifestQuantisation
from towers.compact_recalls import as_bits, as_int8, compact_recalls
from towers.metrics import retrieval
from towers.rotation import rotate

RNG = np.random.default_rng(0)
IMAGES = 120
SCALE = 201.0
WRITTEN: ModelManifestQuantisation = {"int8_scale": SCALE}
Vectors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def unit(rows):
    return torch.from_numpy(rows / np.linalg.norm(rows, axis=1, keepdims=True)).float()


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    images = RNG.normal(size=(IMAGES, 32))
    captions = np.repeat(images, 2, 0) + 1.2 * RNG.normal(size=(2 * IMAGES, 32))
    return unit(images), unit(captions), torch.arange(IMAGES).repeat_interleave(2)


def test_float_at_full_length_is_retrieval_and_int8_is_next_to_it(vectors: Vectors):
    found = compact_recalls(*vectors, [32, 16], WRITTEN)
    assert found["float@32"] == pytest.approx(retrieval(*vectors))
    assert found["int8@32"]["mean_recall"] == pytest.approx(found["float@32"]["mean_recall"], abs=0.02)
    assert found["float@16"]["mean_recall"] < found["float@32"]["mean_recall"]
    assert list(found) == [f"{form}@{n}" for n in (32, 16) for form in ("float", "int8", "bits", "bits, rescored")]


def test_bits_and_rescoring_are_the_search_written_out(vectors: Vectors):
    images, captions, image_of = (x.numpy() for x in vectors)
    found = compact_recalls(*vectors, [32], WRITTEN)
    hits = {"bits": 0, "bits, rescored": 0}
    for number, caption in enumerate(captions):
        same_bits = ((caption > 0) == (images > 0)).sum(1)
        hits["bits"] += (same_bits >= same_bits[image_of[number]]).sum() <= 10
        # Equal numbers of bits at the edge of the first 40 are in either order: here none decides.
        first = sorted(range(IMAGES), key=lambda image: -same_bits[image])[:40]
        stored = np.clip(np.rint(images * SCALE), -128, 127)
        exact = (stored / np.linalg.norm(stored, axis=1, keepdims=True)) @ caption
        if image_of[number] in first:
            hits["bits, rescored"] += sum(exact[image] >= exact[image_of[number]] for image in first) <= 10
    assert found["bits@32"]["text_to_image_R@10"] == pytest.approx(hits["bits"] / len(captions))
    assert found["bits, rescored@32"]["text_to_image_R@10"] == pytest.approx(
        hits["bits, rescored"] / len(captions), abs=0.01
    )
    assert found["bits, rescored@32"]["mean_recall"] > found["bits@32"]["mean_recall"]


def test_rotated_bits_find_what_the_last_numbers_say_nothing_of():
    axes = np.exp(-np.arange(64) / 6)
    images = RNG.normal(size=(IMAGES, 64)) * axes
    # The last numbers of a caption are unlike those of its image, and so small that they change no cosine.
    captions = images + 0.3 * axes * RNG.normal(size=(IMAGES, 64)) + 0.05 * RNG.normal(size=(IMAGES, 64))
    owner = torch.arange(IMAGES)
    found = {
        bits: compact_recalls(unit(images), unit(captions), owner, [64], {"int8_scale": SCALE, "bits": bits})
        for bits in ("rotated", "signs")
    }
    plain = compact_recalls(unit(images), unit(captions), owner, [64], WRITTEN)
    assert found["signs"] == plain
    assert found["rotated"]["float@64"] == plain["float@64"] and found["rotated"]["int8@64"] == plain["int8@64"]
    assert found["rotated"]["bits@64"]["mean_recall"] > plain["bits@64"]["mean_recall"] + 0.1
    rotated = [torch.from_numpy(rotate(unit(side).numpy())) for side in (images, captions)]
    assert found["rotated"]["bits@64"] == retrieval(as_bits(rotated[0]), as_bits(rotated[1]), owner)


def test_forms_are_those_that_servers_write():
    x = torch.tensor([[0.5, -0.5, 0.0024875, 0.9, -0.9, 0.0]])
    assert as_int8(x, SCALE).tolist() == [[100, -100, 0, 127, -128, 0]]
    assert as_bits(x).tolist() == [[1, -1, 1, 1, -1, -1]]
