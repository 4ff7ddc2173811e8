"""The preprocess recipe of a tower's publisher in the words of the contract that training and serving share."""

import warnings
from collections.abc import Sequence
from typing import Any, cast

from contracts.types import PreprocessRecipe


def recipe_of(
    size: int, resize: str, interpolation: str, mean: Sequence[float], std: Sequence[float]
) -> PreprocessRecipe:
    """A preprocess recipe; `shortest` goes with the square in the middle, `squash` and `longest` with the whole picture.

    The contract has one interpolation, Pillow's bicubic. A tower whose publisher resizes bilinearly (PE, MobileCLIP) gets
    bicubic pixels in training and in serving alike, with a warning.
    """
    if interpolation != "bicubic":
        warnings.warn(
            f"this tower's publisher resizes pictures with {interpolation} interpolation, here they are resized with bicubic",
            stacklevel=2,
        )
    return cast(
        Any,
        {
            "resize_mode": resize,
            "size": size,
            "interpolation": "bicubic",
            "crop": "center" if resize == "shortest" else "none",
            "mean": [float(value) for value in mean],
            "std": [float(value) for value in std],
            "color": "rgb",
        },
    )
