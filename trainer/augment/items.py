"""What captions are wanted for: a class with what is known of it, or an image with the captions that it has."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from towers.formats.classes import Class, ClassTable, numbers_alone, read_classes
from towers.formats.item import Columns, FormatError, Item
from towers.formats.places import format_of
from towers.formats.table import read_items

GUESSED = Columns()
CLASS_FORMATS = {"json", "jsonl", "csv"}
NAME_THEM = "ask about a file that says what they are, JSON or CSV with id and name"
MOST_TOLD = 5  # descriptions or captions in one question: more cost tokens and say little new


@dataclass(frozen=True)
class Wanted:
    """`kind`: `class` or `image`. `name`: the class, where it is known; `captions`: what is said already."""

    kind: str
    id: str
    name: str | None
    group: str | None = None
    descriptions: list[str] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)

    def fields(self) -> dict[str, str]:
        """What a prompt may speak of; what is unknown is absent."""
        group = self.group if self.group != self.name else None
        known = {
            "name": self.name,
            "thing": self.name if group is None else f"{self.name} ({group})",
            "group": group,
            "description": " ".join(self.descriptions[:MOST_TOLD]),
            "captions": "\n".join(self.captions[:MOST_TOLD]),
        }
        return {name: text for name, text in known.items() if text}

    def words(self) -> str:
        """Everything that is known, as one text."""
        return " ".join([self.name or "", self.group or "", *self.descriptions, *self.captions])


def read_wanted(path: Path, columns: Columns = GUESSED) -> tuple[list[Wanted], list[str]]:
    """Classes of a class file, or images and their classes in any format that training reads, with sentences on them."""
    try:
        found = read_items(path, columns)
    except FormatError as error:
        # A file that names no images may be one of classes, unless somebody says in which column they are.
        if columns != GUESSED or not path.is_file() or format_of(path) not in CLASS_FORMATS:
            raise
        try:
            classes = read_classes(path)
        except FormatError as other:
            raise FormatError(f"{error}. Nor is it a file of classes: {other}") from error
        return of_classes(classes), [f"{path.name}: {len(classes)} classes"]
    items, notes = found.items, found.notes
    numbers = numbers_alone(items, path.name, NAME_THEM)
    if numbers is not None:
        items, notes = [replace(item, labels=[]) for item in items], [*notes, f"{numbers} ({NAME_THEM})"]
    wanted = of_items(items)
    if not wanted:
        raise FormatError(f"{path} says nothing about its images: neither classes nor captions")
    return wanted, notes


def of_classes(classes: Sequence[Class]) -> list[Wanted]:
    """One a class; a class that is named twice is asked for once."""
    wanted = {each.name: Wanted("class", each.name, each.name, each.group, each.descriptions) for each in classes}
    return list(wanted.values())


def of_items(items: Sequence[Item]) -> list[Wanted]:
    """One for each class that labels name, and one for each image with captions. Test images are left alone."""
    items = [item for item in items if item.split != "test"]
    labels = sorted({item.label for item in items if item.label is not None})
    table = ClassTable(labels, None)
    names = {label: row.name for row in table.classes for label in row.keys}
    classes = [Wanted("class", row.keys[0], row.name) for row in table.classes]
    # A photograph of the development split must not lend its captions to training.
    captioned = [item for item in items if item.captions and item.split != "dev"]
    images = [
        Wanted("image", item.key, None if item.label is None else names[item.label], captions=item.captions)
        for item in captioned
    ]
    return [*classes, *images]
