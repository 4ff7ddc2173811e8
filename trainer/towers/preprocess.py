"""Turns image bytes into the image tower's input, as api/encoder/pixels does.

Rules both languages follow (contracts/vectors/preprocess holds the cases):
- the first frame, EXIF orientation applied, embedded colour profiles ignored;
- 16-bit samples keep their high byte; CMYK becomes (255 - ink) * (255 - black) / 255;
- above MAX_IMAGE_PIXELS a JPEG or WebP photo is first halved: ceil(w / 2) x ceil(h / 2), Pillow's bicubic (the encoder's
  decoder halves row by row with the same kernel, a level apart);
- alpha is composited over white: (c * a + 255 * (255 - a) + 127) // 255;
- Pillow's bicubic or bilinear filter on 8-bit RGB, rows before columns;
- with resize_mode `patches` the picture keeps its shape, as in SigLIP 2 (arXiv:2502.14786): see `patch_grid`;
- (x / 255 - mean) / std per channel, computed in float64, stored as float32.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageFile

from contracts.constants import MAX_IMAGE_PIXELS, MAX_PHOTO_PIXELS

# Pillow's filters by their names in a recipe; shrinking widens them (antialiasing).
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
# What makes a picture of an EXIF orientation upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = {5, 6, 7, 8}  # orientations that swap width and height
RECIPE_KEYS = {"resize_mode", "size", "interpolation", "crop", "mean", "std", "color"}
SCALES = (1e-6, 100.0)  # between which transformers looks for a picture's scale, and how near it comes
SCALE_STEP = 1e-5
UNREADABLE = (OSError, ValueError)  # what `decode` and `preprocess` raise for a picture that cannot be read


class Geometry(NamedTuple):
    """Resize to `width` x `height`; pixel (left, top), of either sign, becomes (0, 0) of an output of `columns` x `rows`."""

    width: int
    height: int
    left: int
    top: int
    columns: int
    rows: int


def decode(data: bytes, max_pixels: int = MAX_IMAGE_PIXELS, max_photo_pixels: int = MAX_PHOTO_PIXELS) -> Image.Image:
    """An upright 8-bit RGB image from the bytes of an image file. Raises one of UNREADABLE."""
    with damage_told():
        image = opened(data, max_pixels, max_photo_pixels)
        is_large = image.width * image.height > max_pixels
        rgb = to_rgb(upright(image))
    return resampled(rgb, *decoded_size(rgb.size, max_pixels), "bicubic") if is_large else rgb


@contextmanager
def damage_told() -> Iterator[None]:
    """Makes a ValueError of what else Pillow's decoders raise: PNG's a SyntaxError, AVIF's a RuntimeError, TIFF's a TypeError."""
    try:
        yield
    except (*UNREADABLE, MemoryError):  # memory is not the picture's fault
        raise
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error
    except Exception as error:
        raise ValueError(f"the file is damaged ({error})") from error


def opened(
    data: bytes, max_pixels: int = MAX_IMAGE_PIXELS, max_photo_pixels: int = MAX_PHOTO_PIXELS
) -> ImageFile.ImageFile:
    """An image file of allowed size, not decoded yet."""
    image = Image.open(io.BytesIO(data))
    most = max_photo_pixels if is_photo(image) else max_pixels
    if image.width * image.height > most:
        raise ValueError(f"image is {image.width} x {image.height} pixels; at most {most} are allowed")
    return image


def upright(image: Image.Image) -> Image.Image:
    """An opened image file as it is looked at; itself where it is not to be turned.

    `ImageOps.exif_transpose` has the same pixels, but writes all tags anew and fails at one of another type than TIFF gives it.
    """
    image.load()  # which turns a TIFF, and finds the EXIF behind the pixels of a PNG
    turn = TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def orientation(image: Image.Image) -> int:
    """EXIF's, 1 to 8; 1 where there is none, or none that the encoder's decoder reads, too."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # of any kind: what is malformed fails where Pillow comes upon it
        return 1
    return int(found) if found in TURNS and not isinstance(found, float) else 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of an opened image file as it is looked at, without decoding it."""
    return (image.height, image.width) if orientation(image) in SIDEWAYS else image.size


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


def keeps_shape(recipe: Mapping[str, Any]) -> bool:
    """Whether pictures keep their shape, and prepared ones differ in theirs."""
    return recipe["resize_mode"] == "patches"


def check_recipe(recipe: Mapping[str, Any]) -> None:
    """Refuse a recipe that this file does not implement: its vectors would belong to another space."""
    keys = RECIPE_KEYS | ({"patch"} if recipe.get("resize_mode") == "patches" else set())
    if set(recipe) != keys:
        raise ValueError(f"preprocess recipe keys {sorted(recipe)} are not {sorted(keys)}")
    if recipe["interpolation"] not in FILTERS or recipe["color"] != "rgb":
        raise ValueError(f"preprocess recipe: interpolation is one of {sorted(FILTERS)} and color 'rgb'")
    if recipe["resize_mode"] not in {"squash", "shortest", "longest", "patches"}:
        raise ValueError(f"preprocess recipe: unknown resize_mode {recipe['resize_mode']!r}")
    if (recipe["resize_mode"] == "shortest") != (recipe["crop"] == "center"):
        raise ValueError("preprocess recipe: crop is 'center' with resize_mode 'shortest' and 'none' otherwise")
    if recipe["resize_mode"] == "patches" and recipe["size"] % recipe["patch"]:
        raise ValueError(f"preprocess recipe: size {recipe['size']} is no multiple of patch {recipe['patch']}")


def patch_grid(width: int, height: int, patch: int, most: int) -> tuple[int, int]:
    """(columns, rows) of a picture of its own shape in at most `most` patches: sides are scaled alike and rounded up to whole patches.

    The largest scale is found by halving, with the ends and the precision of transformers' `Siglip2ImageProcessor`, which decide
    where two grids are nearly equal.
    """

    def grid(scale: float) -> tuple[int, int]:
        return max(1, math.ceil(width * scale / patch)), max(1, math.ceil(height * scale / patch))

    low, high = SCALES
    while high - low >= SCALE_STEP:
        middle = (low + high) / 2
        low, high = (middle, high) if math.prod(grid(middle)) <= most else (low, middle)
    return grid(low)


def geometry(width: int, height: int, recipe: Mapping[str, Any]) -> Geometry:
    """`shortest` truncates and offsets round half to even, as in torchvision; `longest` rounds."""
    size, mode = int(recipe["size"]), recipe["resize_mode"]
    if mode == "patches":
        patch = int(recipe["patch"])
        columns, rows = (side * patch for side in patch_grid(width, height, patch, (size // patch) ** 2))
        return Geometry(columns, rows, 0, 0, columns, rows)
    if mode == "squash":
        return Geometry(size, size, 0, 0, size, size)
    if mode == "shortest":
        short = min(width, height)
        resized = (
            size if width <= height else size * width // short,
            size if height <= width else size * height // short,
        )
        left, top = (round((side - size) / 2) for side in resized)
        return Geometry(*resized, left, top, size, size)
    scale = size / max(width, height)
    resized = (max(1, round(width * scale)), max(1, round(height * scale)))
    left, top = (-((size - side) // 2) for side in resized)
    return Geometry(*resized, left, top, size, size)


def resampled(image: Image.Image, width: int, height: int, interpolation: str) -> Image.Image:
    """Rows first: Pillow up to 12 does so by itself, 13 may start with columns, a level apart."""
    rows = image.resize((width, image.height), FILTERS[interpolation])
    return rows.resize((width, height), FILTERS[interpolation])


def resize(image: Image.Image, recipe: Mapping[str, Any]) -> np.ndarray:
    """uint8 [H, W, 3], a square of `size` but with `patches`: resized, then cropped, or padded with black."""
    check_recipe(recipe)
    plan = geometry(*image.size, recipe)
    resized = resampled(image, plan.width, plan.height, recipe["interpolation"])
    window = (plan.left, plan.top, plan.left + plan.columns, plan.top + plan.rows)
    return np.asarray(resized.crop(window))


def normalise(pixels_HWC: np.ndarray, recipe: Mapping[str, Any]) -> np.ndarray:
    """float32 [3, H, W]."""
    mean_C, std_C = np.array(recipe["mean"], np.float64), np.array(recipe["std"], np.float64)
    return np.ascontiguousarray(((pixels_HWC / 255.0 - mean_C) / std_C).astype(np.float32).transpose(2, 0, 1))


def preprocess(image: bytes | Image.Image, recipe: Mapping[str, Any]) -> np.ndarray:
    """float32 [3, H, W], as `resize`, from an image file's bytes or from a Pillow image."""
    if isinstance(image, bytes):
        return normalise(resize(decode(image), recipe), recipe)
    with damage_told():  # a file that Pillow has opened is decoded here
        rgb = to_rgb(upright(image))
    return normalise(resize(rgb, recipe), recipe)


