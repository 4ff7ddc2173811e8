"""Attention of many short texts that are learned from, as few large products where PyTorch's kernel for CPUs makes many small ones.

Shapes: B texts, H heads, G heads of keys and values, T tokens, D numbers of a head.
"""

from typing import Any

import torch
from torch.nn import functional as F

# Of longer texts the squares of numbers cost more than the calls: half of the kernel's time at 48 tokens, as much at 128.
MOST_TOKENS = 96


def attention(
    q_BHTD: torch.Tensor,
    k_BHTD: torch.Tensor,
    v_BHTD: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float | None = None,
) -> torch.Tensor:
    """softmax(q k^T * scale + mask) v [B, H, T, D] (Vaswani et al. 2017, 1706.03762), the faster way.

    `mask`: false, or the lowest number, where a key is not seen; `scale`: D ** -0.5 by itself.
    """
    if is_better_by_products(q_BHTD):
        return by_products(q_BHTD, k_BHTD, v_BHTD, mask, scale)
    return F.scaled_dot_product_attention(q_BHTD, k_BHTD, v_BHTD, attn_mask=mask, scale=scale)


def by_products(
    q_BHTD: torch.Tensor,
    k_BGTD: torch.Tensor,
    v_BGTD: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float | None = None,
) -> torch.Tensor:
    """The same by whole matrices; H is a multiple of G."""
    with torch.autocast("cpu", enabled=False):
        return Products.apply(q_BHTD, k_BGTD, v_BGTD, (mask, q_BHTD.shape[-1] ** -0.5 if scale is None else scale))


class Products(torch.autograd.Function):
    """Attention by whole matrices, with R = H / G * T rows of a group. Of the weights what bfloat16 holds is kept for the way back.

    Scores and their softmax are float32, as the kernel has them: among large ones bfloat16 cannot tell neighbours apart. The way
    back is that of Dao 2023 (2307.08691), algorithm 2, in one block.
    """

    @staticmethod
    def forward(
        ctx: Any,
        q_BHTD: torch.Tensor,
        k_BGTD: torch.Tensor,
        v_BGTD: torch.Tensor,
        how: tuple[torch.Tensor | None, float],
    ) -> torch.Tensor:
        """[B, H, T, D]; `how`: mask and scale."""
        mask, scale = how
        B, H, T, D = q_BHTD.shape
        q_BGRD = q_BHTD.reshape(B, k_BGTD.shape[1], -1, D)
        scores_BHTT = ((q_BGRD.float() * scale) @ k_BGTD.float().transpose(2, 3)).view(B, H, T, T)
        if mask is not None:
            scores_BHTT = (
                scores_BHTT.masked_fill_(~mask, -torch.inf) if mask.dtype == torch.bool else scores_BHTT + mask
            )
        weights_BGRT = scores_BHTT.softmax(-1).to(v_BGTD.dtype).view(B, k_BGTD.shape[1], -1, T)
        out_BGRD = weights_BGRT @ v_BGTD
        ctx.save_for_backward(q_BGRD, k_BGTD, v_BGTD, weights_BGRT, out_BGRD)
        ctx.scale = scale
        return out_BGRD.view(B, H, T, -1)

    @staticmethod
    def backward(ctx: Any, *pulls: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Of queries, keys and values."""
        q_BGRD, k_BGTD, v_BGTD, weights_BGRT, out_BGRD = ctx.saved_tensors
        B, H, T, _ = pulls[0].shape
        pull_BGRD = pulls[0].reshape(out_BGRD.shape)
        with torch.autocast("cpu", enabled=False):
            pull_v = weights_BGRT.transpose(2, 3) @ pull_BGRD
            along_BGR1 = (pull_BGRD.float() * out_BGRD).sum(-1, keepdim=True)
            pull_of_scores = (pull_BGRD @ v_BGTD.transpose(2, 3) - along_BGR1).mul_(weights_BGRT).mul_(ctx.scale)
            pull_of_scores = pull_of_scores.to(q_BGRD.dtype)
            pull_q = (pull_of_scores @ k_BGTD).view(B, H, T, -1)
            return pull_q, pull_of_scores.transpose(2, 3) @ q_BGRD, pull_v, None


def is_better_by_products(q_BHTD: torch.Tensor) -> bool:
    """In bfloat16 on a CPU, with gradients, over few tokens.

    The kernel's way back (torch 2.13) asks oneDNN anew for the product of each head of each text. In float32, and without a way
    back, the kernel is the faster one.
    """
    return (
        q_BHTD.device.type == "cpu"
        and q_BHTD.dtype == torch.bfloat16
        and q_BHTD.shape[2] <= MOST_TOKENS
        and torch.is_grad_enabled()
        and q_BHTD.requires_grad
    )
