"""A file that says what the classes are: names, descriptions, and the numbers or keys by which data refer to them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from towers.formats.item import FormatError, Item, plain, texts_of
from towers.formats.places import decoded_text, format_of
from towers.formats.tables import csv_rows, json_lines
from towers.text.unicode import composed, whole_in
from towers.text.unicode import whole as whole_text

NAMES = ["name", "class", "class_name", "label", "title"]
DESCRIPTIONS = ["description", "descriptions", "gloss", "definition", "text"]
GROUPS = ["coarse", "group", "category", "parent", "superclass", "hypernym"]
KEYS = ["id", "index", "key", "class_id", "label_id", "class_index", "number", "nr", "nummer", "code", "label", "class"]
# A whole number as people and programs write it: 7, 07, and 7.0 where a spreadsheet or pandas had an empty cell in the column.
WHOLE = re.compile(r"([+-]?)0*(\d+)(?:\.0*)?")


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
    if format_of(file) == "csv" and file.suffix.lower() != ".txt":
        rows, _ = csv_rows(file)
    elif format_of(file) in {"json", "jsonl"}:
        rows = parsed(file)
    else:
        rows = [line.strip() for line in decoded_text(file)[0].splitlines() if line.strip()]
    classes = [class_of(file, number, whole_in(row)) for number, row in enumerate(rows)]
    if not classes:
        raise FormatError(f"{file.name} holds no classes")
    if all(whole(each.name) is not None for each in classes):
        raise FormatError(
            f"{file.name}: the names of its classes are numbers ({', '.join(each.name for each in classes[:3])} …), which say "
            "nothing: give each a name, in JSON or CSV with id and name, or a name a line"
        )
    return classes


def parsed(file: Path) -> Sequence[Any]:
    """The rows of a JSON document or of JSON lines."""
    text, _ = decoded_text(file)
    if format_of(file) == "jsonl":
        return json_lines(file, text)
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise FormatError(f"{file.name} is not JSON: {error}") from error
    if isinstance(document, dict) and isinstance(document.get("classes"), list):
        document = document["classes"]
    if isinstance(document, dict) and document:
        # Either way round it names numbers: {"1": "Rose"}, as id2label of Hugging Face, or {"Rose": 1}.
        if all(whole(key) is not None and isinstance(name, str) for key, name in document.items()):
            return [{"name": name, "key": key} for key, name in document.items()]
        if all(isinstance(number, int) for number in document.values()):
            return [{"name": readable(name), "key": name, "id": number} for name, number in document.items()]
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
        return Class(readable(row), keys=[row])
    if not isinstance(row, Mapping):
        raise FormatError(f"{file.name}: class {number + 1} is neither a name nor an object")
    by_plain = {plain(str(name)): value for name, value in row.items() if name is not None}

    def first(names: Sequence[str]) -> Any:
        return next((by_plain[plain(name)] for name in names if by_plain.get(plain(name)) not in (None, "")), None)

    name, group = first(NAMES), first(GROUPS)
    if not isinstance(name, str) or not name.strip():
        raise FormatError(f"{file.name}: class {number + 1} has no name; it has {', '.join(map(repr, row))}")
    keys = [str(by_plain[plain(key)]) for key in KEYS if by_plain.get(plain(key)) not in (None, "")]
    descriptions = [text for kind in DESCRIPTIONS for text in texts_of(by_plain.get(plain(kind)))]
    return Class(composed(" ".join(name.split())), descriptions, str(group) if group else None, [*keys, name])


def readable(name: str) -> str:
    """A folder's or file's name as words: `Golden-Delicious_apple` becomes `Golden Delicious apple`."""
    text = composed(whole_text(name))
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"[_\-.\s]+", " ", text)).strip() or name


def whole(label: str) -> str | None:
    """A label that is a whole number in one way of writing; None for any other."""
    found = WHOLE.fullmatch(label.strip())
    return None if found is None else f"{'-' if found[1] == '-' and found[2] != '0' else ''}{found[2]}"


def numbers_alone(items: Sequence[Item], where: str, way: str) -> str | None:
    """A sentence on classes of which all are whole numbers, which say nothing, so that captions count alone; None on others.

    `way`: how to name them. Raises FormatError where nothing else is said of the images.
    """
    labels = sorted({item.label for item in items if item.label is not None})
    if not labels or any(whole(label) is None for label in labels):
        return None
    if not any(item.captions for item in items):
        raise FormatError(f"the classes of {where} are numbers ({', '.join(labels[:3])} …), which say nothing: {way}")
    return "the classes are numbers without names: only the captions are used"


def several_classes(items: Sequence[Item]) -> str | None:
    """A sentence on images that are said to be of more than one class; None where none is.

    A number and a name may mean the same, and so may two ways of writing either.
    """
    found = [item for item in items if len(item.labels) > 1 and contradict(item.labels)]
    if not found:
        return None
    count = "1 image is" if len(found) == 1 else f"{len(found)} images are"
    named = ", ".join(f"'{label}'" for label in found[0].labels[:3]) + (" …" if len(found[0].labels) > 3 else "")
    return (
        f"{count} of several classes, such as {found[0].key} ({named}): the first one counts. Where all of them are right, "
        "read them as captions: --caption-column with the name of their column"
    )


def contradict(labels: Sequence[str]) -> bool:
    """Whether labels mean more than one class by what they say alone."""
    numbers = {whole(label) for label in labels} - {None}
    names = {readable(label).casefold() for label in labels if whole(label) is None}
    return len(numbers) > 1 or len(names) > 1


class ClassTable:
    """The classes of a set: from a file, or from the labels themselves where there is none."""

    def __init__(self, labels: Sequence[str], classes: Sequence[Class] | None) -> None:
        # Golden-Delicious and `golden delicious` are one class: no picture tells them apart.
        by_name: dict[str, list[str]] = {}
        for label in dict.fromkeys(map(composed, labels)):
            by_name.setdefault(readable(label).casefold(), []).append(label)
        same = list(by_name.values())
        self.alike = [names for names in same if len(names) > 1] if classes is None else []
        self.classes = (
            list(classes) if classes is not None else [Class(readable(names[0]), keys=names) for names in same]
        )
        self.index: dict[str, int] = {}
        self.by_number: dict[str, int] = {}
        self.by_plain: dict[str, int] = {}
        # Rank by rank: the id of one class goes before what another one has as its code.
        for keys in zip_longest(*([*each.keys, each.name] for each in self.classes)):
            for number, key in enumerate(keys):
                if key is not None:
                    key = composed(key)
                    self.index.setdefault(key, number)
                    self.by_number.setdefault(whole(key) or "", number)
                    self.by_plain.setdefault(plain(key), number)
        for several in (self.by_number, self.by_plain):
            several.pop("", None)
        # The number that the first class has where numbers of data are places in the file; None where the file says numbers itself.
        self.first: int | None = None
        if classes is not None and not self.by_number:
            self.first = first_number({int(number) for label in labels if (number := whole(label))}, self.classes)
            self.by_number = {str(self.first + place): place for place in range(len(self.classes))}

    def number_of(self, label: str) -> int | None:
        """The class that a label refers to, by number, key or name; None for one that is not in the file."""
        label = composed(label)
        found, number = self.index.get(label), whole(label)
        if found is not None:
            return found
        # 1.0 is the first class and not the tenth.
        return self.by_plain.get(plain(label)) if number is None else self.by_number.get(number)

    def counting(self) -> str | None:
        """A sentence on what numbers stand for where that was found out; None where nothing was."""
        if not self.first:
            return None
        last = self.first + len(self.classes) - 1
        return (
            f"the numbers of the classes count from {self.first}: {self.first} is {self.classes[0].name}, "
            f"{last} is {self.classes[-1].name}"
        )


def first_number(numbers: set[int], classes: Sequence[Class]) -> int:
    """Whether the numbers of data count the lines of a file of names from 0 or from 1. What tells neither is an error."""
    if not numbers or 0 in numbers:
        return 0
    if len(classes) in numbers:
        return 1
    some = sorted(numbers)[0]
    names = [classes[place].name if 0 <= place < len(classes) else "none" for place in (some, some - 1)]
    raise FormatError(
        f"the classes of the data are numbers between {min(numbers)} and {max(numbers)}, the file of classes has {len(classes)} "
        f"names without any: {some} is {names[0]} where they count from 0 and {names[1]} where they count from 1. Write the "
        "number before each name: JSON or CSV with id and name"
    )
