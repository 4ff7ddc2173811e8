"""The image tower as it was before training, asked anew at every step: where nothing of train images is stored."""

import copy
from collections.abc import Mapping
from typing import Any

import torch

from data.image import normalised
from tasks.clip_data.batch import Place
from towers.image.tower import ImageTower


class FrozenTower:
    """A copy of a tower's backbone that never trains, in the dtype of its products. b images, F features."""

    def __init__(self, tower: ImageTower, recipe: Mapping[str, Any], block: int | None, place: Place) -> None:
        self.recipe, self.block, self.place = recipe, block, place
        self.tower = ImageTower(copy.deepcopy(tower.backbone), 1).to_device(place.world.device, place.dtype).eval()
        self.tower.requires_grad_(requires_grad=False)

    def pixels(self, pixels_bCHW: torch.Tensor) -> torch.Tensor:
        """The tower's input from uint8 on the CPU."""
        return normalised(pixels_bCHW, self.recipe, self.place.world.device, self.place.dtype)

    @torch.no_grad()
    def activations(self, pixels_bCHW: torch.Tensor) -> torch.Tensor:
        """What the first trained block reads of uint8 images: pixels for block 0, features for None."""
        x = self.tower.forward_frozen(self.pixels(pixels_bCHW), self.block)
        return x.float() if self.block is None else x

    @torch.no_grad()
    def features(self, activations: torch.Tensor) -> torch.Tensor:
        """Pooled features [b, F] of the whole frozen tower from its activations, float32."""
        return self.tower.pooled_features(activations, self.block).float()
