"""The processes that share a batch, for losses: rows of all ranks, sums over them, and gradients that find their way back."""

from typing import Any, Literal

import torch
from torch import distributed as dist

from engine.world import gather_rows

# Rows and columns up to which a process that is alone has one matrix of logits: 64 MiB.
ONE_MATRIX = 4096
# Rows and columns of a tile of a larger one. A CPU's cache holds 4 MiB: at 8,192 rows a fifth faster than tiles of 4,096. A GPU
# needs larger ones to be busy: two of 16 MiB, and 4 MiB of matches. Its size was calculated, not measured.
TILE, TILE_ON_GPU = 1024, 2048


class Ranks:
    """Those of a process group (torch's default one), or this process alone where there is none.

    Rows of a batch are in the order of ranks. `even`: every rank brings as many rows as this one, which nobody checks;
    False makes ranks tell each other how many, and a GPU is waited for.

    A loss over all ranks has the same value on each. Its gradient is that of what the rank brought, so what has weights in
    common adds gradients up. `gradients="averaged"` is for a reducer that takes the mean, as torch's DDP and FSDP do by
    themselves: every gradient is then multiplied by the number of ranks.

    `tile`: rows and columns of the matrix of logits that exist at a time; None leaves it to the device.
    """

    def __init__(
        self,
        group: dist.ProcessGroup | None = None,
        *,
        even: bool = True,
        gradients: Literal["added", "averaged"] = "added",
        tile: int | None = None,
    ) -> None:
        self.group, self.even, self.tile = group, even, tile
        has_group = dist.is_available() and dist.is_initialized()
        self.size = dist.get_world_size(group) if has_group else 1
        self.rank = dist.get_rank(group) if has_group else 0
        if self.rank < 0:
            raise ValueError("this process is not in the process group of its loss: leave the call out here")
        self.gradient_factor = self.size if gradients == "averaged" else 1

    @classmethod
    def alone(cls) -> "Ranks":
        """This process only, whatever groups there are: for rows that every rank has all of."""
        ranks = cls()
        ranks.size, ranks.rank, ranks.gradient_factor = 1, 0, 1
        return ranks

    def has_one_matrix(self, rows: int, columns: int) -> bool:
        """Whether the whole matrix of logits is held at once: by a process that is alone, where it is small."""
        return self.size == 1 and max(rows, columns) <= (self.tile or ONE_MATRIX)

    def tile_on(self, device: torch.device) -> int:
        """Rows and columns of a tile."""
        return self.tile or (TILE_ON_GPU if device.type == "cuda" else TILE)

    def counts(self, rows: int, device: torch.device) -> list[int]:
        """How many rows every rank brings."""
        if self.size == 1 or self.even:
            return [rows] * self.size
        counts = torch.zeros(self.size, dtype=torch.int64, device=device)
        counts[self.rank] = rows
        return self.add(counts).tolist()

    def gather(self, own: torch.Tensor, counts: list[int]) -> torch.Tensor:
        """The rows of all ranks [sum of counts, ...], without a gradient."""
        return own if self.size == 1 else gather_rows(own, counts, self.group)

    def own_sum(self, rows: torch.Tensor, counts: list[int]) -> torch.Tensor:
        """This rank's rows of the sum over ranks of `rows` [sum of counts, ...]: the way back of `gather`."""
        if self.size == 1:
            return rows
        if min(counts) == max(counts):
            own = rows.new_empty((counts[self.rank], *rows.shape[1:]))
            dist.reduce_scatter_single(own, rows.contiguous(), group=self.group)
            return own
        return self.add(rows.contiguous()).split(counts)[self.rank]

    def sum_at(self, owner: int, values: torch.Tensor) -> torch.Tensor:
        """The sum over ranks, in place, on the rank `owner` only."""
        if self.size > 1:
            dist.reduce(values, group_dst=owner, group=self.group)
        return values

    def add(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all ranks, in place."""
        if self.size > 1:
            dist.all_reduce(values, dist.ReduceOp.SUM, group=self.group)
        return values

    def log_sum_exp(self, values_C: torch.Tensor) -> torch.Tensor:
        """log sum exp over ranks, entry by entry; one rank at least has to have a finite value."""
        if self.size == 1:
            return values_C
        largest_C = values_C.clone()
        dist.all_reduce(largest_C, dist.ReduceOp.MAX, group=self.group)
        return self.add((values_C - largest_C).exp_()).log_().add_(largest_C)

    def rows_of_all(self, own: torch.Tensor, counts: list[int]) -> torch.Tensor:
        """`gather` with a gradient: every rank's use of a row counts."""
        return own if self.size == 1 else _Gather.apply(own, self, counts)  # pyright: ignore[reportReturnType]

    def total(self, part: torch.Tensor) -> torch.Tensor:
        """The sum over ranks of a value that each has a part of, with a gradient."""
        return part if self.size == 1 else _Total.apply(part, self)  # pyright: ignore[reportReturnType]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: torch.Tensor, ranks: Ranks, counts: list[int]) -> torch.Tensor:
        ctx.ranks, ctx.counts = ranks, counts
        return ranks.gather(own, counts)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return ctx.ranks.own_sum(gradients[0], ctx.counts), None, None


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: torch.Tensor, ranks: Ranks) -> torch.Tensor:
        ctx.factor = ranks.gradient_factor
        return ranks.add(part.clone())

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0] * ctx.factor, None
