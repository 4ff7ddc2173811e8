"""Tables of images: CSV with any delimiter, JSON lines, a JSON list, Parquet. One row names one image."""

import csv
import io
import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import accumulate, repeat
from pathlib import Path
from typing import Any

from contracts.constants import IMAGE_ENDINGS
from towers.formats.details import joined_details, raw_details
from towers.formats.item import (
    CAPTION_NAMES,
    Columns,
    FormatError,
    Found,
    Item,
    digest_of,
    guessed,
    labels_of,
    named,
    plain,
    texts_of,
)
from towers.formats.places import decoded_text, folder_of
from towers.formats.splits import SPLIT_NAMES, stated_split, strictest

Row = Mapping[str, Any]
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
PAIR = ["image", "caption"]
# Flickr8k's own captions are such pairs, with the number of the caption behind the name of the image: `1.jpg#0`.
NUMBERED = re.compile(r"#\d+$")
HEADLESS = re.compile(rf'\s*"?[^",;\t|]+\.(?:{"|".join(IMAGE_ENDINGS)})(?:#\d+)?"?\s*([,;\t|])', re.IGNORECASE)
# Above a header: lines without a word, and Excel's line with the delimiter.
EMPTY = r"(?:[ \t,;|]*(?:\r?\n|\r))*"
ABOVE = re.compile(rf'{EMPTY}(?:"?sep=([,;\t|])"?[ \t]*(?:\r?\n|\r))?{EMPTY}', re.IGNORECASE)
ADDRESS = re.compile(r"\s*(data:|\w+://)")
csv.field_size_limit(1 << 30)  # a cell may hold an image as a data URI


def read_csv(path: Path, columns: Columns) -> Found:
    """A table with a header, or pairs of image and caption without one."""
    rows, written = csv_rows(path)
    if not rows:
        raise FormatError(f"{path.name} has no rows below its header")
    found = from_rows(path, rows, columns, "csv")
    return Found("csv", found.items, [f"{found.notes[0]} ({written})", *found.notes[1:]])


def csv_rows(path: Path) -> tuple[list[dict[str, Any]], str]:
    """(rows by column, how the table is written).

    Commas, semicolons, tabs or bars; UTF-8 with or without a byte-order mark, UTF-16, or Windows' Latin. A first line that begins
    with the name of an image is no header: its rows are pairs of image and caption.
    """
    text, encoding = decoded_text(path)
    above, stated, header, text = parted(text)
    headless = HEADLESS.match(header)
    delimiter = headless[1] if headless else stated or max(DELIMITERS, key=outside_quotes(header).count)
    reader = csv.DictReader(
        io.StringIO(text, newline=""), PAIR if headless else None, delimiter=delimiter, skipinitialspace=True
    )
    rows: list[dict[str, Any]] = []
    cells: list[str | None] = []
    try:
        names = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = [str(place) for place in range(len(names))]  # of equal names it would keep the last
        for row in reader:
            more = [cell for cell in row.pop(None, []) if cell.strip()]
            if more:
                raise FormatError(
                    f"{path.name}, line {above + reader.line_num} has more cells than the {len(names)} columns "
                    f"({', '.join(names)}): '{more[0].strip()}' is left over. Put texts that hold "
                    f"{DELIMITERS[delimiter]} between double quotes"
                    + (", and names of the columns into the first line" if headless else "")
                )
            cells = list(row.values())
            rows.append(by_name(f"{path.name}, line {above + reader.line_num}", names, cells))
    except csv.Error as error:
        raise FormatError(f"{path.name}, line {above + reader.line_num} cannot be read as a table: {error}") from error
    last = [cell for cell in cells if cell]
    if last and "\n" in last[-1] and not text.rstrip().endswith('"'):
        start = last[-1].splitlines()[0]
        raise FormatError(
            f"{path.name}: a double quote is never closed, before '{start}': the rows below it are one text"
        )
    if headless:
        rows = [{**row, PAIR[0]: NUMBERED.sub("", row[PAIR[0]])} for row in rows]
    return rows, f"{DELIMITERS[delimiter]}, {encoding}{', no header' if headless else ''}"


