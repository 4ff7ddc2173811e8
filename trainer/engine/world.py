"""The processes that train together: who this one is, on which device, and what they say to each other.

torchrun starts `size` processes (ranks) with its variables in the environment; without them a process is alone and has no
process group, as on a machine with two cores. https://docs.pytorch.org/docs/stable/elastic/run.html
"""

import atexit
import os
import sys
import time
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import torch
from torch import distributed as dist

from contracts.constants import ENV_CPU_DTYPE

# A rank that waits for the others this long takes them for dead. A dead process is noticed at once, a hanging one is not.
PATIENCE = timedelta(minutes=10)
# One that waits for what another one does alone (embedding all pictures, cutting all texts) has nothing to time it by.
LONG_PATIENCE = timedelta(days=1)
Items = TypeVar("Items", bound=Sized)  # a list, an array or a tensor
IMPORTED = time.monotonic()
BUCKET_BYTES = 32 * 2**20  # gradients travel in pieces of about this size: fewer, larger messages


@dataclass(frozen=True)
class World:
    """`rank` of `size` processes. Three groups on the CPU: `control` for flags and small objects of the loop, `storage` for
    checkpoints, which are written by a thread beside it, `waiting` for `wait`; all None when alone."""

    rank: int
    size: int
    local_rank: int
    device: torch.device
    control: Any = field(default=None, repr=False)
    storage: Any = field(default=None, repr=False)
    local_size: int = 1  # processes of this machine
    waiting: Any = field(default=None, repr=False)

    @property
    def leads(self) -> bool:
        """Whether this process writes files and prints: one of all does."""
        return self.rank == 0

    @property
    def leads_machine(self) -> bool:
        """Whether this process writes the files that the processes of its own machine read: one on each does."""
        return self.local_rank == 0

    def share(self, items: Items) -> Items:
        """This rank's consecutive part of what all ranks have alike; parts differ by one item at most."""
        count, whole = len(items), cast(Any, items)
        return whole[count * self.rank // self.size : count * (self.rank + 1) // self.size]

    def gather(self, value: Any) -> list[Any]:
        """The value of every rank, by rank: small objects of the standard library and tensors on the CPU."""
        if self.control is None:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self.control)
        return values

    def wait(self) -> None:
        """Until every rank has come here, however long one of them works alone before."""
        if self.waiting is not None:
            dist.barrier(group=self.waiting)

    def any_has(self, flags: Sequence[bool]) -> list[bool]:
        """Of each flag, whether it holds on any rank."""
        if self.control is None:
            return [*flags]
        found = torch.tensor(flags, dtype=torch.uint8)
        dist.all_reduce(found, dist.ReduceOp.MAX, group=self.control)
        return [bool(flag) for flag in found.tolist()]

    def add_up(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace each tensor by its sum over all ranks, which have equal lists of them."""
        if self.size == 1:
            return
        for bucket in buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(flat)
            for tensor, part in zip(bucket, flat.split([tensor.numel() for tensor in bucket]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def whole(self, rows_BD: torch.Tensor, count: int) -> torch.Tensor:
        """The rows of all ranks [N, D] of `count` items that were shared; a gradient goes to this rank's own.

        A loss over all of them is computed on every rank. The gradients of each rank's rows are right then, and what ranks
        have in common has to go through `shared`.
        """
        edges = [count * rank // self.size for rank in range(self.size + 1)]
        return self.joined(rows_BD, [end - start for start, end in pairwise(edges)])

    def joined(self, rows_BD: torch.Tensor, counts: list[int]) -> torch.Tensor:
        """The rows of all ranks [N, D] as `whole` has them, where each brings as many as `counts` says of it."""
        if self.size == 1:
            return rows_BD
        first = sum(counts[: self.rank])
        rows_ND = gather_rows(rows_BD.detach(), counts)
        return torch.cat([rows_ND[:first], rows_BD, rows_ND[first + len(rows_BD) :]])

    def shared(self, value: torch.Tensor) -> torch.Tensor:
        """The same value with an equal share of its gradient on every rank: their sum is the gradient."""
        return value if self.size == 1 else value / self.size + (value - value / self.size).detach()

    def copy_from_first(self, tensors: Iterable[torch.Tensor]) -> None:
        """Give every rank the values of rank 0."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), 0)


def gather_rows(own: torch.Tensor, counts: list[int], group: dist.ProcessGroup | None = None) -> torch.Tensor:
    """The rows of all ranks [sum of counts, ...] in the order of ranks, without a gradient; each travels padded to the longest."""
    longest = max(counts)
    padded = own.contiguous()
    if len(own) < longest:
        padded = own.new_zeros((longest, *own.shape[1:]))
        padded[: len(own)] = own
    gathered = own.new_empty((len(counts) * longest, *own.shape[1:]))
    dist.all_gather_single(gathered, padded, group=group)
    if min(counts) == longest:
        return gathered
    return torch.cat([part[:count] for part, count in zip(gathered.split(longest), counts, strict=True)])


def buckets(tensors: Iterable[torch.Tensor]) -> list[list[torch.Tensor]]:
    """Neighbours of one dtype and device together, up to `BUCKET_BYTES`."""
    groups: list[list[torch.Tensor]] = []
    kind, room = None, 0
    for tensor in tensors:
        size = tensor.numel() * tensor.element_size()
        if (tensor.dtype, tensor.device) != kind or size > room:
            groups.append([])
            kind, room = (tensor.dtype, tensor.device), BUCKET_BYTES
        groups[-1].append(tensor)
        room -= size
    return groups


ALONE_ON_CPU = World(0, 1, 0, torch.device("cpu"))


def join_world() -> World:
    """The world that torchrun's variables describe; NCCL between GPUs, gloo between processes without."""
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    local_rank, local_size = (
        int(os.environ.get(f"LOCAL_{name}", n)) for name, n in (("RANK", "0"), ("WORLD_SIZE", size))
    )
    if torch.cuda.is_available():
        if local_rank >= torch.cuda.device_count():
            raise ValueError(
                f"rank {rank} is process {local_rank + 1} of this machine, which has {torch.cuda.device_count()} GPUs: "
                "start one process per GPU"
            )
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
    if size == 1:
        return World(0, 1, local_rank, device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    control, storage, waiting = (
        dist.new_group(backend="gloo", timeout=timeout) for timeout in (PATIENCE, PATIENCE, LONG_PATIENCE)
    )
    return World(rank, size, local_rank, device, control, storage, local_size, waiting)


def leave_world() -> None:
    """Close the connections to the other ranks; without it torch complains when the process ends."""
    if dist.is_initialized():
        dist.destroy_process_group()


def since_start() -> tuple[float, float]:
    """Wall-clock seconds since this process started, and seconds of a core that all of its threads have taken."""
    cpu = time.process_time()
    try:
        # Field 22 of proc(5), counted behind the name, which may hold anything: ticks from the start of the machine.
        ticks = int(Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
    except FileNotFoundError:
        return time.monotonic() - IMPORTED, cpu
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"), cpu


def end_process(world: World, code: int) -> NoReturn:
    """End a process whose files are written. Alone as any Python program ends; a rank without what native libraries do at exit.

    Threads that native libraries left running abort the process when their objects are destroyed at exit ("terminate called without
    an active exception", seen on a loaded machine). The launcher would take a rank for dead that had done everything.
    """
    leave_world()
    if world.size == 1:
        sys.exit(code)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies it (AMX or AVX512-BF16: twice as fast as float32), else float32.

    On a processor TRAINER_CPU_DTYPE decides instead, for figures that do not depend on the machine; another value of it is a
    SystemExit.
    The processor is asked for its features instead of timed: other work on the machine once made a timed probe choose
    different arithmetic for two arms of one comparison.
    """
    if device.type == "cuda":
        return torch.bfloat16
    wanted = os.environ.get(ENV_CPU_DTYPE, "")
    if wanted:
        dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
        if wanted not in dtypes:
            raise SystemExit(f"{ENV_CPU_DTYPE} {wanted}: float32 or bfloat16")
        return dtypes[wanted]
    has_bfloat16 = any(has for name, has in torch.cpu.get_capabilities().items() if name.endswith("bf16"))
    return torch.bfloat16 if has_bfloat16 else torch.float32
