"""Long lists of what is on the disk, of which pieces are in memory while they are read."""

import os
import tempfile
from abc import abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar, overload

import numpy as np

PIECE = 4096  # items that are read at once
Item = TypeVar("Item")


class Pieces(Sequence[Item]):
    """A list that reads its items, some of them at once."""

    @abstractmethod
    def some(self, numbers: range) -> list[Item]:
        """The items of those numbers."""

    @overload
    def __getitem__(self, number: int) -> Item: ...
    @overload
    def __getitem__(self, number: slice) -> list[Item]: ...
    def __getitem__(self, number: int | slice) -> Item | list[Item]:
        """One of them, or some."""
        numbers = range(len(self))[number]
        return self.some(numbers) if isinstance(numbers, range) else self.some(range(numbers, numbers + 1))[0]

    def __iter__(self) -> Iterator[Item]:
        """All of them, piece by piece."""
        for start in range(0, len(self), PIECE):
            yield from self[start : start + PIECE]


class TextList(Pieces[str]):
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

    def some(self, numbers: range) -> list[str]:
        """The texts of those numbers, by one call where they are neighbours."""
        if not numbers:
            return []
        if numbers.step != 1:
            return [self[each] for each in numbers]
        self._file.flush()
        ends = self._ends[numbers.start : numbers.stop + 1]
        data = os.pread(self._file.fileno(), ends[-1] - ends[0], ends[0])
        return [data[start - ends[0] : end - ends[0]].decode("utf-8", "surrogatepass") for start, end in pairwise(ends)]


class Chosen(Pieces[str]):
    """Some of many texts, by their numbers; they stay where they are."""

    def __init__(self, texts: Sequence[str], numbers: np.ndarray) -> None:
        self._texts, self._numbers = texts, numbers

    def __len__(self) -> int:
        """How many are chosen."""
        return len(self._numbers)

    def some(self, numbers: range) -> list[str]:
        """The chosen ones of those numbers."""
        return [self._texts[int(self._numbers[each])] for each in numbers]
