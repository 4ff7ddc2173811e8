"""Random crops of images, and the activations of the image tower's frozen part that `embed_images` stores for them."""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
from PIL import Image

from contracts.types import Backbone


class CropsShape(TypedDict):
    """`crops.json`: how the activations were computed."""

    backbone: Backbone
    first_trainable_block: int
    crops: int


@dataclass(frozen=True)
class Activations:
    """Memory-mapped float16 arrays: `train` [images, crops, ...], `plain` and `dev` [images, ...] of whole images."""

    train: np.ndarray
    plain: np.ndarray
    dev: np.ndarray
    shape: CropsShape

    @property
    def block(self) -> int:
        """The first trainable block, whose input the activations are."""
        return self.shape["first_trainable_block"]


def load_activations(folder: Path) -> Activations:
    """The output of `embed_images`."""
    train, plain, dev = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("train", "plain", "dev"))
    shape: CropsShape = json.loads((folder / "crops.json").read_text(encoding="utf-8"))
    return Activations(train, plain, dev, shape)


def random_crop(image: Image.Image, scale: tuple[float, float], seed: str, *, flip: bool) -> Image.Image:
    """A crop of a random fraction (`scale`: least, most) of the area with aspect 3:4 to 4:3; half are mirrored if `flip`."""
    rng = random.Random(seed)
    area, aspect = rng.uniform(*scale), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    width = min(image.width, round(image.width * (area * aspect) ** 0.5))
    height = min(image.height, round(image.height * (area / aspect) ** 0.5))
    left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
    cropped = image.crop((left, top, left + width, top + height))
    if flip and rng.random() < 0.5:
        return cropped.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return cropped
