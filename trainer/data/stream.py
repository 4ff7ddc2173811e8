"""Streams batches of one rank from shards, in torch's DataLoader workers; its state is the number of steps.

The order is a function of (seed, epoch) (data/order.py), so that a stream begins at any step without the steps before it, on
any number of ranks and with any number of workers. What workers have made ahead is no part of the state: a step counts
when the loop has taken it.
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, Protocol, TypedDict, TypeVar

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from contracts.types import PreparedShard
from data.batches import Piece
from data.manifest import rows_digest
from data.order import EpochOrder, OrderOptions
from engine.failure import outcome_of, result_of


class StreamState(TypedDict):
    """Where a stream is: `step` counts from the start of the run. `data` says of which rows and which order."""

    step: int
    data: str


@dataclass(frozen=True)
class Share:
    """Which rank of how many, and how it makes its batches: `workers` processes, in parts of at most `micro` samples."""

    rank: int = 0
    world: int = 1
    workers: int = 0
    micro: int | None = None
    prefetch: int = 2
    pin: bool = False


# Where workers put what the process that trains takes; a container has as much of it as it was given, and beyond it a worker dies.
SHARED_MEMORY = "/dev/shm"
ROOM = 0.8  # of it for batches: the processes of GPUs talk through it, too


def within_shared_memory(share: Share, batch_bytes: int, processes: int) -> Share:
    """The share with fewer batches made ahead, or fewer workers, where this machine's shared memory does not hold them all.

    `batch_bytes`: of a step of this rank; `processes` of this machine train.
    """
    try:
        found = os.statvfs(SHARED_MEMORY)
    except FileNotFoundError:
        return share
    room = ROOM * found.f_frsize * found.f_blocks / processes
    ahead = int(room / batch_bytes) - 1  # beside the one that the loop takes
    if ahead < 1:
        raise ValueError(
            f"the shared memory of this machine ({SHARED_MEMORY}) has {room / 1e6:.0f} MB for the batches of each process, and two "
            f"of {batch_bytes / 1e6:.0f} MB are there at a time: give the container more (docker run --shm-size), or lower batch_size"
        )
    workers = min(share.workers, ahead)
    return replace(share, workers=workers, prefetch=min(share.prefetch, ahead // max(1, workers)))


class IsPiece(Protocol):
    """A batch that knows which part of which step it is."""

    piece: Piece


Made = TypeVar("Made", bound=IsPiece, covariant=True)


class Loader(Protocol[Made]):
    """Makes batches of places in shards: `RowLoader`, `PairLoader`."""

    shards: list[PreparedShard]

    def batch(self, piece: Piece, places_B2: np.ndarray) -> Made:
        """The samples at places (shard, row) [B, 2]."""
        ...

    def announce(self, numbers: Sequence[int], stream: str = "") -> None:
        """The shards that a stream reads from now on, the soonest first."""
        ...


AHEAD = 2  # shards of each lane that are copied before they are needed
Part = tuple[int, int, int]  # (step, part, parts)


class PartsOfSteps(Sampler[Part]):
    """The parts of all steps from `first` on, without end: the loop stops."""

    def __init__(self, first: int, parts: int) -> None:
        self.first, self.parts = first, parts

    def __iter__(self) -> Iterator[Part]:
        """Part by part."""
        step = self.first
        while True:
            yield from ((step, part, self.parts) for part in range(self.parts))
            step += 1


class PartsOfBatches(Dataset[Any]):
    """Makes the part of a step that it is asked for: a worker needs no more than its number."""

    def __init__(self, loader: Loader, order: EpochOrder, share: Share) -> None:
        self.loader, self.order, self.share = loader, order, share

    def __getitem__(self, index: Part) -> Any:
        """The samples of one part."""
        step, part, parts = index
        epoch, place = divmod(step, self.order.steps)
        places_B2 = self.order.batch(epoch, place, self.share.rank, self.share.world)
        first, end = part * len(places_B2) // parts, (part + 1) * len(places_B2) // parts
        return outcome_of(lambda: self.loader.batch(Piece(step, part, parts, epoch), places_B2[first:end]))


class Stream(Generic[Made]):
    """All batches of one rank from the state on, step after step and epoch after epoch; every rank has equally many.

    `chosen`: the loader's shards that it is of, by number; None: all of them. `name` tells streams of one loader apart.
    """

    def __init__(
        self,
        loader: Loader[Made],
        options: OrderOptions,
        share: Share = Share(),
        chosen: Collection[int] | None = None,
        name: str = "",
    ) -> None:
        self.loader, self.share, self.name = loader, share, name
        shards = [shard for number, shard in enumerate(loader.shards) if chosen is None or number in chosen]
        if options.batch < share.world:
            raise ValueError(f"a batch of {options.batch} leaves some of {share.world} ranks without a sample")
        counts = [
            shard["count"] if chosen is None or number in chosen else 0 for number, shard in enumerate(loader.shards)
        ]
        self.order = EpochOrder(counts, options)
        self.data = fingerprint(shards, options)
        self.step = 0

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one epoch, on any number of ranks."""
        return self.order.steps

    def state_dict(self) -> StreamState:
        """The state after the steps that the loop has taken; the same on every rank."""
        return {"step": self.step, "data": self.data}

    def load_state_dict(self, state: StreamState) -> None:
        """Go on where another stream was, of any number of ranks and workers; of other data or another order refused."""
        if state["data"] != self.data:
            raise ValueError(
                "the checkpoint's stream had other shards, another batch, seed, window or number of lanes: its place means "
                "nothing in this one. Go on with those of the checkpoint, or start anew"
            )
        self.step = state["step"]

    def __iter__(self) -> Iterator[Made]:
        """Part by part; a step counts as taken when its last part is given out."""
        share = self.share
        rank_batch = -(-self.order.options.batch // share.world)
        parts = -(-rank_batch // share.micro) if share.micro is not None else 1
        batches = DataLoader(
            PartsOfBatches(self.loader, self.order, share),
            sampler=PartsOfSteps(self.step, parts),
            batch_size=None,
            num_workers=share.workers,
            prefetch_factor=share.prefetch if share.workers > 0 else None,
            pin_memory=share.pin,
        )
        announced = self.announce(self.step, ())  # before the workers ask for the first ones
        made = iter(batches)
        try:
            for batch in map(result_of, made):
                if batch.piece.part == 0:
                    announced = self.announce(batch.piece.step, announced)
                if batch.piece.part == parts - 1:
                    self.step = batch.piece.step + 1
                yield batch
        finally:
            # After an error Python may close the workers' queues before torch ends the workers, which then takes five seconds each.
            end_workers = getattr(made, "_shutdown_workers", None)
            if end_workers is not None:
                end_workers()

    def announce(self, step: int, before: Sequence[int]) -> Sequence[int]:
        """Have the shards of the windows at work and the next ones brought to this machine, when they change."""
        epoch, place = divmod(step, self.order.steps)
        upcoming = self.order.upcoming(epoch, place, self.share.rank, self.share.world, AHEAD)
        if upcoming != before:
            self.loader.announce(upcoming, self.name)
        return upcoming


class Chunks(Dataset[Any]):
    """Places in order, `size` at a time."""

    def __init__(self, loader: Loader, places_N2: np.ndarray, size: int) -> None:
        self.loader, self.places_N2, self.size = loader, places_N2, size

    def __len__(self) -> int:
        """Chunks."""
        return -(-len(self.places_N2) // self.size)

    def __getitem__(self, number: int) -> Any:
        """The samples of one chunk, as those of epoch 0."""
        first = number * self.size
        places_B2 = self.places_N2[first : first + self.size]
        return outcome_of(lambda: self.loader.batch(Piece(number, 0, 1, epoch=0), places_B2))


def in_chunks(loader: Loader[Made], places_N2: np.ndarray, size: int, workers: int) -> Iterator[Made]:
    """The samples at places (shard, row) [N, 2] once, in order, `size` at a time, made by worker processes."""
    chunks = Chunks(loader, places_N2, size)
    loader.announce(list(dict.fromkeys(places_N2[:, 0].tolist())), "once")
    yield from map(result_of, DataLoader(chunks, batch_size=None, num_workers=min(workers, len(chunks))))
    loader.announce([], "once")


def fingerprint(shards: Sequence[PreparedShard], options: OrderOptions) -> str:
    """What the order depends on, as a digest."""
    settings = json.dumps({"rows": rows_digest(shards), **asdict(options)}, sort_keys=True)
    return f"sha256:{hashlib.sha256(settings.encode()).hexdigest()}"
