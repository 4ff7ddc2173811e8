"""Texts side by side in rows without padding: each sees itself alone and counts its positions from 0.

On CUDA the attention skips what lies between texts (flex attention over a block mask, Dong et al. 2024, 2412.05496);
elsewhere a block-diagonal 4-D mask says the same to every kernel. Shapes: B texts, R rows, T tokens of a row, D width.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from towers.language.tokens import TextTokens

# A row of a dense mask: attention costs its square, which keeps it near a fortieth of the matrices, and captions of 77 tokens fit.
DENSE_ROW = 128
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
    """Indices of texts by row, in as few rows as hold them, all about as full: they are filled up to the longest.

    Longest first, each into the emptiest row (Graham's longest processing time first), with a row more until none holds more
    than `capacity`, or than the longest text where that is longer.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    capacity = max(capacity, lengths[order[0]])
    count = -(-sum(lengths) // capacity)
    while True:
        rows: list[list[int]] = [[] for _ in range(count)]
        fullness = [(0, number) for number in range(count)]
        for index in order:
            full, number = fullness[0]
            rows[number].append(index)
            heapq.heapreplace(fullness, (full + lengths[index], number))
        if max(fullness)[0] <= capacity:
            return rows
        count += 1


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
    """Texts in few rows of at most `capacity` tokens; rows are filled up to a common length."""
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
