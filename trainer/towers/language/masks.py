"""Attention masks that let every token of a text see all of it and nothing else. B texts, R rows, T tokens.

An explicit 4-D mask replaces the causal one in every decoder of transformers 5, whatever its attention kernel.
"""

from typing import Any

import torch


def bidirectional_mask(mask_BT: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """[B, 1, T, T]: 0 where attention is allowed, the dtype's minimum where the key is padding."""
    blocked = torch.zeros(mask_BT.shape, dtype=dtype, device=mask_BT.device)
    blocked = blocked.masked_fill(~mask_BT.bool(), torch.finfo(dtype).min)
    return blocked[:, None, None, :].expand(-1, 1, mask_BT.shape[1], -1)


def block_diagonal_mask(texts_RT: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """[R, 1, T, T]: 0 inside a text, the dtype's minimum between texts. Unused places see each other: no row is empty."""
    blocked_RTT = texts_RT[:, :, None] != texts_RT[:, None, :]
    mask_RTT = torch.zeros(blocked_RTT.shape, dtype=dtype, device=texts_RT.device)
    return mask_RTT.masked_fill(blocked_RTT, torch.finfo(dtype).min)[:, None]


def flex_block_mask(texts_RT: torch.Tensor) -> Any:
    """The same as a block mask of flex attention, which skips blocks without a pair of one text."""
    from torch.nn.attention.flex_attention import create_block_mask

    def within_a_text(row: Any, _head: Any, query: Any, key: Any) -> Any:
        return texts_RT[row, query] == texts_RT[row, key]

    rows, width = texts_RT.shape
    return create_block_mask(within_a_text, rows, None, width, width, device=str(texts_RT.device))
