"""Losses of an adaptation. B images, T texts, C classes, E joint dimensions."""

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