def by_name(where: str, names: Sequence[str], cells: Sequence[str | None]) -> dict[str, Any]:
    """The cells of a row. Columns of captions with one name are one; others with one name may not say different things."""
    row: dict[str, Any] = {}
    for name, cell in zip(names, cells, strict=True):
        old = row.get(name)
        if not old or not name:
            row[name] = cell
        elif cell and plain(name) in map(plain, CAPTION_NAMES):
            row[name] = [*(old if isinstance(old, list) else [old]), cell]
        elif cell and cell != old:
            raise FormatError(
                f"{where}: two columns are called '{name}' and say different things, '{old}' and '{cell}': give each its own name"
            )
    return row


def parted(text: str) -> tuple[int, str | None, str, str]:
    """(lines above the header, the delimiter that one of them states, the header, the text from the header on)."""
    above = ABOVE.match(text)
    stated, start = (above[1], above.end()) if above else (None, 0)
    return len(text[:start].splitlines()), stated, next(iter(text[start:].splitlines()), ""), text[start:]


def outside_quotes(line: str) -> str:
    """A header's characters that are not in quotes."""
    return "".join(line.split('"')[::2])


def json_lines(path: Path, text: str) -> list[Any]:
    """The values of JSON lines; one that is none is an error with its line."""
    values = []
    # Not splitlines: a line of JSON may hold other line breaks of Unicode as they are.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                values.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise FormatError(f"{path.name}, line {number} is not JSON: {error.msg}") from error
    return values


def read_jsonl(path: Path, columns: Columns) -> Found:
    """JSON lines, also gzipped."""
    rows: list[Row] = json_lines(path, decoded_text(path)[0])
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise FormatError(f"{path.name}, row {number} is not an object but {type(row).__name__}")
    return from_rows(path, rows, columns, "jsonl")


def read_parquet(path: Path, columns: Columns) -> Found:
    """Parquet, with the images inside (as Hugging Face writes them) or as names of files. An image is read when it is asked for."""
    try:
        import pyarrow.parquet as parquet
        import pyarrow.types as types
    except ImportError as error:
        raise FormatError(
            f"{path.name}: reading Parquet needs the Python package pyarrow, which is not installed"
        ) from error
    try:
        file = parquet.ParquetFile(path)
        held: dict[str, str] = {}  # column with images inside -> where in it the bytes are
        wanted: list[str] = []
        for field in file.schema_arrow:
            if types.is_binary(field.type) or types.is_large_binary(field.type):
                held[field.name] = field.name
            elif types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
                held[field.name] = f"{field.name}.bytes"
                wanted += [f"{field.name}.{part.name}" for part in field.type if part.name != "bytes"]
            else:
                wanted.append(field.name)
        # Without a column pyarrow counts no rows.
        rows: list[dict[str, Any]] = (
            file.read(wanted).to_pylist() if wanted else [{} for _ in range(file.metadata.num_rows)]
        )
    except (OSError, ValueError) as error:
        raise FormatError(f"{path.name} cannot be read as Parquet: {error}") from error
    for column, place in held.items():
        for number, (row, is_held) in enumerate(zip(rows, rows_with_bytes(path, place), strict=True)):
            loads = {"load": partial(parquet_bytes, path, place, number)} if is_held else {}
            row[column] = {**(row.get(column) or {}), **loads}
    return from_rows(path, rows, columns, "parquet")


def rows_with_bytes(path: Path, place: str) -> Iterator[bool]:
    """Whether each row holds bytes. Images are read for that only in groups of rows that do not say how many have none."""
    import pyarrow.parquet as parquet

    metadata = parquet.read_metadata(path)
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group)
        parts = [rows.column(number) for number in range(rows.num_columns)]
        stated = [part.statistics for part in parts if part.path_in_schema == place]
        empty = stated[0].null_count if stated and stated[0] is not None and stated[0].has_null_count else None
        if empty in (0, rows.num_rows):
            yield from repeat(empty == 0, rows.num_rows)
        else:
            for cell in group_column(path, group, place):
                yield cell.is_valid and (not isinstance(cell, Mapping) or cell["bytes"].is_valid)


