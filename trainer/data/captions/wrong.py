"""Wrong texts of the captions that a worker has drawn: they are made again, and their features are read from their store."""

from typing import NamedTuple

import numpy as np
import torch

from data.features import FeatureStore
from data.manifest import ShardError


class WrongTexts(NamedTuple):
    """H texts for each of B texts, which of them there are [B, H], and their features [B, H, D] where there is a store.

    One that is not there is the right text, so that a text tower reads nothing unusual.
    """

    texts: list[list[str]]
    is_there: torch.Tensor
    features: torch.Tensor | None

    def pin_memory(self) -> "WrongTexts":
        """For the loader's thread that pins."""
        return self if self.features is None else self._replace(features=self.features.pin_memory())


class Right(NamedTuple):
    """The captions that were drawn: texts, their shards and rows within them [B], features [B, D]; None where none are read."""

    texts: list[str]
    shards_B: np.ndarray
    rows_B: np.ndarray
    features_BD: torch.Tensor | None


def wrong_beside(right: Right, made: list[list[str]], most: int, store: FeatureStore | None) -> WrongTexts:
    """What was `made` for each caption, at most `most` texts. A caption's row in the store of captions is its group in that of wrong ones."""
    texts = [[*found, *[text] * (most - len(found))] for text, found in zip(right.texts, made, strict=True)]
    counts_B = np.array([len(found) for found in made])
    is_there_BH = torch.from_numpy(np.arange(most)[None] < counts_B[:, None])
    if store is None or right.features_BD is None:
        return WrongTexts(texts, is_there_BH, None)
    rows: list[int] = []
    for shard, caption, count in zip(right.shards_B.tolist(), right.rows_B.tolist(), counts_B.tolist(), strict=True):
        stored = store.rows_of(shard, caption)
        if len(stored) != count:
            raise ShardError(
                f"{store.folder} has {len(stored)} wrong texts of a caption that has {count}: embed them again"
            )
        rows += stored
    features_BHD = right.features_BD[:, None].repeat(1, most, 1)
    features_BHD[is_there_BH] = store.gather(np.repeat(right.shards_B, counts_B), np.array(rows, dtype=np.int64))
    return WrongTexts(texts, is_there_BH, features_BHD)
