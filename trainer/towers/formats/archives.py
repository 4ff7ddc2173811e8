"""Tar archives: WebDataset shards, and images with a table of the same name beside the tar."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    members: dict[str, dict[str, tarfile.TarInfo]] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile():
                    stem, _, suffix = member.name.rpartition(".")
                    members.setdefault(stem, {})["." + suffix.lower()] = member
    except (tarfile.TarError, EOFError) as error:
        raise FormatError(f"{path.name} cannot be read as tar: {error}") from error
    rows, sentence = rows_beside(path, columns)
    items = []
    for stem, parts in members.items():
        image = next((parts[suffix] for suffix in parts if suffix in IMAGE_SUFFIXES), None)
        if image is None:
            continue
        said: dict[str, Any] = {}
        captions: list[str] = []
        label = None
        if ".json" in parts:
            said = json.loads(member_bytes(path, parts[".json"]))
            captions += texts_of(said)
            label = next((label_of(said[name]) for name in said if plain(name) in map(plain, CLASS_NAMES)), None)
        if ".txt" in parts:
            captions += texts_of(member_bytes(path, parts[".txt"]).decode("utf-8", "replace").splitlines())
        if ".cls" in parts:
            label = label_of(member_bytes(path, parts[".cls"]).decode("utf-8", "replace"))
        row = rows.get(Path(stem).name)
        if row is not None:
            captions, label = [*captions, *row.captions], row.label or label
        items.append(Item(stem, member_loader(path, image), list(dict.fromkeys(captions)), label))
    return Found("tar", items, [sentence or f"{path.name}: a WebDataset shard"])


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
    """A member's bytes; an uncompressed tar is read from the place, without walking through it."""
    if path.suffix == ".tar":
        with path.open("rb") as file:
            file.seek(member.offset_data)
            return file.read(member.size)
    with tarfile.open(path) as archive:
        opened = archive.extractfile(member.name)
        return opened.read() if opened is not None else b""
