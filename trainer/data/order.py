"""The order of an epoch as a pure function of seed and epoch: nothing is stored, any step is found without those before it.

Shards are put in a random order, and so are the rows of each. The row of all of them is cut into `lanes` of equal length;
a global batch takes the same number of samples from every lane, so that a rank reads the shards of its own lanes only.
Within a lane, samples are mixed in windows of `window` places: what a shuffle buffer does, but a window can be computed
at any place. The order knows nothing of ranks and workers: a run that goes on with other numbers of them sees the same
global batches. (Lanes are the canonical nodes of MosaicML's Streaming; windows replace its block shuffle.)
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

ROWS, SHARDS, WINDOW = 0, 1, 2  # which permutation of an epoch a generator is for
CACHED_WINDOWS = 64


@dataclass(frozen=True)
class OrderOptions:
    """`batch`: global batch, a multiple of `lanes`. `window`: samples of one lane that are mixed with each other.

    More lanes than nodes that fetch shards gain nothing; with fewer, nodes fetch the same shards.
    """

    batch: int
    seed: int
    window: int = 8192
    lanes: int = 1


class EpochOrder:
    """Which sample comes when, for shards with `counts` rows. What does not fill a batch is left out, other samples each epoch."""

    def __init__(self, counts: Sequence[int], options: OrderOptions) -> None:
        if options.batch % options.lanes != 0:
            raise ValueError(f"a batch of {options.batch} cannot be taken from {options.lanes} lanes alike")
        if options.window < 1 or options.lanes < 1:
            raise ValueError(f"window ({options.window}) and lanes ({options.lanes}) have to be at least 1")
        self.counts_S = np.array(counts, dtype=np.int64)
        self.options = options
        self.samples = int(self.counts_S.sum())
        self.steps = self.samples // options.batch
        if self.steps == 0:
            raise ValueError(
                f"{self.samples} samples do not fill one batch of {options.batch}: lower the batch or add data"
            )
        self.lane_batch = options.batch // options.lanes
        self.lane_samples = self.steps * self.lane_batch
        self.windows: OrderedDict[tuple[int, int, int], np.ndarray] = OrderedDict()
        self.shards: tuple[int, np.ndarray, np.ndarray] | None = None

    def batch(self, epoch: int, step: int, rank: int = 0, world: int = 1) -> np.ndarray:
        """(shard, row) [b, 2] of one rank's part of a global batch; parts of all ranks are the batch, equal but for one."""
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of an epoch of {self.steps} steps")
        size, per_lane = self.options.batch, self.lane_batch
        first, end = rank * size // world, (rank + 1) * size // world
        parts = []
        for lane in range(first // per_lane, -(-end // per_lane)):
            low, high = max(first - lane * per_lane, 0), min(end - lane * per_lane, per_lane)
            parts.append(self.lane_places(epoch, lane, step * per_lane + low, step * per_lane + high))
        return np.concatenate(parts) if parts else np.zeros((0, 2), dtype=np.int64)

    def lane_places(self, epoch: int, lane: int, first: int, end: int) -> np.ndarray:
        """(shard, row) [end - first, 2] of places of a lane."""
        size = self.options.window
        parts = [
            self.window(epoch, lane, number)[max(first - number * size, 0) : end - number * size]
            for number in range(first // size, -(-end // size))
        ]
        return np.concatenate(parts)

    def window(self, epoch: int, lane: int, number: int) -> np.ndarray:
        """(shard, row) [W, 2] of a window of a lane, mixed."""
        key = epoch, lane, number
        if key not in self.windows:
            first = number * self.options.window
            end = min(first + self.options.window, self.lane_samples)
            offset = lane * self.lane_samples
            places_W2 = self.places(epoch, offset + first, offset + end)
            order = self.generator(epoch, WINDOW, lane, number).permutation(len(places_W2))
            self.windows[key] = places_W2[order]
            if len(self.windows) > max(CACHED_WINDOWS, 2 * self.options.lanes):
                self.windows.popitem(last=False)
        self.windows.move_to_end(key)
        return self.windows[key]

    def places(self, epoch: int, first: int, end: int) -> np.ndarray:
        """(shard, row) [end - first, 2] of places of the whole epoch, before windows are mixed."""
        order_S, ends_S = self.shard_order(epoch)
        parts = []
        place = int(np.searchsorted(ends_S, first, side="right"))
        while first < end:
            shard, stop = int(order_S[place]), min(end, int(ends_S[place]))
            start = int(ends_S[place] - self.counts_S[shard])
            rows = self.generator(epoch, ROWS, shard).permutation(int(self.counts_S[shard]))
            rows = rows[first - start : stop - start]
            parts.append(np.stack([np.full(len(rows), shard), rows], axis=1))
            first, place = stop, place + 1
        return np.concatenate(parts) if parts else np.zeros((0, 2), dtype=np.int64)

    def shard_order(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """(numbers of the shards that have rows in the order of an epoch [S], places at which each ends [S])."""
        if self.shards is None or self.shards[0] != epoch:
            order_S = self.generator(epoch, SHARDS).permutation(len(self.counts_S))
            order_S = order_S[self.counts_S[order_S] > 0]
            self.shards = epoch, order_S, np.cumsum(self.counts_S[order_S])
        return self.shards[1:]

    def upcoming(self, epoch: int, step: int, rank: int, world: int, ahead: int) -> list[int]:
        """The shards that a rank reads from a step on: those of the windows at work, then `ahead` more of each of its lanes.

        At the end of an epoch these are the first ones of the next.
        """
        size, per_lane = self.options.batch, self.lane_batch
        next_S, next_ends_S = self.shard_order(epoch + 1)
        order_S, ends_S = self.shard_order(epoch)
        now: list[int] = []
        later: list[int] = []
        for lane in range(rank * size // world // per_lane, -(-((rank + 1) * size // world) // per_lane)):
            number = step * per_lane // self.options.window
            offset = lane * self.lane_samples
            first = offset + number * self.options.window
            end = offset + min((number + 1) * self.options.window, self.lane_samples)
            low = int(np.searchsorted(ends_S, first, side="right"))
            high = int(np.searchsorted(ends_S, end, side="left"))
            last = int(np.searchsorted(ends_S, offset + self.lane_samples, side="left"))
            now += order_S[low : high + 1].tolist()
            soon = order_S[high + 1 : min(high + ahead, last) + 1].tolist()
            start = int(np.searchsorted(next_ends_S, offset, side="right"))
            later += [*soon, *next_S[start : start + ahead - len(soon)].tolist()]
        return list(dict.fromkeys([*now, *later]))

    def generator(self, epoch: int, *of: int) -> np.random.Generator:
        """The generator of one permutation of an epoch."""
        return np.random.default_rng((self.options.seed, epoch, *of))


# -- what lies in memory whole needs no lanes ------------------------------------------------------------------------


def epoch_batch(seed: tuple[int, ...], step: int, count: int, batch_size: int) -> np.ndarray:
    """`batch_size` different numbers below `count`: every epoch is a new order, inside an epoch nothing comes twice.

    What does not fill a batch at the end of an epoch is left to the next one. A batch is at most `count`, and of one at least.
    """
    if batch_size < 1:
        raise ValueError(f"a batch of {batch_size} is none")
    size = min(batch_size, count)
    epoch, place = divmod(step, count // size)
    return _order((*seed, epoch), count)[place * size :][:size]


@lru_cache(maxsize=8)
def _order(seed: tuple[int, ...], count: int) -> np.ndarray:
    """The permutation of an epoch, kept while the epoch lasts."""
    order = np.random.default_rng(seed).permutation(count)
    order.setflags(write=False)
    return order
