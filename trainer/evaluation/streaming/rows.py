"""Vectors in files of equal numbers of rows, which are mapped into memory when they are read.

A file is written whole or not at all, so that an interrupted computation goes on with the files that are missing, by any number
of processes. Shapes: N rows, E dimensions.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from engine.folders.files import replacing
from engine.world import World
from evaluation.streaming.lists import Chosen

FEWEST_ROWS = 64
MOST_FILES = 256
MOST_MAPS = 8


def rows_in_file(count: int) -> int:
    """How many of `count` rows are in each file but the last."""
    return max(FEWEST_ROWS, -(-count // MOST_FILES))


@dataclass(frozen=True)
class Rows:
    """Vectors [N, E] of the files `folder/NUMBER.npy`; with `index`, row i of these is row `index[i]` of the files."""

    folder: Path
    count: int
    index: np.ndarray | None = None
    maps: dict[int, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        """N."""
        return self.count if self.index is None else len(self.index)

    @property
    def dims(self) -> int:
        """E."""
        return self._map(0).shape[1]

    def part(self, start: int, end: int) -> np.ndarray:
        """float32 [end - start, E] of consecutive rows."""
        return self.take(np.arange(start, end))

    def take(self, numbers: np.ndarray) -> np.ndarray:
        """float32 [len(numbers), E] of any rows."""
        places = numbers if self.index is None else self.index[numbers]
        step = rows_in_file(self.count)
        file_of = places // step
        rows = np.empty((len(places), self.dims), np.float32)
        for file in np.unique(file_of):
            here = file_of == file
            rows[here] = self._map(int(file))[places[here] - file * step]
        return rows

    def chosen(self, numbers: np.ndarray) -> "Rows":
        """Some of them, in this order."""
        return Rows(self.folder, self.count, numbers if self.index is None else self.index[numbers])

    def _map(self, number: int) -> np.ndarray:
        if number not in self.maps:
            # Pages of a mapped file count as memory of the process until it is unmapped.
            if len(self.maps) >= MOST_MAPS:
                del self.maps[next(iter(self.maps))]
            self.maps[number] = np.load(self.folder / f"{number:06}.npy", mmap_mode="r")
        return self.maps[number]


class Source(Protocol):
    """What gives vectors that are not there yet."""

    def begin(self, count: int) -> None:
        """So many rows are to be computed by this process."""
        ...

    def compute(self, start: int, end: int) -> np.ndarray:
        """Vectors [end - start, E]."""
        ...


def stored_rows(folder: Path, count: int, dtype: type[np.floating], source: Source, world: World) -> Rows:
    """`count` vectors, kept as `dtype`; `source` computes those that are not there yet.

    The processes share the files that are missing; each returns when all of them are there.
    """
    step = rows_in_file(count)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [
        number
        for number in range(-(-count // step))
        if not is_whole(folder / f"{number:06}.npy", min(step, count - number * step))
    ]
    # All look before one writes: otherwise they would share different lists.
    world.wait()
    own = world.share(missing)
    source.begin(sum(min(step, count - number * step) for number in own))
    for number in own:
        start = number * step
        vectors_NE = source.compute(start, min(start + step, count))
        with replacing(folder / f"{number:06}.npy") as out:
            np.save(out, vectors_NE.astype(dtype))
    world.wait()
    return Rows(folder, count)


def is_whole(file: Path, count: int) -> bool:
    """Whether a file of `count` rows is there; one that a crash or a full disk cut short is as good as none."""
    try:
        return len(np.load(file, mmap_mode="r")) == count
    except (OSError, ValueError, EOFError):
        return False


def digest_of(parts: Iterable[str]) -> str:
    """A name for what vectors were computed from."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def numbered(texts: Sequence[str]) -> tuple[Sequence[str], np.ndarray]:
    """The different texts in the order in which they come first, and the number among them of every text [N].

    Texts are told apart by digests of 128 bits, so that none of them has to be in memory.
    """
    digests = bytearray()
    for text in texts:
        digests += hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    halves_N2 = np.frombuffer(digests, np.uint64).reshape(-1, 2)
    order_N = np.lexsort((halves_N2[:, 1], halves_N2[:, 0]))  # of equal ones the first comes first
    sorted_N2 = halves_N2[order_N]
    is_new_N = np.ones(len(texts), np.bool_)
    is_new_N[1:] = (sorted_N2[1:] != sorted_N2[:-1]).any(1)
    firsts = order_N[is_new_N]
    places = np.argsort(firsts)
    numbers = np.empty(len(firsts), np.int64)
    numbers[places] = np.arange(len(firsts))
    index_N = np.empty(len(texts), np.int64)
    index_N[order_N] = numbers[np.cumsum(is_new_N) - 1]
    return texts if len(firsts) == len(texts) else Chosen(texts, firsts[places]), index_N
