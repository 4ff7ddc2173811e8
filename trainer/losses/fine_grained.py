"""FG-CLIP 2's terms on texts (2510.10921), for captions of whole pictures: texts that nearly fit, and texts beside each other.

Its terms on regions need boxes, which captions do not come with. Shapes: B images and their captions, H wrong texts of each,
E dimensions; vectors are unit vectors.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional as F


@dataclass(frozen=True)
class FineGrained:
    """The numbers of the terms, as the authors have them."""

    nearest_texts: int = 10  # of the batch, that a text is held apart from
    equal_cosine: float = 0.95  # from which two texts are taken for one
    highest_margin: float = 10.0  # of logits
    pair_weight: float = 3.0
    margin_weight: float = 0.4


PUBLISHED = FineGrained()


def text_contrast(text_BE: torch.Tensor, of: FineGrained = PUBLISHED) -> torch.Tensor:
    """Holds texts apart: the mean of log sum exp of the cosines with the nearest other texts of the batch.

    Texts above `equal_cosine` count as the same and, as the authors do, as a cosine of nought. No temperature.
    """
    cosines_BB = text_BE @ text_BE.T
    itself_BB = torch.eye(len(text_BE), dtype=torch.bool, device=text_BE.device)
    cosines_BB = cosines_BB.masked_fill(itself_BB | (cosines_BB > of.equal_cosine), 0.0)
    return cosines_BB.topk(min(of.nearest_texts, len(text_BE))).values.logsumexp(1).mean()


def hard_negatives(
    right_B: torch.Tensor,
    wrong_BH: torch.Tensor,
    is_there_BH: torch.Tensor,
    margin: torch.Tensor | float,
    of: FineGrained = PUBLISHED,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(sum over pictures of the loss against the wrong texts of their captions, sums that the next margin is made of [4]).

    `right_B` and `wrong_BH` are the logits of a picture with its caption and with the caption's wrong texts.
    `pair_weight` times the cross-entropy of the own caption among it and its wrong texts, and `margin_weight` times how far a wrong text's
    logit comes nearer than `margin` to the caption's, in the mean. Pictures without a wrong text have no part.
    """
    right_B1 = right_B[:, None]
    has_B = is_there_BH.any(1)
    logits_B = torch.cat([right_B1, wrong_BH.masked_fill(~is_there_BH, float("-inf"))], 1)
    pair_B = -logits_B.log_softmax(1)[:, 0]
    rank_BH = F.relu(margin + wrong_BH - right_B1) * is_there_BH
    rank_B = rank_BH.sum(1) / is_there_BH.sum(1).clamp_min(1)
    total = ((of.pair_weight * pair_B + of.margin_weight * rank_B) * has_B).sum()
    counts = torch.stack([has_B.sum(), is_there_BH.sum()]).to(right_B1.dtype)
    sums = torch.stack([(right_B * has_B).sum(), (wrong_BH * is_there_BH).sum()]).detach()
    return total, torch.cat([sums, counts])


def next_margin(sums_4: torch.Tensor, of: FineGrained = PUBLISHED) -> torch.Tensor:
    """How far captions are above their wrong texts in the mean, of the sums of all ranks; between 0 and `highest_margin`."""
    right, wrong, captions, texts = sums_4.unbind()
    return (right / captions.clamp_min(1) - wrong / texts.clamp_min(1)).clamp(0, of.highest_margin)
