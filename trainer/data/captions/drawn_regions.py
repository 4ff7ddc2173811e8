"""Regions of the crops that a worker has made, with the features of their texts from their store."""

from typing import NamedTuple

import numpy as np
import torch

from data.features import FeatureStore
from data.manifest import ShardError
from towers.regions.seen import Drawn, Regions


class RegionTexts(NamedTuple):
    """Regions of B images, and the features [N, D] of their N texts where there is a store."""

    regions: Regions
    features: torch.Tensor | None

    def pin_memory(self) -> "RegionTexts":
        """For the loader's thread that pins."""
        return self if self.features is None else self._replace(features=self.features.pin_memory())


def regions_beside(drawn: list[Drawn], places_B2: np.ndarray, most: int, store: FeatureStore | None) -> RegionTexts:
    """What was drawn of the images at places (shard, row), at most `most` of each. An image's texts are its group in the store."""
    regions = Regions.of(drawn, most)
    if store is None:
        return RegionTexts(regions, None)
    shards: list[int] = []
    rows: list[int] = []
    for (shard, number), own in zip(places_B2.tolist(), drawn, strict=True):
        if not own.places:
            continue
        stored = store.rows_of(shard, number)
        if len(stored) != own.of:
            raise ShardError(
                f"{store.folder} has {len(stored)} texts of the regions of an image that has {own.of}: embed them again"
            )
        shards += [shard] * len(own.places)
        rows += [stored[place] for place in own.places]
    return RegionTexts(regions, store.gather(np.array(shards, dtype=np.int64), np.array(rows, dtype=np.int64)))
