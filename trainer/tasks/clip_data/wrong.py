"""The wrong captions of stored images' captions, as the text tower reads them. B captions, H wrong ones of each at most."""

from pathlib import Path

import numpy as np
import torch

from engine.folders.inputs import job_of
from towers.text_sets import TextSet

NONE_MADE = (
    "clip.hard_negatives_weight: embed_captions made no wrong captions: set embed_captions.hard_negatives, and "
    "see docs/guides/recipes.md for what they are made of"
)


def most_wrong(embedded: Path) -> int:
    """How many wrong captions of each a run of `embed_captions` was asked for."""
    most = job_of(embedded)["config"].get("hard_negatives", 0)
    if most == 0:
        raise ValueError(NONE_MADE)
    return int(most)


class WrongCaptions:
    """`texts`: the set `negatives.train` of `embed_captions`, in groups named after the number of their caption."""

    def __init__(self, texts: TextSet, captions: int) -> None:
        if not texts.texts:
            raise ValueError(NONE_MADE)
        self.texts = texts
        self.first_N, self.count_N = np.zeros(captions, dtype=np.int64), np.zeros(captions, dtype=np.int64)
        numbers = np.array([int(key) for key in texts.keys])
        self.first_N[numbers], self.count_N[numbers] = texts.first_of_G, texts.count_of_G
        self.most = int(self.count_N.max())

    def of(self, captions_B: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """(inputs of B * H texts, which of them are there [B, H]); one that is not there has the place of another."""
        places_BH = np.arange(self.most)[None] + self.first_N[captions_B][:, None]
        is_there_BH = np.arange(self.most)[None] < self.count_N[captions_B][:, None]
        inputs = self.texts.inputs(np.where(is_there_BH, places_BH, 0).reshape(-1))
        return inputs, torch.from_numpy(is_there_BH).to(self.texts.device)
