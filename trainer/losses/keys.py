"""Which rows and columns of a batch carry the same text or label, as integers: no rank holds a matrix of the whole batch.

Shapes: B rows, C columns, K kinds of keys; a tile has R rows and T columns.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

EVERYTHING = slice(None)


@dataclass(frozen=True)
class Keys:
    """A row and a column match where they have the same number in at least one kind; negative numbers match nothing.

    int64, [K, B] and [K, C]. Over several ranks a number has to mean the same on all of them: `text_keys`.
    """

    rows_KB: torch.Tensor
    columns_KC: torch.Tensor

    def __post_init__(self) -> None:
        """Refuses kinds that differ."""
        kinds = [keys.shape[0] if keys.ndim == 2 else None for keys in (self.rows_KB, self.columns_KC)]
        if None in kinds or kinds[0] != kinds[1]:
            raise ValueError(
                f"keys of rows {tuple(self.rows_KB.shape)} and of columns {tuple(self.columns_KC.shape)}: both have to be "
                "[kinds, length] with the same kinds"
            )

    @classmethod
    def of(cls, ids_B: torch.Tensor) -> "Keys":
        """Row i and column j match where i and j have the same number: one kind, the same on both sides."""
        return cls(ids_B[None], ids_B[None])

    def matches(self, rows: slice = EVERYTHING, columns: slice = EVERYTHING) -> torch.Tensor:
        """Which of these rows and columns match: bool [R, T]."""
        found_RT: torch.Tensor | None = None
        for row_B, column_C in zip(self.rows_KB, self.columns_KC, strict=True):
            row_R1, column_1T = row_B[rows, None], column_C[None, columns]
            equal_RT = (row_R1 == column_1T).logical_and_(row_R1 >= 0)
            found_RT = equal_RT if found_RT is None else found_RT.logical_or_(equal_RT)
        assert found_RT is not None
        return found_RT


def text_keys(texts: Iterable[str | None], device: torch.device | str = "cpu") -> torch.Tensor:
    """A number of 63 bits for every text [N]: equal texts have the same in every process; None has -1, which matches nothing.

    Two of n texts have the same by accident with a chance of n^2 / 2^64: 2e-10 at 65,536.
    """
    return torch.tensor([-1 if text is None else _number(text) for text in texts], dtype=torch.int64, device=device)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") >> 1


def pair_keys(texts: Sequence[str], names: Sequence[str | None] | None, device: torch.device | str) -> Keys:
    """Keys of pairs of texts, the first ones in the first half of `texts`, the second ones in the second half.

    Two pairs match where any text of one is a text of the other, or where both have the same name.
    """
    size = len(texts) // 2
    a_B, b_B = text_keys(texts[:size], device), text_keys(texts[size:], device)
    kinds = [(a_B, b_B), (a_B, a_B), (b_B, b_B)]
    if names is not None:
        names_B = text_keys(names, device)
        kinds.append((names_B, names_B))
    return Keys(torch.stack([row for row, _ in kinds]), torch.stack([column for _, column in kinds]))
