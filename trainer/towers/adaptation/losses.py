"""Losses of an adaptation. B images, T texts, C classes, E joint dimensions."""

from collections.abc import Sequence

import torch
from torch.nn import functional as F


def cut(vectors_NE: torch.Tensor, length: int) -> torch.Tensor:
    """The first numbers at unit length."""
    return F.normalize(vectors_NE[:, :length], dim=-1)


def soft_info_nce(
    image_BE: torch.Tensor, text_TE: torch.Tensor, scale: torch.Tensor, match_BT: torch.Tensor
) -> torch.Tensor:
    """InfoNCE both ways where an image may have several right texts and a text several images.

    The target of each row and column is spread evenly over what matches (as in UniCL, arXiv 2204.03610); with one match each
    it is CLIP's loss. Rows and columns without a match are left out.
    """
    logits_BT = scale * image_BE @ text_TE.T
    total = logits_BT.new_zeros(())
    for logits, match in ((logits_BT, match_BT), (logits_BT.T, match_BT.T)):
        counts = match.sum(1)
        has = counts > 0
        targets = match[has].to(logits.dtype) / counts[has, None]
        total = total - (targets * F.log_softmax(logits[has], -1)).sum(-1).mean() / 2
    return total


def class_loss(
    image_BE: torch.Tensor, class_CE: torch.Tensor, scale: torch.Tensor, label_B: torch.Tensor
) -> torch.Tensor:
    """Cross-entropy of images over the classes."""
    return F.cross_entropy(scale * image_BE @ class_CE.T, label_B)


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
