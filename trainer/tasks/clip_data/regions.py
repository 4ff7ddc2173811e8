"""Regions of stored images: what the crops that `embed_images` has made show of them, their texts, and how well dev regions find theirs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from contracts.types import ClipConfig
from data.image import CropOptions, crop_window_seen
from engine.folders.inputs import job_of
from towers.crops import CropDraw
from towers.data import Row
from towers.formats.details import REGIONS
from towers.image.tower import ImageTower, as_read
from towers.metrics import hits_at
from towers.preprocess import decoded_size
from towers.regions.boxes import window_of
from towers.regions.grid import has_grid
from towers.regions.seen import NONE_DRAWN, Drawn, RegionOptions, Regions, draw_regions, size_of
from towers.text_sets import TextSet, text_vectors

PICTURES = 64  # of dev that are measured together


def region_options(config: ClipConfig, embedded: Path) -> RegionOptions | None:
    """How many regions of a picture and wrong texts of each, None where the recipe learns from none."""
    terms = config.get("regions")
    if terms is None:
        return None
    texts = job_of(embedded)["config"].get("regions")
    if texts is None:
        raise ValueError("clip.regions: embed_captions has embedded no phrases: set embed_captions.regions")
    return RegionOptions(terms["per_picture"], texts["negatives"])


class StoredRegions:
    """`texts`: the set `regions.train` of `embed_captions`, in groups named after the number of their image; `rows`: of all images.

    `images`: where `embed_images` has left its crops, whose windows follow from their names. `recipe`: how it resized them.
    """

    def __init__(
        self, texts: TextSet, rows: list[Row], options: RegionOptions, images: Path, recipe: Mapping[str, Any]
    ) -> None:
        self.texts, self.options, self.recipe = texts, options, recipe
        config = job_of(images)["config"]
        low, high = config["crop_scale"]
        self.crop = CropOptions((low, high), config["flip"])
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
        first, count = self.group_of[image]
        window = crop_window_seen(size_of(row), self.recipe, self.crop, f"{row['key']}/{crop}")
        drawn = draw_regions(row, window, self.options, rng)
        if drawn.of != count:
            raise ValueError(f"{row['key']} has {drawn.of} texts of regions, {count} are embedded: embed them again")
        return drawn, [first + place for place in drawn.places]


class DevRegions:
    """Regions of dev images, which are seen whole, against their phrases. `texts`: the set `regions.dev`; `rows`: of all dev images."""

    def __init__(self, texts: TextSet, rows: list[Row], negatives: int, recipe: Mapping[str, Any]) -> None:
        self.texts = texts
        first_of = {int(key): int(first) for key, first in zip(texts.keys, texts.first_of_G, strict=True)}
        self.images = np.array([number for number, row in enumerate(rows) if row.get(REGIONS)])
        drawn: list[Drawn] = []
        numbers: list[int] = []
        for image in self.images.tolist():
            row, size = rows[image], decoded_size(size_of(rows[image]))
            window = window_of(size, CropDraw((0, 0, *size), is_mirrored=False), recipe)
            every = RegionOptions(len(row[REGIONS]), negatives)
            drawn.append(draw_regions(row, window, every, np.random.default_rng(0)))
            numbers += [first_of[image] + place for place in drawn[-1].places]
        self.regions = Regions.of(drawn, max(len(found.texts) for found in drawn))
        self.numbers = np.array(numbers, dtype=np.int64)

    def hits(
        self, towers: tuple[ImageTower, nn.Module], activations: np.ndarray, block: int | None
    ) -> dict[str, np.ndarray]:
        """1 or 0 for every region whose phrase is the nearest, or among the nearest five, of all different ones (`region_top1`,
        `region_top5`); for every one whose phrase is nearer than all wrong texts of it (`region_negatives_top1`). By metric; none
        of a tower whose grid is not known.
        """
        tower, text_tower = towers
        if block is None or not has_grid(tower.layout) or len(self.numbers) == 0:
            return {}
        text_TE = text_vectors(text_tower, self.texts, self.numbers)
        region_RE, firsts = self.vectors(tower, activations, block), self.regions.firsts
        phrases = [self.regions.texts[number] for number in firsts]
        _, first_of_K, kind_R = np.unique(phrases, return_index=True, return_inverse=True)
        hits = hits_at("region", region_RE, text_TE[firsts[first_of_K]], torch.from_numpy(kind_R))
        wrong, is_there_RH = self.regions.wrong()
        if len(wrong):
            wrong_W = (region_RE[is_there_RH.nonzero()[:, 0]] * text_TE[wrong]).sum(1)
            nearest_R = torch.full(is_there_RH.shape, -2.0).masked_scatter(is_there_RH, wrong_W).amax(1)
            right_R = (region_RE * text_TE[firsts]).sum(1)
            hits["region_negatives_top1"] = (right_R > nearest_R)[is_there_RH.any(1)].double().numpy()
        return hits

    @torch.inference_mode()
    def vectors(self, tower: ImageTower, activations: np.ndarray, block: int) -> torch.Tensor:
        """Unit vectors of all regions [R, E], float32 on the CPU."""
        tower.eval()
        out = []
        for start in range(0, len(self.images), PICTURES):
            part = slice(start, start + PICTURES)
            x = as_read(np.array(activations[self.images[part]]), tower.head.weight.device)
            _, vectors_BPE = tower.forward_regions(x, block, self.regions.boxes[part].to(x.device))
            out.append(vectors_BPE.cpu()[self.regions.is_there[part]])
        return torch.cat(out).clone()
