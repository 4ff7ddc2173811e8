"""SigLIP's loss: every pair of a batch is a question of its own (2303.15343). B images and texts, E dimensions."""

import math

import torch
from torch.nn import functional as F

# What the paper starts from: a scale of 10, and a bias that makes every pair a negative at first, as nearly all are.
LOG_SCALE, BIAS = math.log(10.0), -10.0


def sigmoid_loss(
    image_BE: torch.Tensor,
    text_BE: torch.Tensor,
    scale: torch.Tensor | float,
    bias: torch.Tensor | float,
    same_BB: torch.Tensor | None = None,
) -> torch.Tensor:
    """-1/B times the sum over pairs of log sigmoid(z (scale cos + bias)), z 1 where image i belongs to text i and else -1.

    In nats per image. `same_BB` marks pairs that are not negatives of each other (equal texts): they are left out.
    """
    logits_BB = scale * image_BE @ text_BE.T + bias
    own_BB = torch.eye(len(image_BE), dtype=torch.bool, device=image_BE.device)
    terms_BB = F.logsigmoid(torch.where(own_BB, logits_BB, -logits_BB))
    if same_BB is not None:
        terms_BB = terms_BB.masked_fill(same_BB & ~own_BB, 0)
    return -terms_BB.sum() / len(image_BE)
