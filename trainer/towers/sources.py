"""Reads a user's images with captions or labels from tar shards, folders, CSV or JSON lines as one stream of samples.

Beside towers/formats, which guesses what people mean and opens a file when an image is asked for: here a recipe states the
format and the columns, tar shards are read from front to end, and keys are those that stored crops and features depend on.
"""

import glob
import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from contracts.types import PairSource
from towers.data import Row, read_rows
from towers.formats.tables import csv_rows

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif"}


@dataclass(frozen=True)
class Sample:
    """One image with its captions; `image` is None where the file is missing. `about` goes into its row as it is."""

    key: str
    image: bytes | None
    captions: list[str]
    about: Row = field(default_factory=dict)


def read_source(root: Path, source: PairSource) -> Iterator[Sample]:
    """Samples of one pair source in a fixed order. `path` may be a glob; no match is an error."""
    paths = [Path(found) for found in sorted(glob.glob(str(root / source["path"])))]
    if not paths:
        raise FileNotFoundError(f"no file matches {source['path']} under {root}")
    if source["format"] != "labelled" and (misplaced := [name for name in LABELLED_ONLY if name in source]):
        raise ValueError(f"{source['path']}: {', '.join(misplaced)}: for sources of format `labelled` only")
    reader = READERS[source["format"]]
    for path in paths:
        yield from reader(path, source)


def set_of(source: PairSource) -> str:
    """The name of the set of images that a source is: its file's without number and pattern."""
    return re.sub(r"[^0-9A-Za-z]*[*?{\[0-9].*$", "", Path(source["path"]).stem) or Path(source["path"]).parent.name


def captions_of(value: object) -> list[str]:
    """A caption, a list of captions, or a mapping with one of the usual keys, as a list of strings."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in captions_of(item)]
    if isinstance(value, dict):
        for name in ("captions", "caption", "text", "raw"):
            if name in value:
                return captions_of(value[name])
    return []


def read_webdataset(path: Path, _source: PairSource) -> Iterator[Sample]:
    """A tar whose members share a key: KEY.jpg (or another image) with KEY.json or KEY.txt, next to each other."""
    with tarfile.open(path) as archive:
        key, image, captions = "", None, []
        for member in archive:
            if not member.isfile():
                continue
            stem, suffix = member.name[: member.name.rfind(".")], Path(member.name).suffix.lower()
            if stem != key:
                if key:
                    yield Sample(Path(key).name, image, captions)
                key, image, captions = stem, None, []
            file = archive.extractfile(member)
            data = file.read() if file is not None else b""
            if suffix in IMAGE_SUFFIXES:
                image = data
            elif suffix == ".json":
                captions += captions_of(json.loads(data))
            elif suffix == ".txt":
                captions += [line for line in data.decode("utf-8").splitlines() if line.strip()]
        if key:
            yield Sample(Path(key).name, image, captions)


def read_folder(path: Path, _source: PairSource) -> Iterator[Sample]:
    """Every image below a folder with the text file of the same stem beside it, one caption per line."""
    for image in sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES):
        text = image.with_suffix(".txt")
        captions = text.read_text(encoding="utf-8").splitlines() if text.exists() else []
        key = "_".join(image.relative_to(path).with_suffix("").parts)
        yield Sample(key, image.read_bytes(), [line for line in captions if line.strip()])


def read_csv(path: Path, source: PairSource) -> Iterator[Sample]:
    """A table with a header; rows of one image may repeat and are merged where they follow each other."""
    yield from rows_to_samples(path, csv_rows(path)[0], source)


def read_jsonl(path: Path, source: PairSource) -> Iterator[Sample]:
    """JSON lines with an image path and a caption or a list of captions."""
    yield from rows_to_samples(path, read_rows(path), source)


def rows_to_samples(path: Path, rows: list[Row], source: PairSource) -> Iterator[Sample]:
    """Merge consecutive rows of one image; image paths are relative to the table."""
    image_column = source.get("image_column", "image")
    caption_column = source.get("caption_column", "caption")
    merged: dict[str, list[str]] = {}
    for number, row in enumerate(rows, 1):
        for column in (image_column, caption_column):
            if column not in row:
                raise ValueError(f"{path.name}, row {number}: no column '{column}' (has {sorted(row)})")
        merged.setdefault(row[image_column], []).extend(captions_of(row[caption_column]))
    for name, captions in merged.items():
        file = path.parent / name
        key = "_".join(Path(name).with_suffix("").parts).lstrip("._")
        yield Sample(key, file.read_bytes() if file.is_file() else None, captions)


def read_labelled(path: Path, source: PairSource) -> Iterator[Sample]:
    """NAME.jsonl with rows {key, label, captions?, shard?} beside its tars; captions are made of the label where none are."""
    column, templates = source.get("label_column", "label"), source.get("templates", ["{}"])
    tars: dict[str, tarfile.TarFile] = {}
    try:
        for row in read_rows(path):
            shard = row.get("shard", f"{path.stem}.tar")
            if not shard.startswith(path.stem):
                raise ValueError(f"{path.name}: the shard {shard} of {row['key']} is not named like the table")
            if shard not in tars:
                tars[shard] = tarfile.open(path.with_name(shard))  # noqa: SIM115 - until `finally`
            label = row.get(column)
            captions = captions_of(row.get("captions", []))
            if not captions and label is not None:
                captions = [template.replace("{}", label) for template in templates]
            about = {"set": set_of(source)} | {name: row[name] for name in KEPT if name in row}
            about |= {} if label is None else {"label": label, "prompted": "captions" not in row}
            yield Sample(row["key"], member_of(tars[shard], row["key"]), captions, about)
    finally:
        for tar in tars.values():
            tar.close()


def member_of(tar: tarfile.TarFile, key: str) -> bytes | None:
    """The bytes of an image by its key, None where the tar has none."""
    try:
        file = tar.extractfile(f"{key}.jpg")
    except KeyError:
        return None
    return None if file is None else file.read()


# What a row keeps of a labelled image: its class, and whose work it is.
KEPT = ("index", "wnid", "open", "licence", "author", "source")
LABELLED_ONLY = ("label_column", "templates", "only_open", "hold_out_labels")
READERS = {
    "webdataset": read_webdataset,
    "folder": read_folder,
    "csv": read_csv,
    "jsonl": read_jsonl,
    "labelled": read_labelled,
}
