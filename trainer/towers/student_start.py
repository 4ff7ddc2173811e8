"""Where students start: their projection by regression onto the targets, the static table from the vectors of single pieces.

B and N texts, T tokens, V pieces, D width, E joint dimension.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch.nn import functional as F

from towers.student import TextStudent
from towers.text_tables import NumberTable
from towers.token_batches import batches_by_length, padded
from towers.wordpiece import with_special_tokens

COUNTED = 1 << 20  # ids that are counted at a time
PIECE_TOKENS = 3  # of a piece alone, with the two special ones
BATCH_TOKENS = 8192  # that a transformer reads at a time
RARE = 1e-3  # a piece of this share of all weighs half


def init_projection(student: TextStudent, ids: list[list[int]], targets_NE: torch.Tensor) -> None:
    """Set the projection to the ridge regression from pooled states to targets, or to what the static tier leaves of them."""
    device = student.table.weight.device
    pooled_ND = torch.empty(len(ids), student.shape.width, dtype=torch.float64)
    wanted_NE = targets_NE.double()
    with torch.no_grad():
        for batch in batches_by_length([len(row) for row in ids], BATCH_TOKENS):
            ids_BT, mask_BT = padded([ids[i] for i in batch], device)
            pooled_ND[batch] = student.pooled(student.table(ids_BT), mask_BT).double().cpu()
            if student.shape.static_weight:
                static_BE = student.static[0].of_padded(ids_BT).double().cpu()
                wanted_NE[batch] = left_of(wanted_NE[batch], student.shape.static_weight * static_BE)
        mean_D, mean_target_E = pooled_ND.mean(0), wanted_NE.mean(0)
        x_ND, y_NE = pooled_ND - mean_D, wanted_NE - mean_target_E
        gram_DD = x_ND.T @ x_ND
        ridge = 1e-3 * float(gram_DD.diagonal().mean()) + 1e-9
        weight_DE = torch.linalg.solve(gram_DD + ridge * torch.eye(len(gram_DD), dtype=torch.float64), x_ND.T @ y_NE)
        student.projection.weight.copy_(weight_DE.T)
        student.projection.bias.copy_(mean_target_E - mean_D @ weight_DE)


def left_of(target_BE: torch.Tensor, added_BE: torch.Tensor) -> torch.Tensor:
    """The unit vectors x [B, E] for which x + added points where the target does, or come as near as they can.

    From x = c * target - added and |x| = 1: c^2 - 2c (target . added) + |added|^2 - 1 = 0.
    """
    along_B1 = (target_BE * added_BE).sum(1, keepdim=True)
    root_B1 = (along_B1**2 - (added_BE**2).sum(1, keepdim=True) + 1).clamp(min=0).sqrt()
    return F.normalize((along_B1 + root_B1) * target_BE - added_BE, dim=-1)


@torch.no_grad()
def piece_states(student: TextStudent) -> torch.Tensor:
    """What a transformer makes of each piece alone: pooled states [V, D], on the CPU."""
    device, count = student.table.weight.device, student.shape.vocabulary_size
    states_VD = torch.empty(count, student.shape.width)
    for batch in piece_batches(count):
        ids_BT, mask_BT = padded([with_special_tokens([piece], PIECE_TOKENS) for piece in batch], device)
        states_VD[batch] = student.pooled(student.table(ids_BT), mask_BT).cpu()
    return states_VD


def piece_batches(count: int) -> list[list[int]]:
    """The pieces in batches: each stands between two special tokens."""
    return batches_by_length([PIECE_TOKENS] * count, BATCH_TOKENS)


@torch.no_grad()
def init_static_table(
    student: TextStudent, tokens: Mapping[str, NumberTable], states_VD: torch.Tensor | None = None
) -> torch.Tensor:
    """Initial rows [V, E]: the student's vector of each piece, times a / (a + frequency): frequent pieces weigh less.

    `states_VD`: what `piece_states` gave for this student, where it was asked before.
    """
    counts_V = torch.ones(student.shape.vocabulary_size)
    for rows in tokens.values():
        parts = (rows.data[start : start + COUNTED] for start in range(0, len(rows.data), COUNTED))
        counts_V += torch.from_numpy(sum((np.bincount(part, minlength=len(counts_V)) for part in parts), np.int64(0)))
    if states_VD is None:
        states_VD = piece_states(student)
    if states_VD.shape != (len(counts_V), student.shape.width):
        raise ValueError(
            f"vocabulary.first_tier has states of the shape {list(states_VD.shape)}, the first tier of distill "
            f"{[len(counts_V), student.shape.width]}: name the same tier in both"
        )
    device = student.table.weight.device
    parts = [student.projection(states_VD[batch].to(device)).float() for batch in piece_batches(len(counts_V))]
    rows_VE = F.normalize(torch.cat(parts), dim=-1).cpu()
    return rows_VE * (RARE / (RARE + counts_V / counts_V.sum()))[:, None]
