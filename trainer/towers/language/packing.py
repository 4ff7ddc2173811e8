"""Texts side by side in rows without padding: each sees itself alone and counts its positions from 0.

On CUDA the attention skips what lies between texts (flex attention over a block mask, Dong et al. 2024, 2412.05496);
elsewhere a block-diagonal 4-D mask says the same to every kernel. Shapes: B texts, R rows, T tokens of a row, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from towers.language.tokens import TextTokens

DENSE_ROW = (
    256  # a row of a dense mask: attention costs its square, and 256 keeps that near a twentieth of the matrices
)
FLEX_ROW = 8192  # a row of a block mask; making the mask takes a byte per pair of its tokens for a moment
FLEX_BLOCK = 128  # rows of a block mask are multiples of its blocks


@dataclass(frozen=True)
class Packed:
    """Rows of packed texts, and where each text is: row and first position, in the order of the texts."""

    ids_RT: torch.Tensor
    positions_RT: torch.Tensor  # from 0 in every text
    texts_RT: torch.Tensor  # number of the text, -1 where a row is not full
    places: list[tuple[int, int]]


def packed_rows(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Indices of texts by row: longest first, each into the first row with room (first fit decreasing).

    A text longer than `capacity` has a row of its own. The number of rows is at most 11/9 of the least possible, plus one.
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[index]
        place = next((number for number, free in enumerate(room) if free >= length), None)
        if place is None:
            rows.append([])
            room.append(max(capacity, length))
            place = len(rows) - 1
        rows[place].append(index)
        room[place] -= length
    return rows


def batches_by_tokens(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Indices in batches of similar length, of at most `batch_tokens` tokens each (or one text)."""
    batches: list[list[int]] = []
    batch: list[int] = []
    total = 0
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if batch and total + lengths[index] > batch_tokens:
            batches.append(batch)
            batch, total = [], 0
        batch.append(index)
        total += lengths[index]
    return [*batches, batch] if batch else batches


def pack(texts: Sequence[TextTokens], capacity: int, device: torch.device, pad_id: int, multiple: int = 1) -> Packed:
    """Texts in as few rows of `capacity` tokens as the greedy rule finds; rows are filled up to a common length."""
    rows = packed_rows([len(text) for text in texts], capacity)
    longest = max(sum(len(texts[index]) for index in row) for row in rows)
    width = -(-longest // multiple) * multiple
    ids_RT = torch.full((len(rows), width), pad_id)
    positions_RT = torch.zeros((len(rows), width), dtype=torch.long)
    texts_RT = torch.full((len(rows), width), -1)
    places = [(0, 0)] * len(texts)
    for number, row in enumerate(rows):
        start = 0
        for index in row:
            here = slice(start, start + len(texts[index]))
            ids_RT[number, here] = torch.tensor(texts[index].ids)
            positions_RT[number, here] = torch.arange(len(texts[index]))
            texts_RT[number, here] = index
            places[index] = (number, start)
            start += len(texts[index])
    return Packed(ids_RT.to(device), positions_RT.to(device), texts_RT.to(device), places)


def pooling_weights(packed: Packed, texts: Sequence[TextTokens], pooling: str) -> torch.Tensor:
    """[B, R * T] float32: the pooled vectors are this matrix times the states of all places. Same sums as `pool`."""
    width = packed.ids_RT.shape[1]
    weight_BN = torch.zeros(len(texts), packed.ids_RT.numel())
    for number, (text, (row, start)) in enumerate(zip(texts, packed.places, strict=True)):
        first, last = row * width + start, row * width + start + len(text) - 1
        counted = slice(first + text.skip, last + 1)
        count = len(text) - text.skip
        if pooling == "mean":
            weight_BN[number, counted] = 1 / count
        elif pooling == "weighted_mean":
            weight_BN[number, counted] = torch.arange(1, count + 1) / (count * (count + 1) / 2)
        else:
            weight_BN[number, first if pooling == "first_token" else last] = 1
    return weight_BN.to(packed.ids_RT.device)


def use_flex(model: Any, device: torch.device) -> bool:
    """Whether packed rows go through flex attention: on CUDA, where the architecture knows it; switches the model to it.

    Attention dropout is refused by transformers' flex attention: such a model keeps the dense mask.
    """
    if device.type != "cuda" or not getattr(model, "_supports_flex_attn", False):
        return False
    if model.training and getattr(model.config, "attention_dropout", 0.0):
        return False
    if model.config._attn_implementation != "flex_attention":
        model.set_attn_implementation("flex_attention")
    return True
