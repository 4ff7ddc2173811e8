"""Batches the token ids of many texts: similar lengths together, padded on the right. B texts, T tokens."""

from collections.abc import Sequence

import torch


def padded(rows: Sequence[list[int]], device: torch.device, pad_id: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded ids [B, T] and their mask [B, T]: 1 for a token, 0 for padding. 0 is the student's padding."""
    width = max(len(row) for row in rows)
    ids_BT = torch.tensor([row + [pad_id] * (width - len(row)) for row in rows], device=device)
    lengths_B = torch.tensor([len(row) for row in rows], device=device)
    return ids_BT, (torch.arange(width, device=device) < lengths_B[:, None]).long()


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Indices in batches of similar length; rows times the longest row is at most `batch_tokens` (or one row)."""
    batches: list[list[int]] = []
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if batch and (len(batch) + 1) * lengths[index] > batch_tokens:
            batches.append(batch)
            batch = []
        batch.append(index)
    return [*batches, batch] if batch else batches
