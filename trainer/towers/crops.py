"""Random crops of images, and the activations and features of the frozen image tower that `embed_images` stores."""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NotRequired, TypedDict

import numpy as np
from PIL import Image

from contracts.types import Backbone


class Streamed(TypedDict):
    """How crops of train images are made where none are stored."""

    crop_scale: tuple[float, float]
    flip: bool
    low_resolution: float
    low_resolution_side: tuple[int, int]


class CropsShape(TypedDict):
    """`crops.json`: how the activations were computed. `streamed`: nothing of train images is stored."""

    backbone: Backbone
    first_trainable_block: int | None
    crops: int
    streamed: NotRequired[Streamed]


@dataclass(frozen=True)
class WholeImages:
    """Memory-mapped float16 activations [images, ...] of whole images that are not trained on, None where there are none."""

    dev: np.ndarray
    unseen: np.ndarray | None
    classes: np.ndarray | None
    block: int | None


@dataclass(frozen=True)
class Activations:
    """Memory-mapped float16 arrays: `train` [images, crops, ...], the others [images, ...] of whole images.

    `features` are the pooled features of the frozen tower for `train` [images, crops, F], of crops at full resolution. `unseen` (labelled pictures of
    held-out labels) and `classes` (class images) are None where the data has none.
    """

    train: np.ndarray
    features: np.ndarray
    plain: np.ndarray
    dev: np.ndarray
    unseen: np.ndarray | None
    classes: np.ndarray | None
    shape: CropsShape

    @property
    def block(self) -> int | None:
        """The first trainable block, whose input the activations are; None: the activations are the features."""
        return self.shape["first_trainable_block"]

    @property
    def whole(self) -> WholeImages:
        """Those that are measured on."""
        return WholeImages(self.dev, self.unseen, self.classes, self.block)


def read_crops(folder: Path) -> CropsShape:
    """How `embed_images` computed what it stored."""
    return json.loads((folder / "crops.json").read_text(encoding="utf-8"))


def load_whole_images(folder: Path) -> WholeImages:
    """What `embed_images` stored of images that are not trained on."""
    dev, unseen, classes = (array_of(folder, name) for name in ("dev", "unseen", "classes"))
    if dev is None:
        raise FileNotFoundError(f"{folder} lacks activations of dev images: has it been written by embed_images?")
    return WholeImages(dev, unseen, classes, read_crops(folder)["first_trainable_block"])


def array_of(folder: Path, name: str) -> np.ndarray | None:
    """A stored array, mapped; None where there is none."""
    file = folder / f"{name}.npy"
    return np.load(file, mmap_mode="r") if file.exists() else None


def load_activations(folder: Path) -> Activations:
    """The output of `embed_images`."""
    shape = read_crops(folder)
    arrays = {name: array_of(folder, name) for name in ("train", "features", "plain", "dev", "unseen", "classes")}
    train, features, plain, dev = arrays["train"], arrays["features"], arrays["plain"], arrays["dev"]
    if features is None and shape["first_trainable_block"] is None:
        features = train
    if train is None or features is None or plain is None or dev is None:
        raise FileNotFoundError(f"{folder} lacks activations: has it been written by embed_images?")
    return Activations(train, features, plain, dev, arrays["unseen"], arrays["classes"], shape)


def crop_window(width: int, height: int, scale: tuple[float, float], rng: random.Random) -> tuple[int, int, int, int]:
    """(left, top, width, height) of a random fraction (`scale`: least, most) of the area with aspect 3:4 to 4:3."""
    area, aspect = rng.uniform(*scale), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    cropped_width = min(width, round(width * (area * aspect) ** 0.5))
    cropped_height = min(height, round(height * (area / aspect) ** 0.5))
    return rng.randint(0, width - cropped_width), rng.randint(0, height - cropped_height), cropped_width, cropped_height


class CropDraw(NamedTuple):
    """A crop that was drawn: `window` (left, top, width, height) in pixels, and whether it is mirrored."""

    window: tuple[int, int, int, int]
    is_mirrored: bool


def drawn_crop(size: tuple[int, int], scale: tuple[float, float], seed: str, *, flip: bool) -> CropDraw:
    """The crop of a picture of `size` (width, height) that a seed draws: half are mirrored if `flip`."""
    rng = random.Random(seed)
    return CropDraw(crop_window(*size, scale, rng), flip and rng.random() < 0.5)


def random_crop(image: Image.Image, scale: tuple[float, float], seed: str, *, flip: bool) -> Image.Image:
    """A crop of a random fraction (`scale`: least, most) of the area with aspect 3:4 to 4:3; half are mirrored if `flip`."""
    (left, top, width, height), is_mirrored = drawn_crop(image.size, scale, seed, flip=flip)
    cropped = image.crop((left, top, left + width, top + height))
    return cropped.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if is_mirrored else cropped


def shrunk(image: Image.Image, sides: tuple[int, int], seed: str) -> Image.Image:
    """The image with a shorter side of a random length between `sides`, smoothly or as a mean of squares of pixels."""
    rng = random.Random(seed)
    side = round(np.exp(rng.uniform(np.log(sides[0]), np.log(sides[1]))))
    scale = min(1.0, side / min(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, rng.choice([Image.Resampling.BICUBIC, Image.Resampling.BOX]))
