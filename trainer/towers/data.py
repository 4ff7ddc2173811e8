"""Reads the rows and images that `prepare` writes: JSON lines beside tar shards, in a fixed order."""

import gzip
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from contracts.types import PreparedShard
from data.manifest import ShardError, read_manifest, shard_file, shards_of
from towers.packed import is_gzip
from towers.text.unicode import whole, whole_in

Row = dict[str, Any]


def read_rows(file: Path) -> list[Row]:
    """All rows of a file of JSON lines, which gzip may have packed; a broken line is an error that names its number."""
    return list(each_row(file))


def each_row(file: Path) -> Iterator[Row]:
    """The rows of `read_rows` one by one."""
    with gzip.open(file, "rt", encoding="utf-8-sig") if is_gzip(file) else file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise ValueError(f"{file.name}, line {number}: not JSON ({error.msg})") from error
                yield row


def count_rows(file: Path) -> int:
    """How many rows a `.jsonl` file has, without reading what is in them."""
    with file.open("rb") as lines:
        return sum(1 for line in lines if line.strip())


def rows_between(file: Path, start: int, end: int) -> Iterator[Row]:
    """Rows of a JSON lines file from byte `start`, where a line begins, to byte `end`."""
    with file.open("rb") as lines:
        lines.seek(start)
        while lines.tell() < end:
            line = lines.readline()
            if line.strip():
                yield json.loads(line)


def write_rows(file: Path, rows: Iterable[Row]) -> None:
    """Write rows as JSON lines; the file appears only when it is whole."""
    temporary = file.with_name(file.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json_line(row))
    os.replace(temporary, file)


def json_line(row: Row) -> str:
    """A row as UTF-8 can hold it: what is said of a file may quote its name, which need not be."""
    return whole(json.dumps(row, ensure_ascii=False)) + "\n"


def first_pairs(folder: Path, split: str, count: int) -> list[Row]:
    """The first rows of a split, as `read_pairs` has them; of more than they take nothing is read."""
    manifest = read_manifest(folder)
    rows = (
        iter(read_pairs(folder, split)) if manifest is None else shard_rows(folder, shards_of(manifest, "pairs", split))
    )
    return list(islice(rows, count))


def read_pairs(folder: Path, split: str) -> list[Row]:
    """All rows of `each_pair`."""
    return list(each_pair(folder, split))


def each_pair(folder: Path, split: str) -> Iterator[Row]:
    """Image-caption pairs of a split `train`, `dev` or `unseen` one by one, the last empty where nothing is held out.

    Rows {key, shard, place, captions}; `place` is [offset, size] of the image in its shard. Of a labelled picture also
    `label`, `set` and `prompted` (its captions are made of the label), where known `index`, `wnid`, `open`, `licence`; with
    captions in other languages `tr`: {language: [captions]}; where captions have roles `roles`, one for each.
    A folder without `shards.json` has one file for each split.
    """
    if (manifest := read_manifest(folder)) is not None:
        shards = shards_of(manifest, "pairs", split)
        if split != "unseen" and not shards:
            raise FileNotFoundError(f"{folder} has no images of split {split}: prepare was given no source of it")
        yield from shard_rows(folder, shards)
        return
    file = folder / f"pairs.{split}.jsonl"
    yield from each_row(file) if split != "unseen" or file.exists() else ()


def shard_rows(folder: Path, shards: list[PreparedShard]) -> Iterator[Row]:
    """The rows of shards, one after the other; a shard that is missing, cut off or short is refused by its name."""
    for shard in shards:
        rows = read_rows(shard_file(folder, shard["rows"]))
        if len(rows) != shard["count"]:
            path = shard["rows"]["path"]
            raise ShardError(f"{path} has {len(rows)} rows, the manifest says {shard['count']}: run prepare again")
        yield from rows


def class_rows(folder: Path) -> list[Row]:
    """The classes of the class file, empty where the data names none."""
    file = folder / "classes.json"
    return whole_in(json.loads(file.read_text(encoding="utf-8"))["classes"]) if file.exists() else []


def read_class_images(folder: Path) -> list[Row]:
    """Class images, rows {key, shard, index, place}, empty where the data has none."""
    file = folder / "class_images.jsonl"
    return read_rows(file) if file.exists() else []


def read_texts(folder: Path, kind: str, split: str) -> list[Row]:
    """Text rows of a kind (`groups`, `long`, `translations`, `plain`, `concepts`, `fragments`), empty where the data has none."""
    return list(each_text_row(folder, kind, split))


def each_text_row(folder: Path, kind: str, split: str) -> Iterator[Row]:
    """The rows of `read_texts` one by one."""
    if (manifest := read_manifest(folder)) is not None:
        yield from shard_rows(folder, shards_of(manifest, kind, split))
        return
    file = folder / f"{kind}.{split}.jsonl"
    yield from each_row(file) if file.exists() else ()


def read_images(
    folder: Path, rows: Iterable[Row], file_of: Callable[[str], Path] | None = None
) -> Iterator[tuple[str, bytes]]:
    """(key, file bytes) of every row, in row order; rows should be grouped by shard as `prepare` writes them.

    `file_of`: where a tar is, by its name; None: in the folder.
    """
    shard: tarfile.TarFile | None = None
    name = ""
    try:
        for row in rows:
            if row["shard"] != name:
                if shard is not None:
                    shard.close()
                name = row["shard"]
                # A tar whose rows know the places of its images is not walked through.
                shard = tarfile.open(folder / name if file_of is None else file_of(name))  # noqa: SIM115 - until `finally`
            assert shard is not None and shard.fileobj is not None
            if "place" in row:
                offset, size = row["place"]
                shard.fileobj.seek(offset)
                image = shard.fileobj.read(size)
                if len(image) != size:
                    raise ShardError(f"{name} ends within {row['key']}.jpg: it was cut off; run prepare again")
                yield row["key"], image
                continue
            try:
                member = shard.extractfile(f"{row['key']}.jpg")
            except KeyError:
                member = None
            if member is None:
                raise FileNotFoundError(f"{name} has no image {row['key']}.jpg")
            yield row["key"], member.read()
    finally:
        if shard is not None:
            shard.close()
