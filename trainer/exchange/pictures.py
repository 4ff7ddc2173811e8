"""How a checkpoint of transformers wants its pictures: its image processor's settings as a preprocessing recipe."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from contracts.types import PreprocessRecipe
from exchange.refusal import CannotExpress
from towers.image.preprocessing import recipe_of
from towers.preprocess import FILTERS

RESAMPLING = {int(number): name for name, number in FILTERS.items()}


class PictureSettings(NamedTuple):
    """What an image processor of transformers was saved with, and in which file."""

    file: Path
    own: Mapping[str, Any]


def picture_settings(folder: Path) -> PictureSettings | None:
    """Of `processor_config.json`, which a whole processor writes, or else `preprocessor_config.json`: transformers' order.

    Raises CannotExpress for settings that change pixels otherwise than they are served.
    """
    for name, inside in (("processor_config.json", "image_processor"), ("preprocessor_config.json", None)):
        file = folder / name
        found = settings_in(file) if file.is_file() else None
        own = found.get(inside) if found and inside else found
        if own is None:
            continue
        left = next((step for step in ("do_resize", "do_rescale", "do_normalize") if own.get(step) is False), None)
        if left is not None or abs(own.get("rescale_factor", 1 / 255) * 255 - 1) > 1e-4:
            what = f"{left}: false" if left else f"rescale_factor: {own['rescale_factor']}"
            raise CannotExpress(f"{file} has {what}: served are pixels from 0 to 1, resized and normalised")
        return PictureSettings(file, own)
    return None


def settings_in(file: Path) -> Mapping[str, Any]:
    """The document of a file. Raises CannotExpress, which names it, for one that is none."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CannotExpress(f"{file} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise CannotExpress(f"{file} holds no settings of an image processor")
    return document


def needed_settings(folder: Path) -> PictureSettings:
    """The same. Raises CannotExpress where there are none."""
    found = picture_settings(folder)
    if found is None:
        raise CannotExpress(
            f"{folder} has no preprocessor_config.json, and no processor_config.json with an image processor: one of them says how "
            "pictures are prepared"
        )
    return found


def transformers_preprocessing(folder: Path) -> PreprocessRecipe:
    """Of CLIP's and SigLIP's image processors."""
    file, own = needed_settings(folder)
    lacking = [name for name in ("size", "image_mean", "image_std") if name not in own]
    if lacking:
        raise CannotExpress(f"{file} has no {' and no '.join(lacking)}, which say how pictures are prepared")
    size, crop = own["size"], own.get("crop_size")
    shortest = size if isinstance(size, int) else size.get("shortest_edge")
    side = crop if isinstance(crop, int) or crop is None else crop["height"]
    interpolation = resampling(file, own, default=3)
    if shortest is not None and own.get("do_center_crop", True) and side == shortest:
        return recipe_of(shortest, "shortest", interpolation, own["image_mean"], own["image_std"])
    if isinstance(size, dict) and size.get("height") == size.get("width") and not own.get("do_center_crop", False):
        return recipe_of(size["height"], "squash", interpolation, own["image_mean"], own["image_std"])
    raise CannotExpress(
        f"{file} resizes to {size} and crops to {crop}: served are a squashed square, and a cropped one of one side"
    )


def resampling(file: Path, own: Mapping[str, Any], default: int) -> str:
    """The filter's name. Raises CannotExpress for one that is not served."""
    number = own.get("resample", default)
    if number not in RESAMPLING:
        raise CannotExpress(f"{file} resamples with filter {number}: {' and '.join(FILTERS)} are served")
    return RESAMPLING[number]


def own_shape_preprocessing(folder: Path, cut_by: int) -> PreprocessRecipe:
    """Of Siglip2ImageProcessor, with its defaults, for a tower that cuts patches of `cut_by` pixels.

    Raises CannotExpress for patches of another side, and a number of patches that is no square or too large.
    """
    file, own = needed_settings(folder)
    patch, most = own.get("patch_size", 16), own.get("max_num_patches", 256)
    if patch != cut_by:
        raise CannotExpress(
            f"{file} makes patches of {patch} pixels, and the tower cuts pictures by {cut_by} (vision_config of config.json): they are "
            "of different models"
        )
    grid = round(most**0.5)
    if grid**2 != most:
        raise CannotExpress(
            f"{file} allows {most} patches: served are as many as a square has: set max_num_patches to {grid**2}, for instance"
        )
    interpolation = resampling(file, own, default=2)
    square = recipe_of(grid * patch, "patches", interpolation, own["image_mean"], own["image_std"])
    return {**square, "patch": patch}
