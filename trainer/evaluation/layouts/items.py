"""What a layout is read into: pictures that are still files, and what belongs to them."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from evaluation.streaming.lists import Pieces, TextList
from towers.preprocess import decode

Content = bytes | Image.Image


@dataclass(frozen=True)
class Picture:
    """An image file, or the part of it within `box` (left, top, right, bottom in pixels)."""

    file: Path
    box: tuple[int, int, int, int] | None = None

    def read(self) -> Content:
        """The bytes of the file, or the part that is meant."""
        data = self.file.read_bytes()
        return data if self.box is None else decode(data).crop(self.box)

    def identity(self) -> str:
        """What its vector depends on, without reading it: the file's path, size and time."""
        status = self.file.stat()
        return f"{self.file} {status.st_size} {status.st_mtime_ns} {self.box}"


class PictureList(Pieces[Picture]):
    """Pictures by their files, in a list on the disk."""

    def __init__(self, pictures: Iterable[Picture] = ()) -> None:
        self._lines = TextList()
        for picture in pictures:
            self.append(picture)

    @property
    def lines(self) -> TextList:
        """What tells one picture from another, for each of them."""
        return self._lines

    def append(self, picture: Picture) -> None:
        """One more."""
        box = "" if picture.box is None else ",".join(map(str, picture.box))
        self._lines.append(f"{box}|{picture.file}")

    def __len__(self) -> int:
        """How many there are."""
        return len(self._lines)

    def some(self, numbers: range) -> list[Picture]:
        """The pictures of those numbers."""
        return [picture_of(line) for line in self._lines.some(numbers)]


def picture_of(line: str) -> Picture:
    """What was written of a picture."""
    box, _, file = line.partition("|")
    if not box:
        return Picture(Path(file))
    left, top, right, bottom = map(int, box.split(","))
    return Picture(Path(file), (left, top, right, bottom))


def numbers() -> "array[int]":
    """Of 8 bytes each."""
    return array("q")


@dataclass(frozen=True)
class Captioned:
    """Pictures and texts; text n belongs to picture `picture_of[n]`. Both lists are on the disk: there may be millions."""

    pictures: PictureList = field(default_factory=PictureList)
    texts: TextList = field(default_factory=TextList)
    picture_of: "array[int]" = field(default_factory=numbers)

    def add(self, picture: Picture, texts: Sequence[str]) -> None:
        """One more picture with its texts."""
        self.texts.extend(texts)
        self.picture_of.extend([len(self.pictures)] * len(texts))
        self.pictures.append(picture)


@dataclass(frozen=True)
class Labelled:
    """Pictures and the number of each one's class among `names`."""

    pictures: Sequence[Picture]
    class_of: Sequence[int]
    names: list[str]


@dataclass(frozen=True)
class Choices:
    """A picture with its right text first and wrong ones after it; `groups` are kinds of cases, of which each has its own figure."""

    pictures: list[Picture] = field(default_factory=list)
    options: list[list[str]] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ScoredPairs:
    """Two texts and how alike people found them."""

    first: list[str]
    second: list[str]
    score: list[float]
