"""The regions of a step's pictures: which of a picture's are learned from, where they are in its crop, and their texts.

Shapes: n pictures, P regions of one at most, R regions of all, H wrong texts of a region at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from towers.data import Row
from towers.formats.details import REGIONS
from towers.regions.boxes import Window, boxes_seen
from towers.text.wrong_captions import wrong_texts

SIZE = "size"  # of a row with regions: width and height of its upright picture, in pixels


def size_of(row: Row) -> tuple[int, int]:
    """(width, height) of the stored picture of a row with regions, as it is looked at."""
    width, height = row[SIZE]
    return width, height


class RegionOptions(NamedTuple):
    """At most so many regions of a picture in a step, and at most so many wrong texts of a phrase."""

    per_picture: int
    negatives: int


def region_texts(row: Row, negatives: int) -> list[list[str]]:
    """Of every region of a picture its phrase, and at most so many texts behind it that are false of it."""
    return [[region["text"], *wrong_texts(region, region["text"], negatives)] for region in row.get(REGIONS, [])]


class Drawn(NamedTuple):
    """Regions of one picture in a crop: boxes in the input [r, 4], the texts of each, the place of each text among `of` of the picture."""

    boxes_r4: np.ndarray
    texts: list[list[str]]
    places: list[int]
    of: int


NONE_DRAWN = Drawn(np.zeros((0, 4), np.float32), [], [], 0)


def draw_regions(row: Row, window: Window, options: RegionOptions, rng: np.random.Generator) -> Drawn:
    """Random ones of the regions that a crop shows, in their order; of a picture without regions none."""
    if not row.get(REGIONS):
        return NONE_DRAWN
    boxes_r4, is_seen_r = boxes_seen(np.array([region["box"] for region in row[REGIONS]], np.float64), window)
    seen = np.flatnonzero(is_seen_r)
    if len(seen) > options.per_picture:
        seen = np.sort(rng.permutation(seen)[: options.per_picture])
    texts = region_texts(row, options.negatives)
    first = np.cumsum([0, *map(len, texts)])
    places = [place for number in seen for place in range(int(first[number]), int(first[number + 1]))]
    return Drawn(boxes_r4[seen], [texts[number] for number in seen], places, int(first[-1]))


@dataclass(frozen=True)
class Regions:
    """Of n pictures in their order: `boxes` float32 [n, P, 4] and `is_there` [n, P]; `texts` one after the other, `counts` [R] of each region."""

    boxes: torch.Tensor
    is_there: torch.Tensor
    texts: list[str]
    counts: np.ndarray

    @classmethod
    def of(cls, drawn: Sequence[Drawn], most: int) -> "Regions":
        """What was drawn of each picture, at most `most` regions."""
        boxes, is_there = torch.zeros(len(drawn), most, 4), torch.zeros(len(drawn), most, dtype=torch.bool)
        for number, regions in enumerate(drawn):
            count = len(regions.texts)
            boxes[number, :count], is_there[number, :count] = torch.from_numpy(regions.boxes_r4), True
        texts = [texts for regions in drawn for texts in regions.texts]
        counts = np.array([len(of_region) for of_region in texts], dtype=np.int64)
        return cls(boxes, is_there, [text for of_region in texts for text in of_region], counts)

    @property
    def firsts(self) -> np.ndarray:
        """The number of each region's phrase [R] among the texts."""
        return np.cumsum(self.counts) - self.counts

    def phrases(self, pictures: slice = slice(None)) -> np.ndarray:
        """The numbers of the phrases of some of the pictures."""
        start, end, _ = pictures.indices(len(self.is_there))
        before, among = (int(self.is_there[part].sum()) for part in (slice(start), slice(start, end)))
        return self.firsts[before : before + among]

    def wrong(self) -> tuple[np.ndarray, torch.Tensor]:
        """(the numbers of all wrong texts, which of H each region has [R, H])."""
        phrases = np.zeros(len(self.texts), dtype=bool)
        phrases[self.firsts] = True
        others = self.counts - 1
        most = int(others.max(initial=0))
        return np.flatnonzero(~phrases), torch.from_numpy(np.arange(most)[None] < others[:, None])

    def followed_by(self, pictures: int) -> "Regions":
        """The same with pictures behind these that have no regions."""
        boxes, is_there = (
            torch.cat([tensor, tensor.new_zeros((pictures, *tensor.shape[1:]))])
            for tensor in (self.boxes, self.is_there)
        )
        return Regions(boxes, is_there, self.texts, self.counts)
