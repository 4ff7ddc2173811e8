"""Decoders of transformers with this project's attention of short texts (towers/attention.py) where they would have PyTorch's kernel."""

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from towers.attention import by_products, is_better_by_products

NAME = "sdpa_short_texts"  # as transformers is told


def forward(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """As transformers asks for attention: [B, T, H, D], and no weights. What its own takes besides scale and mask is left to it."""
    others = any(options.get(name) for name in ("dropout", "softcap", "cache"))
    if not is_better_by_products(query) or attention_mask is None or others or options.get("position_bias") is not None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    out_BHTD = by_products(query, key, value, attention_mask, options.get("scaling"))
    return out_BHTD.transpose(1, 2).contiguous(), None


def use_for(model: Any) -> None:
    """Have a decoder of transformers compute attention so, where it would have used PyTorch's kernel."""
    if model.config._attn_implementation == "sdpa":
        AttentionInterface.register(NAME, forward)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        model.set_attn_implementation(NAME)
