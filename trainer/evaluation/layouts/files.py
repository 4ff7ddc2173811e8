"""Files of a benchmark's folder: found, opened, or refused with what was expected."""

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evaluation.layouts.items import Picture
from towers.stored_names import as_stored
from towers.text.unicode import whole

SHOWN = 80  # characters of a value in a refusal


class WrongLayout(ValueError):
    """A folder that is not laid out as its benchmark is published; the message says what was looked for."""


def first_file(folder: Path, names: Sequence[str]) -> Path:
    """The first of the named files that is there. `*` stands for any letters."""
    for name in names:
        found = sorted(folder.glob(name)) if "*" in name else [folder / name]
        for file in found:
            if file.is_file():
                return file
    raise WrongLayout(f"{folder} holds no {' and no '.join(names)}")


def first_folder(folder: Path, names: Sequence[str]) -> Path:
    """The first of the named folders that is there; an empty name is the folder itself."""
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    raise WrongLayout(f"{folder} holds no folder {' and none '.join(names)}")


def picture_in(folder: Path, below: Sequence[str], name: str) -> Picture:
    """The picture `name` in the first of the folders `below` that has it."""
    if not isinstance(name, str):
        raise WrongLayout(f"{folder}: a row names its picture by {json.dumps(name)[:SHOWN]}, which is no text")
    for part in below:
        file = as_stored(folder / part / name)
        if file.is_file():
            return Picture(file)
    places = ", ".join(str(folder / part) for part in below)
    raise WrongLayout(f"the picture {name} is in none of {places}")


def read_text(file: Path) -> str:
    """UTF-8, with or without a byte-order mark, gzip by the name's end."""
    data = file.read_bytes()
    return (gzip.decompress(data) if file.suffix == ".gz" else data).decode("utf-8-sig")


def read_json(file: Path, kind: type[list] | type[dict]) -> Any:
    """A JSON document that is a list, or an object."""
    try:
        document = json.loads(read_text(file))
    except ValueError as error:
        raise WrongLayout(f"{file} is no JSON document: {error}") from None
    if not isinstance(document, kind):
        raise WrongLayout(f"{file} holds no {'list' if kind is list else 'object'}, which this layout has")
    return document


def read_jsonl(file: Path) -> Iterator[Any]:
    """One document a line, read line by line."""
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rt", encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise WrongLayout(f"{file}, line {number} is no JSON: {error}") from None


def value_of(row: Any, key: str, file: Path) -> Any:
    """A key that every row of the layout has."""
    if not isinstance(row, dict) or key not in row:
        there = f"has {', '.join(map(str, row))}" if isinstance(row, dict) else "is no object"
        raise WrongLayout(f"{file}: a row has no {key!r}, it {there}")
    return row[key]


def texts_in(row: Any, key: str, file: Path) -> list[str]:
    """A text, or texts, under a key that every row of the layout has."""
    value = value_of(row, key, file)
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise WrongLayout(f"{file}: {key!r} of a row is {json.dumps(value)[:SHOWN]}, neither a text nor texts")
    return [whole(text) for text in texts]


def text_in(row: Any, key: str, file: Path) -> str:
    """A text under a key that every row of the layout has; of several the first."""
    texts = texts_in(row, key, file)
    if not texts:
        raise WrongLayout(f"{file}: {key!r} of a row holds no text")
    return texts[0]


def read_lines(file: Path) -> list[str]:
    """Lines without their ends; an empty last one is none."""
    return read_text(file).rstrip("\n").split("\n")
