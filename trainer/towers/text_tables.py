"""Texts and rows of numbers in flat files instead of Python objects: what a stage learns from may be many millions.

A table is one file of bytes or numbers and one of the places where its items end, both mapped. The files have no names: they
are gone with the process, however it ends. In a list, each caption would be an object of its own, of a hundred bytes or more.
"""

import mmap
import tempfile
from abc import abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar, overload

import numpy as np

ENCODING = "utf-8", "surrogatepass"  # JSON may hold half a pair of surrogates

Item = TypeVar("Item")


class FlatFile:
    """Bytes that are appended, then mapped as numbers of one type."""

    def __init__(self, folder: Path, dtype: type[np.generic]) -> None:
        self.dtype = np.dtype(dtype)
        self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - until it is mapped

    def add(self, data: bytes) -> None:
        """More bytes."""
        self.file.write(data)

    def add_number(self, number: int) -> None:
        """One more number."""
        self.file.write(number.to_bytes(self.dtype.itemsize, "little", signed=True))

    def mapped(self) -> np.ndarray:
        """All of it, read-only; nothing can be added any more."""
        with self.file:
            self.file.flush()
            # An empty file cannot be mapped.
            held = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ) if self.file.tell() else b""
        return np.frombuffer(held, self.dtype)


class Table(Sequence[Item]):
    """Items of any length, one after the other; `ends` [N] says where in what they are made of each one ends."""

    ends: np.ndarray

    @abstractmethod
    def between(self, first: int, end: int) -> Item:
        """The item that is made of what lies there."""

    def __len__(self) -> int:
        """Items."""
        return len(self.ends)

    @overload
    def __getitem__(self, place: int) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> list[Item]: ...
    def __getitem__(self, place: int | slice) -> Item | list[Item]:
        """One item, or a list of some."""
        numbers = range(len(self.ends))[place]
        return [self.item(number) for number in numbers] if isinstance(numbers, range) else self.item(numbers)

    def item(self, number: int) -> Item:
        """One item; `number` is not negative."""
        return self.between(int(self.ends[number - 1]) if number else 0, int(self.ends[number]))


class TextTable(Table[str]):
    """Texts."""

    def __init__(self, data: np.ndarray, ends: np.ndarray) -> None:
        self.data, self.ends = data, ends

    @classmethod
    def of(cls, folder: Path, texts: Iterable[str]) -> "TextTable":
        """From texts one by one."""
        writer = TextWriter(folder)
        for text in texts:
            writer.add(text)
        return writer.table()

    def between(self, first: int, end: int) -> str:
        """Of bytes."""
        return self.data[first:end].tobytes().decode(*ENCODING)


class TextWriter:
    """Texts that are added."""

    def __init__(self, folder: Path) -> None:
        self.data, self.ends, self.end = FlatFile(folder, np.uint8), FlatFile(folder, np.int64), 0

    def add(self, text: str) -> None:
        """One more text."""
        encoded = text.encode(*ENCODING)
        self.end += len(encoded)
        self.data.add(encoded)
        self.ends.add_number(self.end)

    def table(self) -> TextTable:
        """All of them; nothing can be added any more."""
        return TextTable(self.data.mapped(), self.ends.mapped())


class NumberTable(Table[list[int]]):
    """Rows of 32-bit numbers, such as the token ids of texts."""

    def __init__(self, data: np.ndarray, ends: np.ndarray) -> None:
        self.data, self.ends = data, ends

    @classmethod
    def of(cls, folder: Path, rows: Iterable[Sequence[int]]) -> "NumberTable":
        """From rows one by one."""
        writer = NumberWriter(folder)
        for row in rows:
            writer.add(row)
        return writer.table()

    def between(self, first: int, end: int) -> list[int]:
        """Of numbers."""
        return self.data[first:end].tolist()


class NumberWriter:
    """Rows of numbers that are added."""

    def __init__(self, folder: Path) -> None:
        self.data, self.ends, self.end, self.count = FlatFile(folder, np.int32), FlatFile(folder, np.int64), 0, 0

    def add(self, row: Sequence[int]) -> None:
        """One more row."""
        self.end += len(row)
        self.count += 1
        self.data.add(array("i", row).tobytes())
        self.ends.add_number(self.end)

    def table(self) -> NumberTable:
        """All of them; nothing can be added any more."""
        return NumberTable(self.data.mapped(), self.ends.mapped())


class GroupTable(Table[list[str]]):
    """Groups of texts, such as the captions of an image."""

    def __init__(self, texts: TextTable, ends: np.ndarray) -> None:
        self.texts, self.ends = texts, ends

    @classmethod
    def of(cls, folder: Path, groups: Iterable[Sequence[str]]) -> "GroupTable":
        """From groups one by one."""
        texts, ends = TextWriter(folder), FlatFile(folder, np.int64)
        end = 0
        for group in groups:
            for text in group:
                texts.add(text)
            end += len(group)
            ends.add_number(end)
        return cls(texts.table(), ends.mapped())

    def between(self, first: int, end: int) -> list[str]:
        """Of texts."""
        return self.texts[first:end]


def in_parts(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """`size` items at a time, fewer in the end."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
