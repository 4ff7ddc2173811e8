"""Where students start: their projection by regression onto the targets, the static table from the vectors of single pieces.

B and N texts, T tokens, V pieces, D width, E joint dimension. What a transformer makes of texts before it is trained is the
costly part; it knows no target, so stage `vocabulary` can ask it.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from towers.student.model import TextStudent
from towers.text_tables import NumberTable
from towers.token_batches import batches_by_length, padded
from towers.wordpiece import with_special_tokens

COUNTED = 1 << 20  # ids that are counted at a time
PIECE_TOKENS = 3  # of a piece alone, with the two special ones
BATCH_TOKENS = 8192  # that a transformer reads at a time
RARE = 1e-3  # a piece of this share of all weighs half


def init_projection(student: TextStudent, ids: list[list[int]], targets_NE: torch.Tensor) -> None:
    """Set the projection to the ridge regression from pooled states to targets, or to what the static tier leaves of them."""
    wanted_NE = targets_NE.double()
    if student.shape.static_weight:
        for batch, ids_BT, _ in padded_batches(student, ids):
            static_BE = student.static[0].of_padded(ids_BT).double().cpu()
            wanted_NE[batch] = left_of(wanted_NE[batch], student.shape.static_weight * static_BE)
    student.projection.load_state_dict(fitted_projection(pooled_states(student, ids), wanted_NE).state_dict())


def padded_batches(
    student: TextStudent, ids: list[list[int]]
) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
    """Texts of similar length together: their numbers, ids [B, T] and masks [B, T] on the student's device."""
    for batch in batches_by_length([len(row) for row in ids], BATCH_TOKENS):
        yield batch, *padded([ids[i] for i in batch], student.table.weight.device)


@torch.no_grad()
def pooled_states(student: TextStudent, ids: list[list[int]]) -> torch.Tensor:
    """What a transformer makes of texts with special tokens, before its projection: [N, D], on the CPU."""
    states_ND = torch.empty(len(ids), student.shape.width)
    for batch, ids_BT, mask_BT in padded_batches(student, ids):
        states_ND[batch] = student.pooled(student.table(ids_BT), mask_BT).cpu()
    return states_ND


@torch.no_grad()
def fitted_projection(states_ND: torch.Tensor, wanted_NE: torch.Tensor) -> nn.Linear:
    """The ridge regression from pooled states to vectors, computed in float64."""
    x_ND, y_NE = states_ND.double(), wanted_NE.double()
    mean_D, mean_E = x_ND.mean(0), y_NE.mean(0)
    x_ND, y_NE = x_ND - mean_D, y_NE - mean_E
    gram_DD = x_ND.T @ x_ND
    ridge = 1e-3 * float(gram_DD.diagonal().mean()) + 1e-9
    weight_DE = torch.linalg.solve(gram_DD + ridge * torch.eye(len(gram_DD), dtype=torch.float64), x_ND.T @ y_NE)
    # Without random first weights: those that are drawn later stay what they were.
    projection = nn.Linear(*weight_DE.shape, device="meta").to_empty(device="cpu")
    projection.weight.copy_(weight_DE.T)
    projection.bias.copy_(mean_E - mean_D @ weight_DE)
    return projection


def left_of(target_BE: torch.Tensor, added_BE: torch.Tensor) -> torch.Tensor:
    """The unit vectors x [B, E] for which x + added points where the target does, or come as near as they can.

    From x = c * target - added and |x| = 1: c^2 - 2c (target . added) + |added|^2 - 1 = 0.
    """
    along_B1 = (target_BE * added_BE).sum(1, keepdim=True)
    root_B1 = (along_B1**2 - (added_BE**2).sum(1, keepdim=True) + 1).clamp(min=0).sqrt()
    return F.normalize((along_B1 + root_B1) * target_BE - added_BE, dim=-1)


def piece_states(student: TextStudent) -> torch.Tensor:
    """What a transformer makes of each piece alone: pooled states [V, D], on the CPU."""
    pieces = range(student.shape.vocabulary_size)
    return pooled_states(student, [with_special_tokens([piece], PIECE_TOKENS) for piece in pieces])


def piece_batches(count: int) -> list[list[int]]:
    """The pieces in batches: each stands between two special tokens."""
    return batches_by_length([PIECE_TOKENS] * count, BATCH_TOKENS)


@torch.no_grad()
def init_static_table(
    projection: nn.Linear, states_VD: torch.Tensor, tokens: Mapping[str, NumberTable]
) -> torch.Tensor:
    """Initial rows [V, E]: a transformer's vector of each piece, times a / (a + frequency): frequent pieces weigh less.

    `states_VD`: what `piece_states` gave for the transformer whose projection this is.
    """
    count, width = states_VD.shape
    if width != projection.in_features:
        raise ValueError(
            f"vocabulary.first_tier has states of width {width}, the first tier of distill has width "
            f"{projection.in_features}: name the same tier in both"
        )
    counts_V = torch.ones(count)
    for rows in tokens.values():
        parts = (rows.data[start : start + COUNTED] for start in range(0, len(rows.data), COUNTED))
        counts_V += torch.from_numpy(sum((np.bincount(part, minlength=count) for part in parts), np.int64(0)))
    device = projection.weight.device
    parts = [projection(states_VD[batch].to(device)).float() for batch in piece_batches(count)]
    rows_VE = F.normalize(torch.cat(parts), dim=-1).cpu()
    return rows_VE * (RARE / (RARE + counts_V / counts_V.sum()))[:, None]
