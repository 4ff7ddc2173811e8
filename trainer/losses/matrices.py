"""Losses of one process that hold their whole matrix of logits. B and C rows, E dimensions; features are unit vectors."""

import torch
from torch.nn import functional as F


def info_nce(
    a_BE: torch.Tensor, b_BE: torch.Tensor, scale: torch.Tensor | float, same_BB: torch.Tensor | None = None
) -> torch.Tensor:
    """Symmetric InfoNCE: a[i] belongs to b[i]. `same_BB` marks pairs that are not negatives of each other."""
    return info_nce_of_logits(scale * a_BE @ b_BE.T, same_BB)


def info_nce_of_logits(logits_BB: torch.Tensor, same_BB: torch.Tensor | None = None) -> torch.Tensor:
    """The mean of both ways' cross-entropy with the diagonal as target, in nats."""
    if same_BB is not None:
        off_diagonal = same_BB & ~torch.eye(len(logits_BB), dtype=torch.bool, device=same_BB.device)
        logits_BB = logits_BB.masked_fill(off_diagonal, float("-inf"))
    target = torch.arange(len(logits_BB), device=logits_BB.device)
    return 0.5 * (F.cross_entropy(logits_BB, target) + F.cross_entropy(logits_BB.T, target))


def multi_positive_nce(
    a_BE: torch.Tensor, b_CE: torch.Tensor, scale: torch.Tensor | float, match_BC: torch.Tensor
) -> torch.Tensor:
    """Symmetric InfoNCE with several positives: the target of a row is shared equally by the columns that match it.

    With one match each it is CLIP's loss; with those of one kind, the supervised contrastive loss (2004.11362, `L_out`).
    Rows and columns without a match are left out (as in UniCL, 2204.03610).
    """
    logits_BC = scale * a_BE @ b_CE.T
    return shared_cross_entropy(logits_BC, match_BC.to(logits_BC.dtype))


def soft_cross_entropy(logits_BK: torch.Tensor, target_BK: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of a target distribution [B, K] and the softmax of logits, in nats, mean over rows."""
    return -(target_BK * logits_BK.log_softmax(-1)).sum(-1).mean()


def shared_cross_entropy(logits_BC: torch.Tensor, share_BC: torch.Tensor) -> torch.Tensor:
    """Both ways, the cross-entropy of shares (each 0 to 1, in sum whatever) as targets of a softmax.

    A row whose shares sum to less than 1 counts that much less, one that has none not at all.
    """
    total = logits_BC.new_zeros(())
    for logits, share in ((logits_BC, share_BC), (logits_BC.T, share_BC.T)):
        mass = share.sum(1, keepdim=True)
        target = share / mass.clamp_min(1e-6)
        weight = mass[:, 0].clamp(max=1)
        total = total - 0.5 * (weight * (target * logits.log_softmax(-1)).sum(-1)).sum() / weight.sum().clamp_min(1e-6)
    return total
