"""Samples of tables whose format and columns a recipe states: images that rows name, and labelled pictures in tars beside them."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path

from towers.data import Row, read_rows
from towers.formats.archives import member_bytes, parts_named, picture_of
from towers.formats.details import Details, checked_details, joined_details, raw_details
from towers.formats.item import failing, file_of, label_of, read_file
from towers.formats.places import bare_name, format_of
from towers.formats.tables import csv_rows
from towers.samples import Sample, Source, captions_by_role, captions_of
from towers.text.unicode import composed


@lru_cache(maxsize=1)
def table_rows(path: Path) -> list[Row]:
    """All rows of a table with a header or of JSON lines."""
    return read_rows(path) if format_of(path) == "jsonl" else csv_rows(path)[0]


def rows_to_samples(path: Path, rows: Iterable[Row], source: Source, start: int) -> Iterator[Sample]:
    """Merge the rows of one image; image paths are relative to the table. A row that names none has no bytes to load.

    `start`: the byte of the table at which the rows begin.
    """
    image_column, caption_column = source.image_column or "image", source.caption_column or "caption"
    settings = {image_column: "image_column", caption_column: "caption_column"}
    wanted = [image_column, *([name for _, name in source.caption_fields] or [caption_column])]
    merged: dict[str, list[tuple[str, str]]] = {}
    details: dict[str, list[Details]] = {}
    for number, row in enumerate(rows, 1):
        for column in wanted:
            if not isinstance(row, dict) or column not in row:
                found = sorted(row) if isinstance(row, dict) else type(row).__name__
                raise ValueError(
                    f"{path.name}, row {row_number(path, start, number)}: no column '{column}' (has {found}); "
                    f"{settings.get(column, 'caption_fields')} of the source says which it is"
                )
        captions, roles = captions_by_role(row, source)
        if not source.caption_fields:
            captions = captions_of(row[caption_column])
            roles = [""] * len(captions)
        name = row[image_column]
        if not isinstance(name, str) or not Path(name.strip()).name:
            yield without_image(row_number(path, start, number), name)
            continue
        merged.setdefault(name, []).extend(zip(captions, roles, strict=True))
        details.setdefault(name, []).append(raw_details(row))
    for name, said in merged.items():
        key = "_".join(Path(name).with_suffix("").parts).lstrip("._")
        roles = [role for _, role in said] if source.caption_fields else None
        captions, load = [caption for caption, _ in said], partial(table_image, path.parent, name)
        own = checked_details(joined_details(details[name]), f"{path.name}, {name}")
        yield Sample(key, load, captions, {}, roles, own, Path(name).as_posix())


def row_number(path: Path, start: int, number: int) -> int:
    """Which row of a table one is, by its number among those from a byte on, at which a line begins; the first is 1."""
    return number + (rows_before(path, start) if start else 0)


@lru_cache(maxsize=1)
def rows_before(path: Path, start: int) -> int:
    """How many rows of JSON lines begin before a byte."""
    count = place = 0
    with path.open("rb") as lines:
        while place < start and (line := lines.readline()):
            place += len(line)
            count += bool(line.strip())
    return count


def without_image(number: int, value: object) -> Sample:
    """A row that is left out with its number and reason when its image is asked for."""
    empty = value is None or (isinstance(value, str) and not value.strip())
    said = "names no image" if empty else f"has {value!r} where the name of an image belongs"
    return Sample(f"row-{number}", failing(f"row {number} {said}"), [])


def table_image(folder: Path, name: str) -> bytes:
    """The image that a row names; an address is refused, because machines that train download nothing from the web."""
    if re.match(r"https?://", name):
        raise OSError("it is a web address: download the list with img2dataset and read its tars as `webdataset`")
    return read_file(file_of(folder, name))


def labelled_samples(path: Path, rows: Iterable[Row], source: Source, start: int) -> Iterator[Sample]:
    """NAME.jsonl with rows {key, label, captions?, shard?} beside its tars; captions are made of the label where none are."""
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ValueError(f"{path.name}, row {row_number(path, start, number)} is no object but {row!r}")
        key = label_of(row.get("key"))  # a number is a name like any other
        if key is None:
            yield without_image(row_number(path, start, number), row.get("key"))
            continue
        shard = str(row.get("shard") or f"{bare_name(path)}.tar")
        if not shard.startswith(bare_name(path)):
            raise ValueError(f"{path.name}: the shard {shard} of {key} is not named like the table")
        captions = captions_of(row.get("captions", []))
        label = label_of(row.get(source.label_column))
        label = label and composed(label)
        if not captions and label is not None:
            captions = [template.replace("{}", label) for template in source.templates]
        about = {"set": source.set} | {name: row[name] for name in KEPT if name in row}
        about |= {} if label is None else {"label": label, "prompted": "captions" not in row}
        member = picture_of(parts_named(path.with_name(shard), key))
        details = checked_details(raw_details(row), f"{path.name}, {key}")
        load = partial(tar_bytes, path.with_name(shard), member)
        yield Sample(key, load, captions, about, None, details, f"{Path(shard).stem}/{key}")


def tar_bytes(path: Path, member) -> bytes:
    """The bytes of a member; without one an error."""
    if member is None:
        raise OSError(f"{path.name} has none of this key")
    return member_bytes(path, member)


# What a row keeps of a labelled image: its class, and whose work it is.
KEPT = ("index", "wnid", "open", "licence", "author", "source")
