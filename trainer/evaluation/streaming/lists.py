"""Long lists of texts on the disk, of which pieces are in memory while they are read."""

import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import overload

import numpy as np

PIECE = 4096  # texts that are read at once


class TextList(Sequence[str]):
    """Texts in a file without a name, which is gone with the list; memory holds where each of them ends."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the list
        self._ends = array("q", [0])
        self.extend(texts)

    def append(self, text: str) -> None:
        """One more."""
        # A name of a file and a broken JSON escape may hold half of a pair, which plain UTF-8 refuses.
        data = text.encode("utf-8", "surrogatepass")
        self._file.write(data)
        self._ends.append(self._ends[-1] + len(data))

    def extend(self, texts: Iterable[str]) -> None:
        """More of them."""
        for text in texts:
            self.append(text)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._ends) - 1

    def __iter__(self) -> Iterator[str]:
        """All of them, piece by piece."""
        return pieces(self)

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> list[str]: ...
    def __getitem__(self, number: int | slice) -> str | list[str]:
        """One of them, or some."""
        if isinstance(number, slice):
            numbers = range(*number.indices(len(self)))
            return self._read(numbers) if numbers.step == 1 else [self[each] for each in numbers]
        return self._read(range(len(self))[number : number + 1 or None])[0]

    def _read(self, numbers: range) -> list[str]:
        if not numbers:
            return []
        self._file.flush()
        ends = self._ends[numbers.start : numbers.stop + 1]
        data = os.pread(self._file.fileno(), ends[-1] - ends[0], ends[0])
        return [data[start - ends[0] : end - ends[0]].decode("utf-8", "surrogatepass") for start, end in pairwise(ends)]


class Chosen(Sequence[str]):
    """Some of many texts, by their numbers; they stay where they are."""

    def __init__(self, texts: Sequence[str], numbers: np.ndarray) -> None:
        self._texts, self._numbers = texts, numbers

    def __len__(self) -> int:
        """How many are chosen."""
        return len(self._numbers)

    def __iter__(self) -> Iterator[str]:
        """All of them, piece by piece."""
        return pieces(self)

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> list[str]: ...
    def __getitem__(self, number: int | slice) -> str | list[str]:
        """One of them, or some."""
        if isinstance(number, slice):
            return [self._texts[int(each)] for each in self._numbers[number]]
        return self._texts[int(self._numbers[number])]


def pieces(texts: Sequence[str]) -> Iterator[str]:
    """Every text, read piece by piece."""
    for start in range(0, len(texts), PIECE):
        yield from texts[start : start + PIECE]