def parquet_bytes(path: Path, place: str, number: int) -> bytes | None:
    """The bytes of one cell, by the number of its row; None for an empty one."""
    ends = group_ends(path)
    group = bisect_right(ends, number)
    value = group_column(path, group, place)[number - (ends[group - 1] if group else 0)].as_py()
    return value["bytes"] if isinstance(value, Mapping) else value


@lru_cache(maxsize=4)
def group_ends(path: Path) -> list[int]:
    """The number of the row after each group of rows."""
    import pyarrow.parquet as parquet

    metadata = parquet.read_metadata(path)
    return list(accumulate(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)))


@lru_cache(maxsize=1)
def group_column(path: Path, group: int, place: str) -> Any:
    """One column of a group of rows: images are asked for one after the other."""
    import pyarrow.parquet as parquet

    return parquet.ParquetFile(path).read_row_group(group, columns=[place]).column(0)


def from_rows(path: Path, rows: Sequence[Row], columns: Columns, kind: str) -> Found:
    """Items of a table; rows that name one file are merged, image paths are relative to the table."""
    if not rows:
        raise FormatError(f"{path.name} holds no rows")
    names = list(dict.fromkeys(name for row in rows for name in row))
    chosen, sentence = guessed(path.name, names, columns)
    split_column = next((name for name in names if plain(name) in SPLIT_NAMES), None)
    cells = [row.get(chosen.image or "") for row in rows]
    folder = folder_of(path, [cell.strip() for cell in cells if isinstance(cell, str) and not ADDRESS.match(cell)])
    if folder != path.parent:
        sentence += f", images in {folder}"
    items: list[tuple[str | None, Item]] = []
    for number, (row, cell) in enumerate(zip(rows, cells, strict=True), 1):
        key, load, file = named(number, folder, cell)
        captions = [text for name in chosen.captions or () for text in texts_of(row.get(name))]
        labels = labels_of(row.get(chosen.label)) if chosen.label is not None else []
        stated = row.get(split_column) if split_column is not None else None
        split, word = stated_split(f"column '{split_column}'", stated)
        items.append((file, Item(key, load, captions, labels, split, raw_details(row), word)))
    return Found(kind, merged(items), [sentence])


def merged(rows: Iterable[tuple[str | None, Item]]) -> list[Item]:
    """(the file that a row names, its item): those of one file become one with all they say.

    Rows that hold their image have no file. They are of one image where they call it the same and hold the same bytes, as in a
    table with a row for each caption; else they stay apart, and a name that was used already gets the number of its row, so that
    keys are unique.
    """
    items: list[Item] = []
    places: dict[str, int] = {}
    called: dict[str, int] = {}  # the first item of a name
    held: dict[tuple[str, str], int] = {}  # by name and digest, of names that come again
    used: set[str] = set()
    for number, (file, item) in enumerate(rows, 1):
        place = None if file is None else places.get(file)
        if file is None and item.key in called:
            first = called[item.key]
            held.setdefault((item.key, digest_of(items[first])), first)
            place = held.setdefault((item.key, digest_of(item)), len(items))
        if place is not None and place < len(items):
            items[place] = both(items[place], item)
            continue
        if file is not None:
            places[file] = len(items)
        called.setdefault(item.key, len(items))
        key = item.key
        while key in used:
            key = f"{key}#{number}"
        used.add(key)
        items.append(item if key == item.key else replace(item, key=key))
    return items


def both(old: Item, new: Item) -> Item:
    """What two rows say of one image."""
    return replace(
        old,
        captions=list(dict.fromkeys([*old.captions, *new.captions])),
        labels=list(dict.fromkeys([*old.labels, *new.labels])),
        split=strictest([old.split, new.split]),
        details=joined_details([old.details, new.details]),
        split_word=old.split_word or new.split_word,
    )
