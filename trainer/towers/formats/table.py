"""The table of formats: which reader reads a path. Fine-tuning and the writing of captions read it; a new format is one row."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from contracts.constants import FORMAT_ENDINGS
from towers.formats.annotations import read_json
from towers.formats.archives import read_tar
from towers.formats.classes import several_classes
from towers.formats.folders import read_folder
from towers.formats.item import IMAGE_SUFFIXES, Columns, FormatError, Found, Item
from towers.formats.places import format_of
from towers.formats.splits import settled
from towers.formats.tables import read_csv, read_jsonl, read_parquet
from towers.text.unicode import composed, spelled, whole

Reader = Callable[[Path, Columns], Found]


@dataclass(frozen=True)
class Format:
    """What a person calls it, and who reads it: FORMAT_ENDINGS says how its files end, a folder is recognised by nothing."""

    name: str
    read: Reader


FORMATS = [
    Format("folder", read_folder),
    Format("csv", read_csv),
    Format("jsonl", read_jsonl),
    Format("parquet", read_parquet),
    Format("json", read_json),
    Format("tar", read_tar),
]

# What people have beside these, and what to do with it.
SHEET, PACKED = "Save the sheet as CSV", "Unpack it and name the folder"
OTHERS = {
    ".xlsx": SHEET, ".xls": SHEET, ".ods": SHEET, ".zip": PACKED, ".rar": PACKED, ".7z": PACKED,
}  # fmt: skip

# Formats of which no table is read by its columns.
NO_COLUMNS = {"folder", "class_folders", "coco", "karpathy"}


def recognise(path: Path) -> Format:
    """The row that reads a path; what none reads is an error that lists them all."""
    if not os.path.exists(path):  # unlike the path's own, no error below a folder that may not be entered
        raise FormatError(f"there is no {path}")
    if path.is_dir():
        return FORMATS[0]
    for row in FORMATS:
        if row.name == format_of(path):
            return row
    ending = path.suffix.lower()
    how = "Name the folder that it is in" if ending in IMAGE_SUFFIXES else OTHERS.get(ending)
    endings = ", ".join(f".{ending}" for row in FORMATS for ending in FORMAT_ENDINGS.get(row.name, ()))
    raise FormatError(
        f"{path.name} is in no format that is read: a folder, or a file that ends in {endings}{f'. {how}' if how else ''}"
    )


def read_items(path: Path, columns: Columns | None = None) -> Found:
    """Everything in a folder or file, with sentences on how it was read."""
    columns = columns or Columns()
    try:
        found = recognise(path).read(path, columns)
    except OSError as error:
        raise FormatError(f"{error.filename or path} cannot be read: {error.strerror or error}") from error
    if columns != Columns() and found.format in NO_COLUMNS:
        raise FormatError(
            f"{path} has no columns that --image-column, --caption-column or --class-column could name: {found.notes[0]}"
        )
    if not found.items:
        raise FormatError(f"{path} holds no image")
    (found,) = settled([replace(found, items=[*map(storable, found.items)])])
    several = several_classes(found.items)
    return found if several is None else replace(found, notes=[*found.notes, several])


def storable(item: Item) -> Item:
    """With a key, captions and classes that UTF-8 can hold, whatever the names of its file and its row are; classes are composed."""
    labels = list(dict.fromkeys(composed(whole(label)) for label in item.labels))
    return replace(item, key=spelled(item.key), captions=[*map(whole, item.captions)], labels=labels)
