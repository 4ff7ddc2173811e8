"""The edge text encoders: small BERT-shaped transformers over token rows, and the static token table.

Shapes: B texts, T tokens, D width, H heads, V pieces, K width of a row of a table, E joint dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional as F

from towers.attention import attention
from towers.student.rounding import fake_quantize_activations, fake_quantize_rows
from towers.token_batches import batches_by_length, padded
from towers.wordpiece import SPECIAL_TOKENS, UNK

EPS = 1e-12  # BERT's layer norms


@dataclass(frozen=True)
class StudentShape:
    """Everything that decides the shape of the weights, and which prefixes of the vectors were trained to stand alone.

    The feed-forward layer is four times the width.
    """

    vocabulary_size: int
    layers: int
    width: int
    heads: int
    context_length: int
    embed_dim: int
    matryoshka_dims: list[int] = field(default_factory=list)
    table_width: int | None = None  # None: the width
    static_weight: float = 0.0  # of the static tier's vector, which is added; 0: it is not


class Linear(nn.Linear):
    """A linear layer that can compute with the served precision: uint8 activations per tensor, int8 weights per column."""

    quantized = False

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """x @ W^T + b, rounded while `quantized`."""
        if not self.quantized:
            return super().forward(input)
        return F.linear(fake_quantize_activations(input), fake_quantize_rows(self.weight), self.bias)


class Block(nn.Module):
    """BERT's layer: attention, add and norm, feed-forward with the exact GELU, add and norm."""

    def __init__(self, shape: StudentShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = Linear(shape.width, 3 * shape.width)
        self.out = Linear(shape.width, shape.width)
        self.norm_attention = nn.LayerNorm(shape.width, EPS)
        self.up = Linear(shape.width, 4 * shape.width)
        self.down = Linear(4 * shape.width, shape.width)
        self.norm_feed_forward = nn.LayerNorm(shape.width, EPS)

    def forward(self, x_BTD: torch.Tensor, allowed_B11T: torch.Tensor | None) -> torch.Tensor:
        """The next hidden states [B, T, D]; `allowed_B11T` is false where a key is padding."""
        B, T, D = x_BTD.shape
        q, k, v = (part.view(B, T, self.heads, -1).transpose(1, 2) for part in self.qkv(x_BTD).chunk(3, -1))
        attended = attention(q, k, v, allowed_B11T)
        x_BTD = self.norm_attention(x_BTD + self.out(attended.transpose(1, 2).reshape(B, T, D)))
        return self.norm_feed_forward(x_BTD + self.down(F.gelu(self.up(x_BTD))))


class TextStudent(nn.Module):
    """A BERT-shaped encoder. `table` is looked up outside the served graph; everything else is inside it.

    Where the shape has a `static_weight`, vectors are sums with those of the frozen static tier, which `add_static` brings.
    """

    def __init__(self, shape: StudentShape) -> None:
        super().__init__()
        self.shape = shape
        self.static: list[StaticStudent] = []  # a list: its rows are not parameters of the transformer
        table_width = shape.table_width or shape.width
        self.table = nn.Embedding(shape.vocabulary_size, table_width)
        self.widen = nn.Identity() if table_width == shape.width else nn.Linear(table_width, shape.width, bias=False)
        # The position row carries BERT's token-type row as well: there is only one type.
        self.positions = nn.Embedding(shape.context_length, shape.width)
        self.norm = nn.LayerNorm(shape.width, EPS)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.projection = nn.Linear(shape.width, shape.embed_dim)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def add_static(self, static: "StaticStudent") -> None:
        """Bring the static tier, on the same device."""
        self.static = [static]

    def pooled(self, rows_BTK: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """Mean of the last hidden states over real tokens, from token rows: [B, D]."""
        x_BTD = self.norm(self.widen(rows_BTK) + self.positions.weight[: rows_BTK.shape[1]])
        # Without padding no mask is needed, which is a faster kernel; a GPU would have to be waited for to know.
        is_full = mask_BT.device.type == "cpu" and bool(mask_BT.all())
        allowed = None if is_full else mask_BT.bool()[:, None, None, :]
        for block in self.blocks:
            x_BTD = block(x_BTD, allowed)
        weight_BT1 = mask_BT[..., None].to(x_BTD.dtype)
        return (x_BTD * weight_BT1).sum(1) / weight_BT1.sum(1)

    def forward(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """Unit vectors [B, E], float32."""
        own_BE = F.normalize(self.projection(self.pooled(self.table(ids_BT), mask_BT)).float(), dim=-1)
        if not self.shape.static_weight:
            return own_BE
        with torch.no_grad():
            static_BE = self.static[0].of_padded(ids_BT)
        return F.normalize(own_BE + self.shape.static_weight * static_BE, dim=-1)

    def fake_quantize(self, *, enabled: bool) -> None:
        """Quantisation-aware training: round as the exported graph does (straight-through gradients)."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.quantized = enabled

    @torch.no_grad()
    def embed(self, ids: Sequence[list[int]], batch_tokens: int = 8192) -> torch.Tensor:
        """Unit vectors [N, E] of encoded texts in their order, without gradients."""
        device = self.table.weight.device
        out_NE = torch.empty(len(ids), self.shape.embed_dim)
        for batch in batches_by_length([len(row) for row in ids], batch_tokens):
            ids_BT, mask_BT = padded([ids[i] for i in batch], device)
            out_NE[batch] = self(ids_BT, mask_BT).cpu()
        return out_NE


class StaticStudent(nn.Module):
    """The static tier: the mean of known tokens' rows, L2-normalised; the length of a row is its token's weight.

    Rows narrower than the joint space are projected into it.
    """

    def __init__(self, rows_VK: torch.Tensor, projection_KE: torch.Tensor | None = None) -> None:
        super().__init__()
        self.rows = nn.EmbeddingBag.from_pretrained(rows_VK, freeze=False, mode="mean")
        self.projection = None if projection_KE is None else nn.Parameter(projection_KE)

    @classmethod
    def of_width(cls, rows_VE: torch.Tensor, width: int) -> "StaticStudent":
        """The static tier of the given width that is nearest to rows of full width: their principal directions."""
        if width >= rows_VE.shape[1]:
            return cls(rows_VE)
        projection_KE = principal_directions(rows_VE, width).T.contiguous()
        return cls(rows_VE @ projection_KE.T, projection_KE)

    @classmethod
    def zeros(cls, pieces: int, width: int, embed_dim: int) -> "StaticStudent":
        """Of that shape, to be filled from a checkpoint."""
        return cls(torch.zeros(pieces, width), torch.zeros(width, embed_dim) if width < embed_dim else None)

    def projected(self, sum_BK: torch.Tensor) -> torch.Tensor:
        """Unit vectors [B, E] from sums or means of rows."""
        return F.normalize(sum_BK if self.projection is None else sum_BK @ self.projection, dim=-1)

    def forward(self, ids: Sequence[list[int]]) -> torch.Tensor:
        """Unit vectors [B, E]; a text without known tokens gives zeros."""
        device = self.rows.weight.device
        ids = [[i for i in row if i != UNK] for row in ids]
        lengths = torch.tensor([len(row) for row in ids], device=device)
        flat = torch.tensor([i for row in ids for i in row], dtype=torch.long, device=device)
        return self.projected(self.rows(flat, lengths.cumsum(0) - lengths))

    @torch.no_grad()
    def meanings(self) -> torch.Tensor:
        """Unit vectors [V, E] of single pieces."""
        return self.projected(self.rows.weight)

    def of_padded(self, ids_BT: torch.Tensor) -> torch.Tensor:
        """Unit vectors [B, E] of padded ids; special tokens, the unknown one among them, add nothing."""
        known_BT1 = (ids_BT >= len(SPECIAL_TOKENS)).unsqueeze(-1)
        return self.projected((F.embedding(ids_BT, self.rows.weight) * known_BT1).sum(1))


def principal_directions(rows_VD: torch.Tensor, width: int) -> torch.Tensor:
    """Orthonormal columns [D, K] onto which rows are narrowed to `width` with the least loss, the strongest first."""
    # eigh sorts the weakest first.
    directions_DD = torch.linalg.eigh(rows_VD.double().T @ rows_VD.double()).eigenvectors
    return directions_DD[:, -width:].flip(1).float()
