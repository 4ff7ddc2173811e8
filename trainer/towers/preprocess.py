"""Turns image bytes into the image tower's input, as api/encoder/pixels does.

Rules both languages follow (contracts/vectors/preprocess holds the cases):
- the first frame, EXIF orientation applied, embedded colour profiles ignored;
- 16-bit samples keep their high byte; CMYK becomes (255 - ink) * (255 - black) / 255;
- above MAX_IMAGE_PIXELS a JPEG or WebP photo is first halved: ceil(w / 2) x ceil(h / 2), Pillow's bicubic (the encoder's
  decoder halves row by row with the same kernel, a level apart);
- alpha is composited over white: (c * a + 255 * (255 - a) + 127) // 255;
- Pillow's bicubic or bilinear filter on 8-bit RGB, rows before columns;
- (x / 255 - mean) / std per channel, computed in float64, stored as float32.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from contracts.constants import MAX_IMAGE_PIXELS, MAX_PHOTO_PIXELS

# Pillow's filters by their names in a recipe; shrinking widens them (antialiasing).
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
SIDEWAYS = {5, 6, 7, 8}  # EXIF orientations that swap width and height
RECIPE_KEYS = {"resize_mode", "size", "interpolation", "crop", "mean", "std", "color"}


class Geometry(NamedTuple):
    """Resize to `width` x `height`; pixel (left, top) becomes the output's (0, 0), either sign."""

    width: int
    height: int
    left: int
    top: int


def decode(data: bytes, max_pixels: int = MAX_IMAGE_PIXELS, max_photo_pixels: int = MAX_PHOTO_PIXELS) -> Image.Image:
    """An upright 8-bit RGB image from the bytes of an image file."""
    image = Image.open(io.BytesIO(data))
    pixels, most = image.width * image.height, max_photo_pixels if is_photo(image) else max_pixels
    if pixels > most:
        raise ValueError(f"image is {image.width} x {image.height} pixels; at most {most} are allowed")
    rgb = to_rgb(ImageOps.exif_transpose(image))
    return resampled(rgb, *decoded_size(rgb.size, max_pixels), "bicubic") if pixels > max_pixels else rgb


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of an opened image file as it is looked at, without decoding it."""
    return (image.height, image.width) if image.getexif().get(0x0112) in SIDEWAYS else image.size


def decoded_size(size: tuple[int, int], max_pixels: int = MAX_IMAGE_PIXELS) -> tuple[int, int]:
    """(width, height) of what `decode` makes of an upright photo of `size`."""
    width, height = size
    return (-(-width // 2), -(-height // 2)) if width * height > max_pixels else size


def is_photo(image: Image.Image) -> bool:
    """Whether the encoder can halve such a file while it decodes."""
    is_still = getattr(image, "n_frames", 1) == 1
    return image.format in {"JPEG", "MPO"} or (image.format == "WEBP" and is_still)


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB from any mode that Pillow decodes."""
    if image.mode in {"I", "I;16", "I;16B", "I;16L"}:
        samples_HW = np.asarray(image).astype(np.int64) >> 8
        return Image.fromarray(samples_HW.astype(np.uint8)).convert("RGB")
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        rgba_HWC = np.asarray(image.convert("RGBA")).astype(np.uint16)
        alpha_HW1 = rgba_HWC[..., 3:]
        over_white_HWC = (rgba_HWC[..., :3] * alpha_HW1 + 255 * (255 - alpha_HW1) + 127) // 255
        return Image.fromarray(over_white_HWC.astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


def check_recipe(recipe: Mapping[str, Any]) -> None:
    """Refuse a recipe that this file does not implement: its vectors would belong to another space."""
    if set(recipe) != RECIPE_KEYS:
        raise ValueError(f"preprocess recipe keys {sorted(recipe)} are not {sorted(RECIPE_KEYS)}")
    if recipe["interpolation"] not in FILTERS or recipe["color"] != "rgb":
        raise ValueError(f"preprocess recipe: interpolation is one of {sorted(FILTERS)} and color 'rgb'")
    if recipe["resize_mode"] not in {"squash", "shortest", "longest"}:
        raise ValueError(f"preprocess recipe: unknown resize_mode {recipe['resize_mode']!r}")
    if (recipe["resize_mode"] == "shortest") != (recipe["crop"] == "center"):
        raise ValueError("preprocess recipe: crop is 'center' with resize_mode 'shortest' and 'none' otherwise")


def geometry(width: int, height: int, recipe: Mapping[str, Any]) -> Geometry:
    """`shortest` truncates and offsets round half to even, as in torchvision; `longest` rounds."""
    size, mode = int(recipe["size"]), recipe["resize_mode"]
    if mode == "squash":
        return Geometry(size, size, 0, 0)
    if mode == "shortest":
        short = min(width, height)
        resized = (
            size if width <= height else size * width // short,
            size if height <= width else size * height // short,
        )
        return Geometry(*resized, *(round((side - size) / 2) for side in resized))
    scale = size / max(width, height)
    resized = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Geometry(*resized, *(-((size - side) // 2) for side in resized))


def resampled(image: Image.Image, width: int, height: int, interpolation: str) -> Image.Image:
    """Rows first: Pillow up to 12 does so by itself, 13 may start with columns, a level apart."""
    rows = image.resize((width, image.height), FILTERS[interpolation])
    return rows.resize((width, height), FILTERS[interpolation])


def resize(image: Image.Image, recipe: Mapping[str, Any]) -> np.ndarray:
    """uint8 [size, size, 3]: resized, then cropped, or padded with black."""
    check_recipe(recipe)
    size, plan = int(recipe["size"]), geometry(*image.size, recipe)
    resized = resampled(image, plan.width, plan.height, recipe["interpolation"])
    window = (plan.left, plan.top, plan.left + size, plan.top + size)
    return np.asarray(resized.crop(window))


def normalise(pixels_HWC: np.ndarray, recipe: Mapping[str, Any]) -> np.ndarray:
    """float32 [3, size, size]."""
    mean_C, std_C = np.array(recipe["mean"], np.float64), np.array(recipe["std"], np.float64)
    return np.ascontiguousarray(((pixels_HWC / 255.0 - mean_C) / std_C).astype(np.float32).transpose(2, 0, 1))


def preprocess(image: bytes | Image.Image, recipe: Mapping[str, Any]) -> np.ndarray:
    """float32 [3, size, size] from an image file's bytes or from a Pillow image."""
    rgb = decode(image) if isinstance(image, bytes) else to_rgb(ImageOps.exif_transpose(image))
    return normalise(resize(rgb, recipe), recipe)


def pixel_batches(images: Iterable[tuple[str, bytes]], recipe: Mapping[str, Any], size: int) -> Iterator[np.ndarray]:
    """float32 [B, 3, S, S] of (key, file bytes) in their order, `size` images at a time, at the end those that are left."""
    left = iter(images)
    while batch := list(islice(left, size)):
        yield np.stack([preprocess(data, recipe) for _, data in batch])
