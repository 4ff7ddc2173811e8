"""A model of plain colours: it sees the colour of a picture and reads the names of colours, and has a tier that reads nothing."""

from collections.abc import Mapping

import numpy as np

from contracts.types import PreprocessRecipe
from evaluation.bench import TextTier
from towers.preprocess import preprocess
from towers.quantisation import WITHOUT_MANIFEST

COLOURS = {
    "red": ((255, 0, 0), "rot", "红"),
    "green": ((0, 255, 0), "grün", "绿"),
    "blue": ((0, 0, 255), "blau", "蓝"),
    "yellow": ((255, 255, 0), "gelb", "黄"),
    "purple": ((255, 0, 255), "lila", "紫"),
    "white": ((255, 255, 255), "weiß", "白"),
    "black": ((0, 0, 0), "schwarz", "黑"),
    "zebra": ((0, 255, 255), "cyan", "青"),  # a colour here; its label is held out
}
NUMBER_OF = {word: number for number, (name, (_, *words)) in enumerate(COLOURS.items()) for word in (name, *words)}
PIXELS_C3 = np.array([rgb for rgb, *_ in COLOURS.values()], np.float32)


class ReadsColours:
    """The sum of the axes of the colours that a text names, at unit length."""

    key = "reads colours"
    calls = 0

    def embed(self, texts):
        self.calls += 1
        rows = np.zeros((len(texts), len(COLOURS)), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word, number in NUMBER_OF.items():
                row[number] += word in text.lower()
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


class TellsNothingApart:
    """One vector for everything."""

    key = "tells nothing apart"

    def embed(self, texts):
        return np.full((len(texts), len(COLOURS)), len(COLOURS) ** -0.5, np.float32)


class SeesColours:
    """An image is the axis of its colour."""

    def __init__(self, space: str = "sees colours") -> None:
        self.space = self.title = space
        self.dims = [8, 4]
        self.quantisation = WITHOUT_MANIFEST
        self.recipe: PreprocessRecipe = {
            "resize_mode": "squash", "size": 4, "interpolation": "bicubic", "crop": "none",
            "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "color": "rgb",
        }  # fmt: skip
        self.reader = ReadsColours()
        self.tiers: Mapping[str, TextTier] = {"colours": self.reader, "nothing": TellsNothingApart()}
        self.seen = 0

    def pixels(self, image):
        return preprocess(image, self.recipe)

    def embed_pixels(self, pixels_B3SS):
        self.seen += len(pixels_B3SS)
        mean_B3 = 255 * pixels_B3SS.mean((2, 3))
        nearest_B = ((mean_B3[:, None] - PIXELS_C3[None]) ** 2).sum(-1).argmin(1)
        return np.eye(len(COLOURS), dtype=np.float32)[nearest_B]
