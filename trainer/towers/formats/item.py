"""One image of a user's data with what is said about it, and how the columns of a table are recognised."""

import base64
import binascii
import hashlib
import os
import posixpath
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from contracts.constants import IMAGE_COLUMNS, IMAGE_ENDINGS
from towers.stored_names import as_stored
from towers.text.unicode import composed, whole

# Marks: the dot that is left of a small İ, and what makes a sign colourful.
NO_LETTERS = dict.fromkeys([0x0307, 0xFE0F])
IMAGE_SUFFIXES = {f".{ending}" for ending in IMAGE_ENDINGS}

# Names that people give their other columns (IMAGE_COLUMNS), the likeliest first; compared without case, spaces, hyphens and underscores.
CAPTION_NAMES = [
    "caption", "captions", "text", "texts", "title", "titles", "product_name", "product_title", "description",
    "descriptions", "alt", "alt_text", "sentence", "sentences", "raw_caption", "raw", "prompt", "comment",
]  # fmt: skip
CLASS_NAMES = ["label", "class", "class_name", "category", "category_name", "class_id", "label_id", "target", "tag"]


class FormatError(ValueError):
    """What is wrong with a user's data and what to do about it, as a sentence."""


class NoBytesError(OSError):
    """Why a row has no image, as a sentence."""


@dataclass(frozen=True)
class Columns:
    """Which columns of a table to read; None leaves it to `guessed`."""

    image: str | None = None
    captions: tuple[str, ...] | None = None
    label: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Columns":
        """As documents and command lines state them, under the names that `adapt.own` of a recipe has."""
        captions = given["caption_columns"]
        return cls(given["image_column"], None if captions is None else tuple(captions), given["class_column"])

    def as_in(self, names: Sequence[str]) -> "Columns":
        """The same with the names as a table writes them, in whichever form of Unicode."""
        written = {composed(name): name for name in reversed(names)}
        image, label = (name and written.get(composed(name), name) for name in (self.image, self.label))
        captions = self.captions and tuple(written.get(composed(name), name) for name in self.captions)
        return Columns(image, captions, label)


@dataclass(frozen=True)
class Item:
    """One image: `load` gives the bytes of its file, or raises an OSError that says why there are none.

    `labels`: every class that is said of it. `split_word`: where its split is stated and the word there, of one that is none of
    the known ones. `details`: negatives and regions as they are in its rows (towers/formats/details.py).
    """

    key: str
    load: Callable[[], bytes]
    captions: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    split: str | None = None
    details: dict[str, list[Any]] = field(default_factory=dict)
    split_word: tuple[str, str] | None = None

    @property
    def label(self) -> str | None:
        """The class that counts: the first one."""
        return self.labels[0] if self.labels else None


@dataclass(frozen=True)
class Found:
    """Items of a user's data with the name of their format and sentences on how they were read."""

    format: str
    items: list[Item]
    notes: list[str] = field(default_factory=list)


def texts_of(value: Any) -> list[str]:
    """A text, a list of texts, or a mapping with one of the usual keys, as a list of texts without empty ones."""
    if isinstance(value, str):
        text = " ".join(whole(value).split())
        return [text] if text else []
    if isinstance(value, list | tuple):
        return [text for item in value for text in texts_of(item)]
    if isinstance(value, Mapping):
        found = {plain(str(name)): name for name in value}
        names = [found[plain(name)] for name in CAPTION_NAMES if plain(name) in found]
        return texts_of(value[names[0]]) if names else []
    return []


def label_of(value: Any) -> str | None:
    """A class as text: its name or its number; None where the cell is empty."""
    if value is None or isinstance(value, bool | list | dict) or value != value:  # NaN is not itself
        return None
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    return whole(text) or None


def labels_of(value: Any) -> list[str]:
    """The classes in a cell, which may hold a list of them."""
    values = value if isinstance(value, list | tuple) else [value]
    return list(dict.fromkeys(label for each in values if (label := label_of(each)) is not None))


def plain(name: str) -> str:
    """A name without what people write differently. Marks count that no letter has in it, as the vowels of Hindi are."""
    letters = composed(name.strip().lower()).translate(NO_LETTERS)
    return "".join(each for each in letters if each.isalnum() or unicodedata.category(each).startswith("M"))


def guessed(where: str, names: Sequence[str], asked: Columns) -> tuple[Columns, str]:
    """The columns to read and a sentence that says so. Columns that were asked for have to exist."""
    by_plain = {plain(name): name for name in reversed(names)}
    asked = asked.as_in(names)
    for name in [asked.image, *(asked.captions or []), asked.label]:
        if name is not None and name not in names:
            raise FormatError(f"{where} has no column '{name}'; it has {listed(names)}")

    def first(usual: Sequence[str], taken: set[str]) -> str | None:
        return next(
            (by_plain[plain(n)] for n in usual if plain(n) in by_plain and by_plain[plain(n)] not in taken), None
        )

    given = {name for name in [asked.image, *(asked.captions or []), asked.label] if name is not None}
    image = asked.image or first(IMAGE_COLUMNS, given)
    if image is None:
        raise FormatError(
            f"{where} has no column that looks like the name of an image file; it has {listed(names)}. "
            "Say which one it is: --image-column NAME"
        )
    taken = given | {image}
    label = asked.label or (None if asked.captions is not None else first(CLASS_NAMES, taken))
    captions = asked.captions
    if captions is None:
        found = [by_plain[plain(name)] for name in CAPTION_NAMES if plain(name) in by_plain]
        captions = tuple(name for name in dict.fromkeys(found) if name not in taken and name != label)
    if not captions and label is None:
        raise FormatError(
            f"{where} says nothing about its images: no column looks like a caption, a title or a class; it has "
            f"{listed(names)}. Say which one it is: --caption-column NAME or --class-column NAME"
        )
    parts = [f"images from column '{image}'"]
    if captions:
        parts.append("captions from " + " and ".join(f"'{name}'" for name in captions))
    if label is not None:
        parts.append(f"classes from '{label}'")
    chosen = Columns(image, tuple(captions), label)
    return chosen, f"{where}: {', '.join(parts)}"


