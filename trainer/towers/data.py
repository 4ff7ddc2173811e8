"""Reads the rows and images that `prepare` writes: JSON lines beside tar shards, in a fixed order."""

import gzip
import json
import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def read_rows(file: Path) -> list[Row]:
    """All rows of a `.jsonl` or `.jsonl.gz` file; a broken line is an error that names its number."""
    rows: list[Row] = []
    with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    rows.append(json.loads(line))
                except json.JSONDecodeError as error:
                    raise ValueError(f"{file.name}, line {number}: not JSON ({error.msg})") from error
    return rows


def write_rows(file: Path, rows: Iterable[Row]) -> None:
    """Write rows as JSON lines; the file appears only when it is whole."""
    temporary = file.with_name(file.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    os.replace(temporary, file)


def read_pairs(folder: Path, split: str) -> list[Row]:
    """Image-caption pairs of a split `train`, `dev` or `unseen`, the last empty where nothing is held out.

    Rows {key, shard, captions}; of a labelled picture also `label`, `set` and `prompted` (its captions are made of the
    label), where known `index`, `wnid`, `open`, `licence`; with captions in other languages `tr`: {language: [captions]}.
    """
    file = folder / f"pairs.{split}.jsonl"
    return read_rows(file) if split != "unseen" or file.exists() else []


def read_class_images(folder: Path) -> list[Row]:
    """Class images, rows {key, shard, index}, empty where the data has none."""
    file = folder / "class_images.jsonl"
    return read_rows(file) if file.exists() else []


def read_texts(folder: Path, kind: str, split: str) -> list[Row]:
    """Text rows of a kind (`groups`, `long`, `translations`, `plain`, `concepts`, `fragments`), empty where the data has none."""
    file = folder / f"{kind}.{split}.jsonl"
    return read_rows(file) if file.exists() else []


def read_images(folder: Path, rows: list[Row]) -> Iterator[tuple[str, bytes]]:
    """(key, file bytes) of every row, in row order; rows must be grouped by shard as `prepare` writes them."""
    shard: tarfile.TarFile | None = None
    name = ""
    try:
        for row in rows:
            if row["shard"] != name:
                if shard is not None:
                    shard.close()
                name = row["shard"]
                shard = tarfile.open(folder / name)  # noqa: SIM115 - until `finally`
            assert shard is not None
            member = shard.extractfile(f"{row['key']}.jpg")
            if member is None:
                raise FileNotFoundError(f"{name} has no image {row['key']}.jpg")
            yield row["key"], member.read()
    finally:
        if shard is not None:
            shard.close()
