"""Regions of stored images: what the crops that `embed_images` has made show of them, and their texts as the text tower reads them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from contracts.constants import FILE_JOB
from contracts.types import ClipConfig
from towers.crops import drawn_crop
from towers.data import Row
from towers.formats.details import REGIONS
from towers.preprocess import decoded_size
from towers.regions.boxes import window_of
from towers.regions.seen import NONE_DRAWN, SIZE, Drawn, RegionOptions, draw_regions
from towers.text_sets import TextSet


def config_of(folder: Path) -> dict[str, Any]:
    """The settings that a finished stage was run with."""
    return json.loads((folder / FILE_JOB).read_text(encoding="utf-8"))["config"]


def region_options(config: ClipConfig, embedded: Path) -> RegionOptions | None:
    """How many regions of a picture and wrong texts of each, None where the recipe learns from none."""
    terms = config.get("regions")
    if terms is None:
        return None
    texts = config_of(embedded).get("regions")
    if texts is None:
        raise ValueError("clip.regions: embed_captions has embedded no phrases: set embed_captions.regions")
    return RegionOptions(terms["per_picture"], texts["negatives"])


class StoredRegions:
    """`texts`: the set `regions.train` of `embed_captions`, in groups named after the number of their image; `rows`: of all images.

    `images`: where `embed_images` has left its crops, whose windows follow from their names. `recipe`: how it resized them.
    """

    def __init__(
        self, texts: TextSet, rows: list[Row], options: RegionOptions, images: Path, recipe: dict[str, Any]
    ) -> None:
        self.texts, self.options, self.recipe = texts, options, recipe
        config = config_of(images)
        self.scale, self.flip = tuple(config["crop_scale"]), config["flip"]
        self.row_of = {number: row for number, row in enumerate(rows) if row.get(REGIONS)}
        groups = zip(texts.keys, texts.first_of_G.tolist(), texts.count_of_G.tolist(), strict=True)
        self.group_of = {int(image): (first, count) for image, first, count in groups}
        if self.row_of.keys() != self.group_of.keys():
            raise ValueError("embed_captions was run on other regions than prepare has now: embed them again")

    def drawn(self, image: int, crop: int, rng: np.random.Generator) -> tuple[Drawn, list[int]]:
        """Some of what a crop shows of an image's regions, and the numbers of their texts."""
        row = self.row_of.get(image)
        if row is None:
            return NONE_DRAWN, []
        (first, count), size = self.group_of[image], decoded_size(tuple(row[SIZE]))
        window = window_of(size, drawn_crop(size, self.scale, f"{row['key']}/{crop}", flip=self.flip), self.recipe)
        drawn = draw_regions(row, window, self.options, rng)
        if drawn.of != count:
            raise ValueError(f"{row['key']} has {drawn.of} texts of regions, {count} are embedded: embed them again")
        return drawn, [first + place for place in drawn.places]
