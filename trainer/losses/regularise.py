"""Terms that hold vectors where they were, and the structure between them: ProCLIP's, in a form that no batch size changes.

Structure is a mean over pairs of rows. Up to `ALL_PAIRS` rows of all ranks it is over all pairs; above, over the pairs inside
blocks of a random order of the rows. Every pair is as likely as another to share a block, so the mean has the same expectation
(and so has its gradient), every row has a part in it, and memory stays that of `BLOCK_ENTRIES` distances.

Without `ranks` the rows are all there are.

Shapes: B own rows, N rows of all ranks, E dimensions; unit vectors.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from losses.ranks import Ranks

ALL_PAIRS = 4096  # rows
BLOCK_ENTRIES = 2**22  # of the distance matrices of all blocks: about two million pairs

Draw = tuple[int, ...]  # what the blocks of a step depend on: seed and step, alike on all ranks
Difference = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # of two lists of distances, as a mean


@dataclass(frozen=True)
class Pairs:
    """Which pairs of rows are looked at: all of up to `limit` rows, above it those in the blocks that follow from `draw`."""

    draw: Draw | None = None
    limit: int = ALL_PAIRS
    entries: int = BLOCK_ENTRIES


def distances(x_BE: torch.Tensor) -> torch.Tensor:
    """Euclidean distances of all pairs of different rows of unit vectors [B * (B - 1) / 2]."""
    return _distances_between(x_BE, x_BE, 0)


def inherit_loss(
    text_BE: torch.Tensor,
    target_BE: torch.Tensor,
    struct_weight: float,
    *,
    draw: Draw | None = None,
    ranks: Ranks | None = None,
) -> torch.Tensor:
    """ProCLIP's first stage as means: squared distance to the target, and of pairwise distances to the target's."""
    ranks = ranks or Ranks.alone()
    instance = _mean_over_rows((text_BE - target_BE).square().sum(-1), ranks)
    structure = structure_loss(text_BE, target_BE, _squared, Pairs(draw), ranks)
    return instance + struct_weight * structure


def frozen_tower_regulariser(
    image_BE: torch.Tensor,
    frozen_BE: torch.Tensor,
    *,
    draw: Draw | None = None,
    ranks: Ranks | None = None,
) -> torch.Tensor:
    """ProCLIP's regulariser towards the frozen image tower in its batch-independent form (2510.18795, at its own batch of 512).

    0.205 E|v - v0|^2 + 52 E[smooth-L1(difference of pairwise distances)]: zero where nothing moved.
    """
    ranks = ranks or Ranks.alone()
    instance = _mean_over_rows((image_BE - frozen_BE).square().sum(-1), ranks)
    structure = structure_loss(image_BE, frozen_BE, F.smooth_l1_loss, Pairs(draw), ranks)
    return 0.205 * instance + 52 * structure


def structure_loss(
    new_BE: torch.Tensor,
    old_BE: torch.Tensor,
    difference: Difference,
    pairs: Pairs,
    ranks: Ranks,
) -> torch.Tensor:
    """Mean over pairs of rows of all ranks of the difference of their distances; a gradient goes to `new_BE`."""
    counts = ranks.counts(len(new_BE), new_BE.device)
    total = sum(counts)
    if total > pairs.limit and pairs.draw is None:
        raise ValueError(
            f"the pairwise distances of {total} rows are sampled, as they are above {pairs.limit}: pass draw=(seed, step), so that "
            "every step has pairs of its own"
        )
    if ranks.size == 1 and total <= pairs.limit:
        return difference(distances(new_BE), distances(old_BE))
    new_NE, old_NE = ranks.rows_of_all(new_BE, counts), ranks.gather(old_BE.detach(), counts)
    if total <= pairs.limit:
        first = sum(counts[: ranks.rank])
        part = [_distances_between(x_BE, x_NE, first) for x_BE, x_NE in ((new_BE, new_NE), (old_BE, old_NE))]
        count = total * (total - 1) // 2
    else:
        blocks_GS = torch.from_numpy(blocks(pairs.draw or (), total, pairs.entries))
        own_GS = blocks_GS[ranks.rank :: ranks.size].to(new_BE.device)
        part = [_distances_in_blocks(x_NE[own_GS]) for x_NE in (new_NE, old_NE)]
        count = len(blocks_GS) * blocks_GS.shape[1] * (blocks_GS.shape[1] - 1) // 2
    if part[0].numel() == 0:
        return ranks.total(new_NE.sum() * 0)  # this rank has no pair, and takes part in the sum
    return ranks.total(difference(part[0], part[1]) * (part[0].numel() / count))


def blocks(draw: Draw, rows: int, entries: int = BLOCK_ENTRIES) -> np.ndarray:
    """Row numbers [G, S]: blocks of a random order, so large that all their distance matrices have about `entries` entries.

    Rows that fill no block are left out.
    """
    size = max(2, min(rows, entries // rows))
    order = np.random.default_rng(draw).permutation(rows)
    return order[: rows // size * size].reshape(-1, size)


def _distances_between(x_BE: torch.Tensor, y_NE: torch.Tensor, first: int) -> torch.Tensor:
    """Distances of every row, whose number in `y_NE` is `first` + its own, to the rows behind it there."""
    square = (2 - 2 * x_BE @ y_NE.T).clamp_min(1e-6)
    rows, columns = torch.triu_indices(len(x_BE), len(y_NE), offset=first + 1, device=x_BE.device)
    return square[rows, columns].sqrt()


def _distances_in_blocks(x_GSE: torch.Tensor) -> torch.Tensor:
    """Distances of all pairs of different rows inside each block [G, S * (S - 1) / 2]."""
    square_GSS = (2 - 2 * x_GSE @ x_GSE.mT).clamp_min(1e-6)
    rows, columns = torch.triu_indices(x_GSE.shape[1], x_GSE.shape[1], offset=1, device=x_GSE.device)
    return square_GSS[:, rows, columns].sqrt()


def _squared(new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    return (new - old).square().mean()


def _mean_over_rows(values_B: torch.Tensor, ranks: Ranks) -> torch.Tensor:
    if ranks.size == 1:
        return values_B.mean()
    rows = sum(ranks.counts(len(values_B), values_B.device))
    return ranks.total(values_B.sum()) / rows
