"""Both towers of a published checkpoint, whatever layout it had. Shapes: B images, S side in pixels, D width, E joint dimensions."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from contracts.types import PreprocessRecipe
from exchange.incoming.clip_text import ClipBlock, ClipText, ClipTextShape
from exchange.names import Published
from towers.clip_bpe import ClipBpe
from towers.sentencepiece_text import SentencePiece


@dataclass(frozen=True)
class ImageSide:
    """The image tower of a checkpoint. `logit_scale` multiplies cosines, `logit_bias` is added (None: it has none).

    `published`: the tower by its library's names.
    """

    image: nn.Module
    preprocess: PreprocessRecipe
    logit_scale: float
    logit_bias: float | None
    published: Published


@dataclass(frozen=True)
class Checkpoint(ImageSide):
    """Both towers of a checkpoint."""

    text: ClipText
    tokenizer: ClipBpe | SentencePiece


class UnitVectors(nn.Module):
    """A tower whose vectors are brought to unit length: pixels [B, 3, S, S] to [B, E]."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels_B3SS: torch.Tensor) -> torch.Tensor:
        """Unit vectors [B, E]."""
        return F.normalize(self.tower(pixels_B3SS).float(), dim=-1)


def clip_text(
    shape: ClipTextShape,
    rows_VD: torch.Tensor,
    positions_PD: torch.Tensor,
    parts: list[dict[str, Any]],
    end: tuple[nn.LayerNorm, torch.Tensor, torch.Tensor | None],
) -> ClipText:
    """The float module of a library's weights. A part is a layer, or a weight and a bias.

    `end`: last norm, projection [D, E] and its bias [E].
    """
    tower = ClipText(shape)
    with torch.no_grad():
        tower.table.weight.copy_(rows_VD)
        tower.positions.copy_(positions_PD)
        for block, own in zip(tower.blocks, parts, strict=True):
            assert isinstance(block, ClipBlock)
            for name, part in own.items():
                weight, bias = part if isinstance(part, tuple) else (part.weight, part.bias)
                target = getattr(block, name)
                target.weight.copy_(weight)
                target.bias.copy_(bias)
        norm, projection_DE, bias_E = end
        tower.norm.weight.copy_(norm.weight)
        tower.norm.bias.copy_(norm.bias)
        tower.projection.weight.copy_(projection_DE.T)
        if bias_E is not None:
            tower.projection.bias.copy_(bias_E)
    return tower.eval()
