"""What a student learns by: towards its teacher, towards images, away from what contradicts a text.

Shapes: B texts, M images, E joint dimension.
"""

from collections.abc import Callable, Iterable

import torch
from torch.nn import functional as F

CONTRADICTION_MARGIN = 0.1  # of cosines, where a recipe says no other
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def distill_loss(
    student_BE: torch.Tensor, target_BE: torch.Tensor, contrastive_weight: float, temperature: float
) -> torch.Tensor:
    """1 - cosine, plus contrastive_weight times InfoNCE of students against the batch's targets.

    InfoNCE's labels are the teacher's own softmax over the batch: captions of one image are not pushed apart, and the
    student that equals its teacher is the exact minimum. The teacher's entropy is subtracted, so that minimum is 0.
    """
    pointwise = 1 - (student_BE * target_BE).sum(-1).mean()
    if contrastive_weight == 0 or len(student_BE) < 2:
        return pointwise
    target_BB = F.log_softmax(target_BE @ target_BE.T / temperature, -1)
    student_BB = F.log_softmax(student_BE @ target_BE.T / temperature, -1)
    return pointwise + contrastive_weight * F.kl_div(student_BB, target_BB, reduction="batchmean", log_target=True)


def image_loss(own_BM: torch.Tensor, temperature: float) -> Loss:
    """InfoNCE of texts [B, E] against images [M, E]; `own_BM` says which images a text is of."""

    def between(text_BE: torch.Tensor, image_ME: torch.Tensor) -> torch.Tensor:
        scores_BM = text_BE @ image_ME.T / temperature
        return (scores_BM.logsumexp(1) - scores_BM.masked_fill(~own_BM, float("-inf")).logsumexp(1)).mean()

    return between


def contradiction_loss(
    text_BE: torch.Tensor, other_BE: torch.Tensor, target_BE: torch.Tensor, margin: float = CONTRADICTION_MARGIN
) -> torch.Tensor:
    """How far texts are from being nearer to their targets, by a margin of cosines, than what contradicts them."""
    nearer_B = (text_BE * target_BE).sum(-1) - (other_BE * target_BE).sum(-1)
    return F.relu(margin - nearer_B).mean()


def matryoshka(loss: Loss, dims: Iterable[int]) -> Loss:
    """The mean of a loss over prefixes of both sides, each prefix L2-normalised again."""
    sizes = list(dims)

    def over_prefixes(a_BE: torch.Tensor, b_BE: torch.Tensor) -> torch.Tensor:
        losses = [loss(F.normalize(a_BE[:, :d], dim=-1), F.normalize(b_BE[:, :d], dim=-1)) for d in sizes]
        return torch.stack(losses).mean()

    return over_prefixes
