"""The preprocess recipe of a tower's publisher in the words of the contract that training and serving share."""

from collections.abc import Sequence
from typing import Any, cast

from contracts.constants import MAX_TOWER_SIDE
from contracts.types import PreprocessRecipe
from towers.preprocess import FILTERS


def recipe_of(
    size: int, resize: str, interpolation: str, mean: Sequence[float], std: Sequence[float]
) -> PreprocessRecipe:
    """A preprocess recipe; `shortest` goes with the square in the middle, `squash` and `longest` with the whole picture.

    Raises ValueError for an interpolation or a size that serving does not have: pictures would be others than the tower was trained with.
    """
    if size > MAX_TOWER_SIDE:
        raise ValueError(
            f"this tower's publisher makes pictures of {size} pixels a side, or as many as they have: at most {MAX_TOWER_SIDE} are served"
        )
    if interpolation not in FILTERS:
        raise ValueError(
            f"this tower's publisher resizes pictures with {interpolation} interpolation: {' and '.join(FILTERS)} are served"
        )
    return cast(
        Any,
        {
            "resize_mode": resize,
            "size": size,
            "interpolation": interpolation,
            "crop": "center" if resize == "shortest" else "none",
            "mean": [float(value) for value in mean],
            "std": [float(value) for value in std],
            "color": "rgb",
        },
    )
