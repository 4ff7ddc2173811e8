"""A file that says what the classes are: names, descriptions, and the numbers or keys by which data refer to them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from towers.formats.item import FormatError, plain, texts_of
from towers.formats.places import decoded_text
from towers.formats.tables import csv_rows, json_lines

NAMES = ["name", "class", "class_name", "label", "title"]
DESCRIPTIONS = ["description", "descriptions", "gloss", "definition", "text"]
GROUPS = ["coarse", "group", "category", "parent", "superclass", "hypernym"]
KEYS = ["id", "index", "key", "class_id", "label_id"]


@dataclass(frozen=True)
class Class:
    """One class: what people call it, sentences about it, and the wider kind that it belongs to."""

    name: str
    descriptions: list[str] = field(default_factory=list)
    group: str | None = None
    keys: list[str] = field(default_factory=list)


def read_classes(file: Path) -> list[Class]:
    """JSON (a list of objects or names, or a mapping from name to description), CSV, JSON lines, or a name a line."""
    if not file.is_file():
        raise FormatError(f"there is no file of classes {file}")
    rows: Sequence[Any]
    if file.suffix.lower() in {".csv", ".tsv"}:
        rows, _ = csv_rows(file)
    elif file.suffix.lower() in {".json", ".jsonl"}:
        rows = parsed(file)
    else:
        rows = [line.strip() for line in decoded_text(file)[0].splitlines() if line.strip()]
    classes = [class_of(file, number, row) for number, row in enumerate(rows)]
    if not classes:
        raise FormatError(f"{file.name} holds no classes")
    return classes


def parsed(file: Path) -> Sequence[Any]:
    """The rows of a JSON document or of JSON lines."""
    text, _ = decoded_text(file)
    if file.suffix.lower() == ".jsonl":
        return json_lines(file, text)
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise FormatError(f"{file.name} is not JSON: {error}") from error
    if isinstance(document, dict) and isinstance(document.get("classes"), list):
        document = document["classes"]
    if isinstance(document, dict):
        return [
            {"name": readable(name), "key": name, **(said if isinstance(said, dict) else {"description": said})}
            for name, said in document.items()
        ]
    if not isinstance(document, list):
        raise FormatError(f"{file.name}: classes are a list, or an object from name to description")
    return document


def class_of(file: Path, number: int, row: Any) -> Class:
    """One row of the file."""
    if isinstance(row, str):
        return Class(readable(row), keys=[row, str(number)])
    if not isinstance(row, Mapping):
        raise FormatError(f"{file.name}: class {number + 1} is neither a name nor an object")
    by_plain = {plain(str(name)): value for name, value in row.items() if name is not None}

    def first(names: Sequence[str]) -> Any:
        return next((by_plain[plain(name)] for name in names if by_plain.get(plain(name)) not in (None, "")), None)

    name = first(NAMES)
    if not isinstance(name, str) or not name.strip():
        raise FormatError(f"{file.name}: class {number + 1} has no name; it has {', '.join(map(repr, row))}")
    keys = [str(by_plain[plain(key)]) for key in KEYS if by_plain.get(plain(key)) not in (None, "")]
    descriptions = [text for kind in DESCRIPTIONS for text in texts_of(by_plain.get(plain(kind)))]
    group = first(GROUPS)
    return Class(" ".join(name.split()), descriptions, str(group) if group else None, [*keys, name])


def readable(name: str) -> str:
    """A folder's or file's name as words: `Golden-Delicious_apple` becomes `Golden Delicious apple`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"[_\-.\s]+", " ", name)).strip() or name


class ClassTable:
    """The classes of a set: from a file, or from the labels themselves where there is none."""

    def __init__(self, labels: Sequence[str], classes: Sequence[Class] | None) -> None:
        # Golden-Delicious and `golden delicious` are one class: no picture tells them apart.
        by_name: dict[str, list[str]] = {}
        for label in labels:
            by_name.setdefault(readable(label).casefold(), []).append(label)
        same = list(by_name.values())
        self.alike = [names for names in same if len(names) > 1] if classes is None else []
        self.classes = (
            list(classes) if classes is not None else [Class(readable(names[0]), keys=names) for names in same]
        )
        self.index: dict[str, int] = {}
        for number, each in enumerate(self.classes):
            for key in [*each.keys, each.name]:
                self.index.setdefault(key, number)
        for number, each in enumerate(self.classes):
            for key in [*each.keys, each.name]:
                self.index.setdefault(plain(key), number)

    def number_of(self, label: str) -> int | None:
        """The class that a label refers to, by number, key or name; None for one that is not in the file."""
        return self.index.get(label, self.index.get(plain(label)))
