"""Rounding as the served graph rounds: rows of weights to int8, activations to uint8, and both while training goes on.

Shapes: V rows, D width.
"""

import torch


def quantize_rows(rows_VD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """int8 rows and one float32 scale per row: value = int8 * scale, the largest entry of a row is +-127."""
    scale_V = (rows_VD.abs().amax(1) / 127).clamp(min=1e-12)
    return (rows_VD / scale_V[:, None]).round().clamp(-127, 127).to(torch.int8), scale_V.float()


def fake_quantize_rows(weight: torch.Tensor) -> torch.Tensor:
    """A matrix with every row rounded to int8; the gradient ignores the rounding."""
    quantized, scale = quantize_rows(weight.detach().float())
    return weight + ((quantized * scale[:, None]) - weight).detach()


def fake_quantize_activations(x: torch.Tensor) -> torch.Tensor:
    """Rounded to 256 levels from the tensor's minimum to its maximum, 0 included: DynamicQuantizeLinear."""
    with torch.no_grad():
        low, high = x.min().clamp(max=0).float(), x.max().clamp(min=0).float()
        scale = ((high - low) / 255).clamp(min=1e-12)
        zero = (-low / scale).round()
        rounded = (((x / scale).round() + zero).clamp(0, 255) - zero) * scale
    return x + (rounded - x).detach()
