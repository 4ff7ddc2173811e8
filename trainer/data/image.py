"""Pictures for training as uint8: what serving sees of a whole image, random crops of it, and their normalisation on the device.

Everything is decoded by towers/preprocess.py, as in preparation and serving. The one exception is a JPEG whose crop is much
larger than the tower's input: it is decoded at half, a quarter or an eighth of its size, which costs a fraction of the time.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image

from towers.crops import drawn_crop, random_crop, shrunk
from towers.preprocess import (
    FILTERS,
    check_recipe,
    damage_told,
    decode,
    decoded_size,
    resampled,
    resize,
    to_rgb,
    upright,
    upright_size,
)
from towers.regions.boxes import Window, window_of

SCALES = (8, 4, 2)  # by which libjpeg decodes smaller


@dataclass(frozen=True)
class CropOptions:
    """`scale`: least and most of the area. `reduced`: JPEGs are decoded smaller where the crop allows it (other pixels, faster)."""

    scale: tuple[float, float]
    flip: bool = False
    reduced: bool = False


def whole_pixels(data: bytes, recipe: Mapping[str, Any]) -> np.ndarray:
    """uint8 [3, S, S]: what serving makes of the image before it normalises."""
    return channels_first(resize(decode(data), recipe))


def crop_pixels(data: bytes, recipe: Mapping[str, Any], options: CropOptions, seed: str) -> np.ndarray:
    """uint8 [3, S, S]: a random crop, the same for the same seed whoever makes it."""
    if is_reduced(options, recipe):
        return reduced_crop(data, recipe, options, seed)
    return channels_first(resize(random_crop(decode(data), options.scale, seed, flip=options.flip), recipe))


def is_reduced(options: CropOptions, recipe: Mapping[str, Any]) -> bool:
    """Whether a crop is cut from a JPEG that may be decoded smaller; a padded one is not."""
    return options.reduced and recipe["resize_mode"] != "longest"


def crop_window_seen(size: tuple[int, int], recipe: Mapping[str, Any], options: CropOptions, seed: str) -> Window:
    """What `crop_pixels` shows of an upright picture of `size` (width, height) with the same seed."""
    drawn_from = size if is_reduced(options, recipe) else decoded_size(size)
    return window_of(drawn_from, drawn_crop(drawn_from, options.scale, seed, flip=options.flip), recipe)


@damage_told()
def reduced_crop(data: bytes, recipe: Mapping[str, Any], options: CropOptions, seed: str) -> np.ndarray:
    """The crop of `crop_pixels`, cut and resized in one pass from an image that may have been decoded smaller."""
    check_recipe(recipe)
    image, size = Image.open(io.BytesIO(data)), int(recipe["size"])
    width, height = upright_size(image)
    window, is_mirrored = drawn_crop((width, height), options.scale, seed, flip=options.flip)
    left, top, crop_width, crop_height = window
    if recipe["resize_mode"] == "shortest":
        side = min(crop_width, crop_height)
        left, top = left + (crop_width - side) / 2, top + (crop_height - side) / 2
        crop_width = crop_height = side
    smaller = next((scale for scale in SCALES if min(crop_width, crop_height) >= scale * size), 1)
    if image.format == "JPEG" and smaller > 1:
        image.draft("RGB", (image.width // smaller, image.height // smaller))
        image.load()
    rgb = to_rgb(upright(image))
    x, y = rgb.width / width, rgb.height / height
    box = (left * x, top * y, min((left + crop_width) * x, rgb.width), min((top + crop_height) * y, rgb.height))
    pixels_HWC = np.asarray(rgb.resize((size, size), FILTERS[recipe["interpolation"]], box=box))
    return channels_first(pixels_HWC[:, ::-1] if is_mirrored else pixels_HWC)


def low_pixels(pixels_CHW: np.ndarray, recipe: Mapping[str, Any], sides: tuple[int, int], seed: str) -> np.ndarray:
    """uint8 [3, S, S]: the same as a small picture has it, shrunk to a shorter side between `sides` and enlarged again."""
    size = pixels_CHW.shape[1]
    small = shrunk(Image.fromarray(np.ascontiguousarray(pixels_CHW.transpose(1, 2, 0))), sides, seed)
    return channels_first(np.asarray(resampled(small, size, size, recipe["interpolation"])))


def channels_first(pixels_HWC: np.ndarray) -> np.ndarray:
    """[3, S, S] in one piece."""
    return np.ascontiguousarray(pixels_HWC.transpose(2, 0, 1))


def normalised(
    pixels_BCHW: torch.Tensor, recipe: Mapping[str, Any], device: torch.device, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """The tower's input [B, 3, S, S] from uint8: copied as bytes, normalised on the device in float32."""
    pixels = pixels_BCHW.to(device, non_blocking=True).to(dtype=torch.float32, memory_format=torch.channels_last)
    mean_C11, std_C11 = (on_device(tuple(recipe[name]), device) for name in ("mean", "std"))
    return ((pixels / 255 - mean_C11) / std_C11).to(dtype)


@lru_cache(maxsize=8)
def on_device(values_C: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """A number for each channel [3, 1, 1], copied once: a copy makes a step wait for a GPU."""
    return torch.tensor(values_C, device=device).view(3, 1, 1)
