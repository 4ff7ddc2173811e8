"""What a layout is read into: pictures that are still files, and what belongs to them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

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


@dataclass(frozen=True)
class Captioned:
    """Pictures and texts; text n belongs to picture `picture_of[n]`."""

    pictures: list[Picture] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    picture_of: list[int] = field(default_factory=list)

    def add(self, picture: Picture, texts: Sequence[str]) -> None:
        """One more picture with its texts."""
        self.texts.extend(texts)
        self.picture_of.extend([len(self.pictures)] * len(texts))
        self.pictures.append(picture)


@dataclass(frozen=True)
class Labelled:
    """Pictures and the number of each one's class among `names`."""

    pictures: list[Picture]
    class_of: list[int]
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
