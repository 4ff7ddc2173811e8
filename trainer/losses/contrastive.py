"""Contrast over the whole batch of all ranks: InfoNCE and the sigmoid loss, in tiles, with exact gradients.

Every rank holds its rows and the columns of all ranks; the matrix of logits exists one tile at a time, forwards and again
backwards (as in Inf-CL, 2410.17243), so that memory grows with rows times tile. A loss has the same value on every rank; see
`Ranks` for gradients. Features are unit vectors; what comes in less than float32 is computed in float32.

Shapes: B own rows, C own columns, E dimensions. Keys say what belongs together or is no negative, see `Keys`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from losses import matrices
from losses.keys import Keys, pair_keys
from losses.ranks import Ranks
from losses.tiles import Contrast, Scalar, Tile

# ---- losses ----------------------------------------------------------------------------------------------------------


def global_info_nce(
    a_BE: torch.Tensor,
    b_BE: torch.Tensor,
    scale: Scalar,
    keys: Keys | None = None,
    *,
    ranks: Ranks | None = None,
) -> torch.Tensor:
    """Symmetric InfoNCE in nats: a[i] belongs to b[i]; other pairs that match by `keys` are left out.

    What one rank holds in one tile is computed as one matrix, by `matrices.info_nce`.
    """
    ranks = ranks or Ranks()
    if ranks.has_one_matrix(len(a_BE), len(b_BE)):
        return matrices.info_nce(a_BE, b_BE, scale, None if keys is None else keys.matches())
    contrast = Contrast.of(ranks, (a_BE, b_BE), keys, "diagonal")
    return InfoNCE.apply(a_BE, b_BE, contrast.scalar(scale), contrast)  # pyright: ignore[reportReturnType]


def global_multi_positive_nce(
    a_BE: torch.Tensor,
    b_CE: torch.Tensor,
    scale: Scalar,
    keys: Keys,
    *,
    ranks: Ranks | None = None,
) -> torch.Tensor:
    """Symmetric InfoNCE with several positives: rows and columns that match by `keys` share each other's target equally.

    Rows and columns without a match are left out: what `matrices.multi_positive_nce` is for one rank, which computes it where
    one tile holds everything.
    """
    ranks = ranks or Ranks()
    if ranks.has_one_matrix(len(a_BE), len(b_CE)):
        return matrices.multi_positive_nce(a_BE, b_CE, scale, keys.matches())
    contrast = Contrast.of(ranks, (a_BE, b_CE), keys, "matches")
    return InfoNCE.apply(a_BE, b_CE, contrast.scalar(scale), contrast)  # pyright: ignore[reportReturnType]


def global_sigmoid(
    a_BE: torch.Tensor,
    b_BE: torch.Tensor,
    scale_and_bias: tuple[Scalar, Scalar],
    keys: Keys | None = None,
    *,
    ranks: Ranks | None = None,
) -> torch.Tensor:
    """SigLIP's loss (Zhai et al. 2023, 2303.15343): every pair is one binary decision; the sum in nats over the number of rows.

    a[i] belongs to b[i]; other pairs that match by `keys` are left out. A fresh start is scale 10 and bias -10.
    """
    contrast = Contrast.of(ranks or Ranks(), (a_BE, b_BE), keys, "diagonal")
    scale, bias = (contrast.scalar(value) for value in scale_and_bias)
    return Sigmoid.apply(a_BE, b_BE, scale, bias, contrast)  # pyright: ignore[reportReturnType]


def global_multi_positive_sigmoid(
    a_BE: torch.Tensor,
    b_CE: torch.Tensor,
    scale_and_bias: tuple[Scalar, Scalar],
    keys: Keys,
    *,
    ranks: Ranks | None = None,
) -> torch.Tensor:
    """SigLIP's loss where all that match by `keys` belong together."""
    contrast = Contrast.of(ranks or Ranks(), (a_BE, b_CE), keys, "matches")
    scale, bias = (contrast.scalar(value) for value in scale_and_bias)
    return Sigmoid.apply(a_BE, b_CE, scale, bias, contrast)  # pyright: ignore[reportReturnType]


def pair_loss(
    features_ND: torch.Tensor,
    texts: Sequence[str],
    temperature: float,
    names: Sequence[str | None] | None = None,
    *,
    ranks: Ranks | None = None,
) -> torch.Tensor:
    """Symmetric InfoNCE between the first and the second half of the rows; N is even.

    Pairs with an equal text, or with the same name, are not negatives of each other: their scores are left out. Without
    `ranks` the rows are all there are; with them, texts and names are those of this rank's rows.
    """
    a_BD, b_BD = features_ND.chunk(2)
    keys, ranks = pair_keys(texts, names, features_ND.device), ranks or Ranks.alone()
    if ranks.has_one_matrix(len(a_BD), len(b_BD)):
        return matrices.info_nce_of_logits(a_BD @ b_BD.T / temperature, keys.matches())
    return global_info_nce(a_BD, b_BD, 1 / temperature, keys, ranks=ranks)


# ---- InfoNCE ---------------------------------------------------------------------------------------------------------


