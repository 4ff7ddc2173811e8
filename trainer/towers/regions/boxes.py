"""Where the boxes of a picture lie in what a tower sees of it: a random crop, mirrored or not, resized as the tower's recipe says.

A box is [left, top, right, bottom] in fractions of the width and height of the upright picture, or of the tower's square input.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from towers.crops import CropDraw

VISIBLE = 0.5  # of a box's area that a crop has to show, or the box is left out


class Window(NamedTuple):
    """What the input shows: `square` is all of it, `shown` the part of the picture in it, both in fractions of the picture.

    Where a recipe pads, the square reaches beyond what is shown.
    """

    square: tuple[float, float, float, float]
    shown: tuple[float, float, float, float]
    is_mirrored: bool


def window_of(size: Sequence[int], draw: CropDraw, recipe: Mapping[str, Any]) -> Window:
    """What the input shows of a crop of a picture of `size` (width, height), after the resizing of a preprocess recipe.

    `squash` stretches the crop over the square, `shortest` keeps its central square, `longest` pads it to one.
    """
    left, top, width, height = draw.window
    side = {"squash": None, "shortest": min(width, height), "longest": max(width, height)}[recipe["resize_mode"]]
    span_x, span_y = (width, height) if side is None else (side, side)
    middle_x, middle_y = left + width / 2, top + height / 2
    square = (middle_x - span_x / 2, middle_y - span_y / 2, middle_x + span_x / 2, middle_y + span_y / 2)
    shown = (max(left, square[0]), max(top, square[1]), min(left + width, square[2]), min(top + height, square[3]))

    def in_picture(corners: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        x0, y0, x1, y1 = corners
        return x0 / size[0], y0 / size[1], x1 / size[0], y1 / size[1]

    return Window(in_picture(square), in_picture(shown), draw.is_mirrored)


def boxes_seen(boxes_R4: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """(boxes in the input [R, 4], which of them it shows [R]), of boxes in a picture.

    A box is cut to what is shown; one of which less than `VISIBLE` is left is not there.
    """
    lows_R2 = np.maximum(boxes_R4[:, :2], window.shown[:2])
    highs_R2 = np.minimum(boxes_R4[:, 2:], window.shown[2:])
    left_R = np.prod((highs_R2 - lows_R2).clip(min=0), 1)
    is_seen_R = left_R >= VISIBLE * np.prod(boxes_R4[:, 2:] - boxes_R4[:, :2], 1)
    start_2, span_2 = np.array(window.square[:2]), np.subtract(window.square[2:], window.square[:2])
    lows_R2, highs_R2 = (lows_R2 - start_2) / span_2, (highs_R2 - start_2) / span_2
    if window.is_mirrored:
        lows_R2[:, 0], highs_R2[:, 0] = 1 - highs_R2[:, 0], 1 - lows_R2[:, 0]
    return np.concatenate([lows_R2, highs_R2], 1).astype(np.float32), is_seen_R