def by_shape(pictures: Sequence[np.ndarray], embed: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Vectors [N, E] of prepared pictures [3, H, W], of which those of one shape are embedded together, as [B, 3, H, W]."""
    places: dict[tuple[int, ...], list[int]] = {}
    for place, pixels in enumerate(pictures):
        places.setdefault(pixels.shape, []).append(place)
    vectors: dict[int, np.ndarray] = {}
    for some in places.values():
        vectors |= zip(some, embed(np.stack([pictures[place] for place in some])), strict=True)
    return np.stack([vectors[place] for place in range(len(pictures))])


def pixels_of(key: str, data: bytes, read: Callable[[bytes], np.ndarray]) -> np.ndarray:
    """What `read` makes of a picture's bytes. Raises a ValueError that names one which cannot be read."""
    try:
        return read(data)
    except UNREADABLE as error:
        raise ValueError(f"the picture {key} cannot be read: {error}") from error


def pixel_batches(images: Iterable[tuple[str, bytes]], recipe: Mapping[str, Any], size: int) -> Iterator[np.ndarray]:
    """float32 [B, 3, S, S] of (key, file bytes) in their order, `size` images at a time, at the end those that are left."""
    left = iter(images)
    while batch := list(islice(left, size)):
        yield np.stack([pixels_of(key, data, lambda found: preprocess(found, recipe)) for key, data in batch])