class InfoNCE(torch.autograd.Function):
    """Cross-entropies of rows and of columns. Their log-sum-exps are all that is kept of the matrix."""

    @staticmethod
    def forward(
        ctx: Any, a_BE: torch.Tensor, b_CE: torch.Tensor, scale: torch.Tensor, contrast: Contrast
    ) -> torch.Tensor:
        """The loss of all ranks; sums over rows of this rank are added up, columns are complete on every rank."""
        ranks, tiling = contrast.ranks, contrast.tiling
        with torch.autocast(a_BE.device.type, enabled=False):
            columns_CE = ranks.gather(b_CE, contrast.column_counts)
            row_lse_B, column_lse_C = (scale.new_full((len(x),), float("-inf")) for x in (a_BE, columns_CE))
            # Of each row and column: the sum of its positives' logits, and how many there are.
            rows_2B, columns_2C = (scale.new_zeros((2, len(x))) for x in (a_BE, columns_CE))
            if tiling.positives == "diagonal":
                rows_2B[1], columns_2C[1, tiling.first : tiling.first + len(a_BE)] = 1, 1
            for tile in tiling.tiles((a_BE, columns_CE), scale):
                rows, columns, logits_RT = tile.rows, tile.columns, tile.logits_RT
                tile.add_positives(logits_RT, rows_2B[0], columns_2C[0])
                if tile.match_RT is not None:
                    rows_2B[1, rows] += tile.match_RT.sum(1)
                    columns_2C[1, columns] += tile.match_RT.sum(0)
                row_lse_B[rows] = torch.logaddexp(row_lse_B[rows], logits_RT.logsumexp(1))
                column_lse_C[columns] = torch.logaddexp(column_lse_C[columns], logits_RT.logsumexp(0))
                del tile, logits_RT  # before the next one is made
            column_lse_C = ranks.log_sum_exp(column_lse_C)
            ranks.add(columns_2C)
            row_weight_B, row_share_B, of_rows = _cross_entropy(row_lse_B, rows_2B)
            column_weight_C, column_share_C, of_columns = _cross_entropy(column_lse_C, columns_2C)
            ranks.add(of_rows)
            loss = 0.5 * (of_rows[0] / of_rows[1].clamp_min(1) + of_columns[0] / of_columns[1].clamp_min(1))
            for part_B in (row_weight_B, row_share_B):
                part_B.div_(of_rows[1].clamp_min(1))
            for part_C in (column_weight_C, column_share_C):
                part_C.div_(of_columns[1].clamp_min(1))
        kept = (row_lse_B, row_weight_B, row_share_B, column_lse_C, column_weight_C, column_share_C)
        ctx.save_for_backward(a_BE, columns_CE, scale, *kept)
        ctx.contrast = contrast
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Softmaxes of rows and columns, less the shares of the positives."""
        a_BE, columns_CE, scale, *kept = ctx.saved_tensors
        row_lse_B, row_weight_B, row_share_B, column_lse_C, column_weight_C, column_share_C = kept

        def gradient_of(tile: Tile) -> torch.Tensor:
            rows, columns = tile.rows, tile.columns
            total_RT = (tile.logits_RT - row_lse_B[rows, None]).exp_().mul_(row_weight_B[rows, None])
            of_columns_RT = tile.logits_RT.sub_(column_lse_C[columns]).exp_().mul_(column_weight_C[columns])
            total_RT.add_(of_columns_RT)
            tile.subtract_shares(total_RT, row_share_B, column_share_C)
            return total_RT

        with torch.autocast(a_BE.device.type, enabled=False):
            saved = (a_BE, columns_CE, scale, None)
            to_a, to_b, to_scale, _ = ctx.contrast.feature_gradients(
                saved, gradient_of, 0.5 * gradients[0], ctx.needs_input_grad
            )
        return to_a, to_b, to_scale, None


def _cross_entropy(lse_N: torch.Tensor, positives_2N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weight of each entry (1 with positives, else 0), share of each of its positives, and [sum of losses, of weights]."""
    sum_N, count_N = positives_2N
    weight_N = (count_N > 0).to(lse_N.dtype)
    count_N = count_N.clamp_min(1)
    losses_N = weight_N * (lse_N - sum_N / count_N)
    return weight_N, weight_N / count_N, torch.stack([losses_N.sum(), weight_N.sum()])


# ---- sigmoid ---------------------------------------------------------------------------------------------------------


class Sigmoid(torch.autograd.Function):
    """Binary cross-entropies of all pairs; nothing is kept of the matrix."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> torch.Tensor:
        """The loss of all ranks; `inputs`: rows [B, E], columns [C, E], scale, bias, contrast."""
        a_BE, b_CE, scale, bias, contrast = inputs
        with torch.autocast(a_BE.device.type, enabled=False):
            columns_CE = contrast.ranks.gather(b_CE, contrast.column_counts)
            total = scale.new_zeros((), dtype=torch.float64)
            for tile in contrast.tiling.tiles((a_BE, columns_CE), scale, bias):
                total += F.softplus(tile.flip_positives(tile.logits_RT)).sum(dtype=torch.float64)
                del tile  # before the next one is made
            loss = contrast.ranks.add(total) / sum(contrast.row_counts)
        ctx.save_for_backward(a_BE, columns_CE, scale, bias)
        ctx.contrast = contrast
        return loss.to(scale.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """By how much each decision is missed."""

        def gradient_of(tile: Tile) -> torch.Tensor:
            return tile.flip_positives(tile.flip_positives(tile.logits_RT).sigmoid_())

        with torch.autocast(ctx.saved_tensors[0].device.type, enabled=False):
            factor = gradients[0] / sum(ctx.contrast.row_counts)
            parts = ctx.contrast.feature_gradients(ctx.saved_tensors, gradient_of, factor, ctx.needs_input_grad)
        return *parts, None
