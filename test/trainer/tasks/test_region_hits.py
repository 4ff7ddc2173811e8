"""Regions of dev pictures find their phrases: vectors of texts that are made so that it is known who finds what."""

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from small_towers import SPACE, backbone_of, pixels_for
from tasks.clip_data.regions import DevRegions
from towers.data import write_rows
from towers.image.tower import ImageTower
from towers.text_sets import TextSet

RECIPE = {"resize_mode": "squash", "size": 64}
BOXES = [[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0], [0.25, 0.0, 0.75, 1.0]]
ROWS: list[dict[str, Any]] = [
    {"key": "a", "size": [40, 30], "regions": [{"box": BOXES[0], "text": "ball", "negatives": ["cube"]},
                                               {"box": BOXES[1], "text": "sky", "negatives": ["sea", "mud"]}]},
    {"key": "b"},
    {"key": "c", "size": [50, 50], "regions": [{"box": BOXES[2], "text": "ball"}]},
]  # fmt: skip


@pytest.fixture
def tower():
    return ImageTower(backbone_of("ViT"), SPACE).eval()


def test_a_region_hits_where_its_phrase_or_one_that_is_equal_is_the_nearest(tmp_path, tower):
    pixels, block = pixels_for("ViT", 3), tower.block_count - 1
    with torch.no_grad():
        x = tower.forward_frozen(pixels, block)
        found = tower.forward_regions(x, block, torch.tensor([[BOXES[0], BOXES[1]], [BOXES[0]] * 2, [BOXES[2]] * 2]))[1]
    ball, sky, other = found[0, 0], found[0, 1], found[2, 0]
    # The first ball finds its phrase and is further from the cube; the sky is nearest to the mud, and its phrase is that of a ball's opposite.
    vectors = {"ball": ball + 0.9 * other, "cube": -ball, "sky": -sky, "sea": -sky, "mud": sky}
    texts = [("0", "ball"), ("0", "cube"), ("0", "sky"), ("0", "sea"), ("0", "mud"), ("2", "ball")]
    write_rows(tmp_path / "captions.regions.dev.jsonl", [{"id": image, "text": text} for image, text in texts])
    save_file(
        {"features": torch.stack([vectors[text] for _, text in texts])}, tmp_path / "features.regions.dev.safetensors"
    )
    features = TextSet(tmp_path, "regions.dev", torch.device("cpu")).with_features()
    regions = DevRegions(features, ROWS, 2, RECIPE)
    hits = regions.hits((tower, Unit()), x.numpy().astype(np.float32), block)
    assert hits["region_top1"].tolist() == [1, 0, 1] and hits["region_top5"].tolist() == [1, 1, 1]
    assert hits["region_negatives_top1"].tolist() == [1, 0]  # the other ball has no wrong text
    assert regions.hits((tower, Unit()), x.numpy(), None) == {}


class Unit(nn.Module):
    """A text tower that leaves its input as it is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(x, dim=-1)