def listed(names: Sequence[str]) -> str:
    """Column names for a sentence."""
    shown = ", ".join(f"'{name}'" for name in names[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown or "no columns"


class Cell(NamedTuple):
    """What a table says of the place of an image. `file`: what it names outside the table, None where it holds the image itself."""

    key: str
    load: Callable[[], bytes]
    file: str | None = None


def named(number: int, start: Path, value: Any) -> Cell:
    """A cell that names an image file relative to `start`, or that holds the image itself."""
    if isinstance(value, Mapping):  # Hugging Face's image column: {bytes, path}
        path = str(value.get("path") or "")
        held, load = value.get("bytes"), value.get("load")  # `load`: a table that gives the bytes when asked
        if load is not None:
            return Cell(key_of(path) or f"row-{number}", lambda: load() or named(number, start, path).load())
        if held:
            return Cell(key_of(path) or f"row-{number}", lambda: bytes(held))
        return named(number, start, path)
    if isinstance(value, bytes | bytearray | memoryview):
        return Cell(f"row-{number}", lambda: bytes(value))
    text = str(value).strip() if value is not None else ""
    if text.startswith("data:"):
        return Cell(f"row-{number}", lambda: decoded(text))
    if not text:
        return Cell(f"row-{number}", failing("the row names no image"))
    if "://" in text and not text.startswith("file://"):
        return Cell(key_of(text), failing("it is a web address: download the image and name the file"), text)
    file = file_of(start, text.removeprefix("file://"))
    return Cell(key_of(text), lambda: read_file(file), os.path.join(real_folder(str(file.parent)), file.name))


def file_of(folder: Path, name: str) -> Path:
    """The file that a name means. Windows writes backslashes between folders; elsewhere they may be part of a file's own name.

    A name without ending means the one image that is called so.
    """
    file = folder / name
    if "\\" in name and not os.path.isfile(file):
        file = folder / name.replace("\\", "/")
    if not os.path.isfile(file):
        file = as_stored(file)
    called = images_called(file) if not os.path.isfile(file) else []
    return file.with_name(called[0]) if len(called) == 1 else file


def images_called(file: Path) -> list[str]:
    """The names of the images beside a file that are its own and the ending of an image."""
    if file.suffix.lower() in IMAGE_SUFFIXES or not os.path.isdir(file.parent):
        return []
    return images_by_stem(str(file.parent), os.stat(file.parent).st_mtime_ns).get(composed(file.name), [])


def is_there(file: Path) -> bool:
    """Whether there is a file, or images of which its name leaves the ending out."""
    return os.path.isfile(file) or bool(images_called(file))


@lru_cache(maxsize=64)
def images_by_stem(folder: str, _changed: int) -> dict[str, list[str]]:
    """The images in a folder by their composed names without ending; none where it may not be listed, though its files may be read.

    `_changed`: the folder's time, so that new files are seen.
    """
    found: dict[str, list[str]] = {}
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return found
    for name in names:
        stem, ending = os.path.splitext(name)
        if ending.lower() in IMAGE_SUFFIXES:
            found.setdefault(composed(stem), []).append(name)
    return found


@lru_cache(maxsize=4096)
def real_folder(folder: str) -> str:
    """What a folder is called without links and dots: rows that write one file in two ways name the same file."""
    return os.path.realpath(folder)


def digest_of(item: Item) -> str:
    """Of an image's bytes; of one that has none what no other item has."""
    try:
        return hashlib.sha256(item.load()).hexdigest()
    except (OSError, ValueError):
        return f"none {id(item)}"


def read_file(file: Path) -> bytes:
    """The bytes of a file; a missing one is an error that says so."""
    if not os.path.isfile(file):  # unlike the path's own, no error for a long text
        called = images_called(file)
        if called:
            raise NoBytesError(
                f"its name has no ending, and several files match ({', '.join(called)}): write the ending"
            )
        bare = "" if file.suffix.lower() in IMAGE_SUFFIXES else ", nor an image of that name with an ending"
        raise FileNotFoundError(f"there is no file {file}{bare}")
    return file.read_bytes()


def decoded(uri: str) -> bytes:
    """The bytes in a data URI."""
    try:
        return base64.b64decode(uri.partition(",")[2], validate=True)
    except binascii.Error as error:
        raise NoBytesError(f"its data URI is not base64: {error}") from error


def failing(reason: str) -> Callable[[], bytes]:
    """A loader of what cannot be loaded."""

    def load() -> bytes:
        raise NoBytesError(reason)

    return load


def key_of(path: str) -> str:
    """A path as a key: unique within one set, readable in a message."""
    normal = posixpath.normpath(path.replace("\\", "/")).lstrip("/")
    return "" if normal == "." else normal
