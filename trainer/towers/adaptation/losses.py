"""Losses of an adaptation. B images, T texts, C classes, E joint dimensions."""

from collections.abc import Sequence

import torch
from torch.nn import functional as F


def cut(vectors_NE: torch.Tensor, length: int) -> torch.Tensor:
    """The first numbers at unit length."""
    return F.normalize(vectors_NE[:, :length], dim=-1)


def class_loss(
    image_BE: torch.Tensor, class_CE: torch.Tensor, scale: torch.Tensor, label_B: torch.Tensor, smoothing: float = 0.0
) -> torch.Tensor:
    """Cross-entropy of images over the classes; `smoothing` of each target is spread over all of them."""
    return F.cross_entropy(scale * image_BE @ class_CE.T, label_B, label_smoothing=smoothing)


def held(new_GE: torch.Tensor, old_GE: torch.Tensor) -> torch.Tensor:
    """How far general texts have moved: 1 - cosine, 0 where nothing has."""
    return 1 - (new_GE * old_GE).sum(-1).mean()


def same_or_own(owners: Sequence[int], texts: Sequence[str], images: int) -> torch.Tensor:
    """[B, T]: which text is of which image; equal texts belong to each other's images, too."""
    match = torch.zeros(images, len(texts), dtype=torch.bool)
    images_of: dict[str, set[int]] = {}
    for owner, text in zip(owners, texts, strict=True):
        images_of.setdefault(text, set()).add(owner)
    for number, text in enumerate(texts):
        match[list(images_of[text]), number] = True
    return match
