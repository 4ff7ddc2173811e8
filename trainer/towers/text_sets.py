"""The text tower's inputs of a set of `embed_captions`: text features, or token ids of the same texts for the control."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from contracts.types import ScratchTextTower as ScratchShape
from data.features import Features, features_of_set
from towers.caption_roles import drawn_caption
from towers.data import read_rows
from towers.token_batches import padded
from towers.wordpiece import WordPiece


class TextSet:
    """Texts in groups (captions of an image, prompts of a class), which lie next to each other in the set."""

    def __init__(self, embedded: Path, name: str, device: torch.device) -> None:
        rows = read_rows(embedded / f"captions.{name}.jsonl")
        self.embedded, self.name, self.device = embedded, name, device
        self.texts = [row["text"] for row in rows]
        self.classes = {row["id"]: row["classes"] for row in rows if "classes" in row}
        self.keys = list(dict.fromkeys(row["id"] for row in rows))
        number_of = {key: number for number, key in enumerate(self.keys)}
        self.group_of_N = torch.tensor([number_of[row["id"]] for row in rows], dtype=torch.long)
        if (self.group_of_N.diff() < 0).any():
            raise ValueError(
                f"captions.{name}.jsonl: the texts of one id do not lie next to each other, so that they would be taken for those "
                "of another. Give each class of prepare.classes one row, and run prepare and embed_captions again"
            )
        counts = torch.bincount(self.group_of_N, minlength=len(self.keys))
        self.first_of_G = (counts.cumsum(0) - counts).numpy()
        self.count_of_G = counts.numpy()
        self.roles = [row.get("role") for row in rows]
        self.shares: Mapping[str, float] | None = None
        self.features: Features | None = None
        self.vocabulary: WordPiece | None = None
        self.context_length = 0

    def with_features(self) -> "TextSet":
        """Inputs are the teachers' features [N, D]."""
        self.features = features_of_set(self.embedded, self.name)
        return self

    def with_tokens(self, vocabulary: WordPiece, scratch: ScratchShape) -> "TextSet":
        """Inputs are token ids [N, T]."""
        self.vocabulary, self.context_length = vocabulary, scratch["context_length"]
        return self

    def with_shares(self, shares: Mapping[str, float] | None) -> "TextSet":
        """Captions are drawn by the share of their role; None: alike. Shares of roles that no caption has are refused."""
        if shares is not None and not any(role in shares for role in self.roles):
            raise ValueError("clip.caption_shares: no caption has a role; name them in prepare's caption_fields")
        self.shares = shares
        return self

    def inputs(self, numbers: np.ndarray) -> torch.Tensor:
        """Features [B, D] or ids [B, T] of texts by their numbers."""
        if self.features is not None:
            return self.features.gather_numbers(numbers).to(self.device)
        assert self.vocabulary is not None
        return padded(self.vocabulary.encode([self.texts[n] for n in numbers], self.context_length), self.device)[0]

    def draw(self, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The number of a random text of every group."""
        first_B, count_B = self.first_of_G[groups], self.count_of_G[groups]
        if self.shares is None:
            return first_B + rng.integers(0, count_B)
        drawn = [
            drawn_caption(count, self.roles[first : first + count], self.shares, rng)
            for first, count in zip(first_B.tolist(), count_B.tolist(), strict=True)
        ]
        return first_B + np.array(drawn)


@torch.inference_mode()
def text_vectors(text_tower: nn.Module, texts: TextSet, numbers: np.ndarray) -> torch.Tensor:
    """Unit vectors [N, E] of texts by their numbers, float32 on the CPU."""
    text_tower.eval()
    parts = np.array_split(numbers, max(1, len(numbers) // 256))
    return torch.cat([F.normalize(text_tower(texts.inputs(part)).float(), dim=-1).cpu() for part in parts]).clone()


def group_vectors(text_tower: nn.Module, texts: TextSet) -> torch.Tensor:
    """Unit vectors [G, E] of the mean of a group's texts."""
    vectors_NE = text_vectors(text_tower, texts, np.arange(len(texts.texts)))
    sums_GE = torch.zeros(len(texts.keys), vectors_NE.shape[1]).index_add_(0, texts.group_of_N, vectors_NE)
    return F.normalize(sums_GE, dim=-1)
