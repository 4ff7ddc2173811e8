"""A matrix of logits that exists one tile at a time: this rank's rows against the columns of all ranks.

Shapes: B own rows, C columns of all ranks, E dimensions; a tile has R rows and T columns.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from losses.keys import Keys
from losses.ranks import Ranks

Positives = Literal["diagonal", "matches"]
Scalar = torch.Tensor | float


@dataclass(frozen=True)
class Tile:
    """`logits_RT` of `rows` (own) and `columns`; the tile's owner may change them.

    Positives are either `match_RT`, or the diagonal that starts at column `offset` of the first row (above: positive), which
    crosses this tile or not (None).
    """

    rows: slice
    columns: slice
    logits_RT: torch.Tensor
    match_RT: torch.Tensor | None
    offset: int | None

    def add_positives(self, values_RT: torch.Tensor, to_rows_B: torch.Tensor, to_columns_C: torch.Tensor) -> None:
        """Add the values at the positives to the entries of their rows and of their columns."""
        row_R, column_T = to_rows_B[self.rows], to_columns_C[self.columns]
        if self.match_RT is not None:
            positive_RT = values_RT * self.match_RT
            row_R.add_(positive_RT.sum(1))
            column_T.add_(positive_RT.sum(0))
        elif self.offset is not None:
            diagonal_D = values_RT.diagonal(self.offset)
            on_row, on_column = self._on_diagonal(len(diagonal_D))
            row_R[on_row].add_(diagonal_D)
            column_T[on_column].add_(diagonal_D)

    def subtract_shares(self, from_RT: torch.Tensor, of_row_B: torch.Tensor, of_column_C: torch.Tensor) -> None:
        """Take the share of its row and that of its column from the entry of every positive."""
        row_R, column_T = of_row_B[self.rows], of_column_C[self.columns]
        if self.match_RT is not None:
            from_RT.sub_((row_R[:, None] + column_T).mul_(self.match_RT))
        elif self.offset is not None:
            diagonal_D = from_RT.diagonal(self.offset)
            on_row, on_column = self._on_diagonal(len(diagonal_D))
            diagonal_D.sub_(row_R[on_row] + column_T[on_column])

    def flip_positives(self, values_RT: torch.Tensor) -> torch.Tensor:
        """The values with the opposite sign at the positives, in place."""
        if self.match_RT is not None:
            values_RT.mul_(self.match_RT.to(values_RT.dtype).mul_(-2).add_(1))
        elif self.offset is not None:
            values_RT.diagonal(self.offset).neg_()
        return values_RT

    def _on_diagonal(self, length: int) -> tuple[slice, slice]:
        assert self.offset is not None
        top, left = max(0, -self.offset), max(0, self.offset)
        return slice(top, top + length), slice(left, left + length)


@dataclass(frozen=True)
class Tiling:
    """How the matrix is cut and what its positives are.

    "diagonal": own row i belongs to column `first` + i, and what else matches by the keys is left out (its logit is minus
    infinity). "matches": what matches by the keys belongs together. `size`: rows and columns of a tile.
    """

    positives: Positives
    keys: Keys | None
    first: int
    size: int

    def tiles(
        self,
        sides: tuple[torch.Tensor, torch.Tensor],
        scale: torch.Tensor,
        bias: torch.Tensor | None = None,
        within: tuple[int, int] | None = None,
    ) -> Iterator[Tile]:
        """Logits scale * row · column + bias in the type of `scale`, tile by tile; `sides`: rows [B, E], columns [C, E].

        `within`: the first of the columns that are wanted, and the one behind the last.
        """
        rows_BE, columns_CE = sides
        begin, end = within or (0, len(columns_CE))
        for top in range(0, len(rows_BE), self.size):
            rows = slice(top, min(top + self.size, len(rows_BE)))
            scaled_RE = scale * rows_BE[rows].to(scale.dtype)
            for left in range(begin, end, self.size):
                columns = slice(left, min(left + self.size, end))
                logits_RT = scaled_RE @ columns_CE[columns].to(scale.dtype).T
                if bias is not None:
                    logits_RT.add_(bias)
                match_RT = None if self.keys is None else self.keys.matches(rows, columns)
                offset: int | None = None
                if self.positives == "diagonal":
                    offset = self._crossing(top, left, logits_RT)
                    if match_RT is not None:
                        if offset is not None:
                            match_RT.diagonal(offset).fill_(0)
                        logits_RT.masked_fill_(match_RT, float("-inf"))
                        match_RT = None
                tile = Tile(rows, columns, logits_RT, match_RT, offset)
                del logits_RT, match_RT  # only who takes the tile keeps it
                yield tile
                del tile

    def _crossing(self, top: int, left: int, logits_RT: torch.Tensor) -> int | None:
        offset = self.first + top - left
        return offset if -len(logits_RT) < offset < logits_RT.shape[1] else None


@dataclass(frozen=True)
class Contrast:
    """One call of a loss: the tiling, the ranks and how many rows and columns each of them brings."""

    tiling: Tiling
    ranks: Ranks
    row_counts: list[int]
    column_counts: list[int]
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(
        cls,
        ranks: Ranks,
        sides: tuple[torch.Tensor, torch.Tensor],
        keys: Keys | None,
        positives: Positives,
    ) -> "Contrast":
        """Checks lengths, and gathers the keys of all columns."""
        (rows, columns), device = map(len, sides), sides[0].device
        if positives == "diagonal" and rows != columns:
            raise ValueError(f"{rows} rows and {columns} columns: each row belongs to the column of its own number")
        if keys is not None and (keys.rows_KB.shape[1], keys.columns_KC.shape[1]) != (rows, columns):
            raise ValueError(
                f"{keys.rows_KB.shape[1]} and {keys.columns_KC.shape[1]} keys for {rows} rows and {columns} columns"
            )
        column_counts = ranks.counts(columns, device)
        row_counts = column_counts if positives == "diagonal" else ranks.counts(rows, device)
        if keys is not None:
            keys = Keys(keys.rows_KB, ranks.gather(keys.columns_KC.T, column_counts).T)
        tiling = Tiling(positives, keys, sum(column_counts[: ranks.rank]), ranks.tile_on(device))
        dtype = torch.promote_types(torch.promote_types(sides[0].dtype, sides[1].dtype), torch.float32)
        return cls(tiling, ranks, row_counts, column_counts, dtype, device)

    def scalar(self, value: Scalar) -> torch.Tensor:
        """A number or a parameter of one number, in the type that is computed in."""
        return torch.as_tensor(value, dtype=self.dtype, device=self.device).reshape(())

    def feature_gradients(
        self,
        saved: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None],
        gradient_of: Callable[[Tile], torch.Tensor],
        factor: torch.Tensor,
        wanted: Sequence[bool],
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor, torch.Tensor]:
        """Of own rows, own columns, scale and bias: `factor` times what `gradient_of` says of the logits of every tile.

        One rank's columns after the other: each gets the sum of its gradient as soon as all ranks have their part of it.
        """
        rows_BE, columns_CE, scale, bias = saved
        factor = factor * self.ranks.gradient_factor
        to_rows_BE, to_bias, to_own_CE = scale.new_zeros(rows_BE.shape), scale.new_zeros((), dtype=torch.float64), None
        for owner, count in enumerate(self.column_counts):
            first = sum(self.column_counts[:owner])
            to_columns_CE = scale.new_zeros((count, columns_CE.shape[1])) if wanted[1] else None
            for tile in self.tiling.tiles((rows_BE, columns_CE), scale, bias, (first, first + count)):
                gradient_RT = gradient_of(tile)
                to_rows_BE[tile.rows].addmm_(gradient_RT, columns_CE[tile.columns].to(scale.dtype))
                if to_columns_CE is not None:
                    to_columns_TE = to_columns_CE[tile.columns.start - first : tile.columns.stop - first]
                    to_columns_TE.addmm_(gradient_RT.T, rows_BE[tile.rows].to(scale.dtype))
                if bias is not None:
                    to_bias += gradient_RT.sum(dtype=torch.float64)
                del tile, gradient_RT  # before the next one is made
            if to_columns_CE is not None:
                self.ranks.sum_at(owner, to_columns_CE)
                if owner == self.ranks.rank:
                    to_own_CE = to_columns_CE.mul_(scale * factor).to(columns_CE.dtype)
        to_scale = (rows_BE * to_rows_BE).sum() * factor
        to_rows_BE = to_rows_BE.mul_(scale * factor).to(rows_BE.dtype)
        return to_rows_BE, to_own_CE, to_scale, (to_bias * factor).to(scale.dtype)
