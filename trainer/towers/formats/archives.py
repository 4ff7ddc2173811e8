"""Tar archives: WebDataset shards, and images with a table of the same name beside the tar."""

import gzip
import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from towers.formats.details import Details, joined_details, raw_details
from towers.formats.item import (
    CLASS_NAMES,
    IMAGE_SUFFIXES,
    Columns,
    FormatError,
    Found,
    Item,
    label_of,
    plain,
    texts_of,
)
from towers.formats.tables import read_jsonl

KEY_NAMES = ["key", "id", "image", "filename"]


def read_tar(path: Path, columns: Columns) -> Found:
    """KEY.jpg with KEY.txt, KEY.json or KEY.cls, in any order; or with a row in NAME.jsonl beside NAME.tar."""
    members = tar_members(path)
    rows, sentence = rows_beside(path, columns)
    items = []
    for stem, parts in members.items():
        image = next((parts[suffix] for suffix in parts if suffix in IMAGE_SUFFIXES), None)
        if image is None:
            continue
        said: dict[str, Any] = {}
        captions: list[str] = []
        details: Details = {}
        label = None
        if ".json" in parts:
            said = json.loads(member_bytes(path, parts[".json"]))
            captions += texts_of(said)
            details = raw_details(said) if isinstance(said, dict) else {}
            label = next((label_of(said[name]) for name in said if plain(name) in map(plain, CLASS_NAMES)), None)
        if ".txt" in parts:
            captions += texts_of(member_bytes(path, parts[".txt"]).decode("utf-8", "replace").splitlines())
        if ".cls" in parts:
            label = label_of(member_bytes(path, parts[".cls"]).decode("utf-8", "replace"))
        row = rows.get(Path(stem).name)
        if row is not None:
            captions, label = [*captions, *row.captions], row.label or label
            details = joined_details([details, row.details])
        found = list(dict.fromkeys(captions))
        items.append(Item(stem, member_loader(path, image), found, label, details=details))
    return Found("tar", items, [sentence or f"{path.name}: a WebDataset shard"])


@lru_cache(maxsize=4)
def tar_members(path: Path) -> dict[str, dict[str, tarfile.TarInfo]]:
    """The files of a tar by name without ending, in the order of the first of each, and by ending in lower case."""
    members: dict[str, dict[str, tarfile.TarInfo]] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile():
                    stem, _, suffix = member.name.rpartition(".")
                    members.setdefault(stem, {})["." + suffix.lower()] = member
    except (tarfile.TarError, EOFError) as error:
        raise FormatError(f"{path.name} cannot be read as tar: {error}") from error
    return members


def rows_beside(path: Path, columns: Columns) -> tuple[dict[str, Item], str]:
    """Rows of NAME.jsonl (NAME-000.tar is of NAME.jsonl, too) by key, and a sentence on them; nothing without one."""
    stem = path.name.removesuffix(".tar")
    names = [stem, stem.rpartition("-")[0], f"{stem}.captions", f"{stem.rpartition('-')[0]}.captions"]
    file = next((path.parent / f"{name}.jsonl" for name in names if (path.parent / f"{name}.jsonl").is_file()), None)
    if file is None:
        return {}, ""
    with file.open(encoding="utf-8-sig") as lines:
        first = json.loads(next(iter(lines), "{}"))
    key = columns.image or next((name for name in KEY_NAMES if name in first), None)
    if key is None:
        return {}, ""
    found = read_jsonl(file, Columns(key, columns.captions, columns.label))
    return {Path(item.key).name: item for item in found.items}, f"{path.name} with {found.notes[0]}"


def member_loader(path: Path, member: tarfile.TarInfo) -> Callable[[], bytes]:
    """Reads the member when asked."""
    return lambda: member_bytes(path, member)


def member_bytes(path: Path, member: tarfile.TarInfo) -> bytes:
    """A member's bytes, read from their place without walking through the tar."""
    if path.suffix == ".tar":
        with path.open("rb") as file:
            return read_at(path, file, member)
    return read_at(path, unpacked(path), member)


def read_at(path: Path, file: IO[bytes], member: tarfile.TarInfo) -> bytes:
    """The bytes of a member from an open tar; one that ends early is an error."""
    file.seek(member.offset_data)
    data = file.read(member.size)
    if len(data) != member.size:
        raise OSError(f"{path.name} ends within {member.name}: it was cut off")
    return data


@lru_cache(maxsize=1)
def unpacked(path: Path) -> IO[bytes]:
    """A gzipped tar, unpacked into a temporary file that vanishes with the process: places in it can be read."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as it is remembered
    with gzip.open(path) as packed:
        shutil.copyfileobj(packed, file)
    return file
