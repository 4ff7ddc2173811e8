"""Captions without images, from files that people have: what is learned from, and what is measured on."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contracts.constants import FORMAT_ENDINGS
from towers.data import each_row
from towers.formats.item import FormatError, texts_of
from towers.formats.places import decoded_text
from towers.formats.tables import csv_rows

TABLES = (".csv", ".tsv")
JSON_LINES = tuple(f".{ending}" for ending in FORMAT_ENDINGS["jsonl"])
DEV_SHARE = 10  # at most one caption of so many is measured on


@dataclass(frozen=True)
class Captions:
    """Different texts, and the number of each among all texts of the files."""

    texts: list[str]
    numbers: list[int]


def each_caption(files: list[Path]) -> Iterator[tuple[int, str]]:
    """(number of its row, text) of every text, file by file; equal ones again."""
    row = 0
    for file in files:
        is_empty = True
        for texts in _rows(file):
            for text in texts:
                is_empty = False
                yield row, text
            row += 1
        if is_empty:
            raise FormatError(
                f"{file.name} holds no captions: expected are a caption a line (.txt), JSON lines or a table with a column "
                "caption, captions or text"
            )


def read_captions(files: list[Path], most: int, dev: int, seed: int) -> tuple[Captions, Captions]:
    """(train, dev). Texts of one row, which mostly describe one image, are all in one of them, and equal texts are there once."""
    found: dict[str, tuple[int, int]] = {}
    for number, (row, text) in enumerate(each_caption(files)):
        found.setdefault(text, (number, row))
    if len(found) < 2:
        raise FormatError(f"{', '.join(file.name for file in files)}: one caption alone teaches nothing")
    rng = random.Random(f"{seed}/captions")
    kept = sorted(rng.sample(range(len(found)), most)) if len(found) > most else range(len(found))
    texts = list(found)
    rows: dict[int, list[str]] = {}
    for place in kept:
        rows.setdefault(found[texts[place]][1], []).append(texts[place])
    order = list(rows)
    rng.shuffle(order)
    wanted = max(1, min(dev, len(kept) // DEV_SHARE))
    measured: list[str] = []
    while len(measured) < wanted and len(order) > 1:
        measured += rows[order.pop()]
    learned = [text for row in sorted(order) for text in rows[row]]
    return _captions(learned, found), _captions(measured, found)


def _captions(texts: list[str], found: dict[str, tuple[int, int]]) -> Captions:
    return Captions(texts, [found[text][0] for text in texts])


def _rows(file: Path) -> Iterator[list[str]]:
    name = file.name.lower()
    if name.endswith(".txt"):
        yield from (texts_of(line) for line in decoded_text(file)[0].splitlines())
    elif name.endswith(JSON_LINES):
        yield from (texts_of(row) for row in each_row(file))
    elif name.endswith(TABLES):
        yield from (texts_of(row) for row in csv_rows(file)[0])
    else:
        raise FormatError(f"{file.name}: captions are read from .txt, {', '.join((*JSON_LINES, *TABLES))}")
