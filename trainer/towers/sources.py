"""Reads a user's images with captions or labels from tar shards, folders and tables, file by file or in parts of a file.

Beside towers/formats, which guesses what people mean: here a recipe states the format and the columns, and keys are those
that stored crops and features depend on. Format `any` is read by towers/formats. An image is opened when it is asked for.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

from contracts.types import PairSource
from towers.caption_roles import ROLES
from towers.data import Row, read_rows, rows_between
from towers.formats.archives import member_bytes, tar_members
from towers.formats.classes import ClassTable, read_classes
from towers.formats.details import Details, checked_details, joined_details, raw_details
from towers.formats.item import Columns, Found
from towers.formats.places import captions_beside, files_below
from towers.formats.table import read_items
from towers.formats.tables import csv_rows

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif"}


@dataclass(frozen=True)
class Source:
    """A pair source of a recipe as plain settings; `name` is that of its set, different from those of other sources."""

    split: str
    format: str
    path: str
    name: str
    set: str
    language: str | None = None
    image_column: str | None = None
    caption_column: str | None = None
    caption_fields: tuple[tuple[str, str], ...] = ()  # (role, field)
    label_column: str = "label"
    class_names: Path | None = None
    templates: tuple[str, ...] = ("{}",)
    only_open: bool = False
    hold_out_labels: float = 0.0
    own_split: str | None = None
    translated: tuple[tuple[str, str], ...] = ()  # (language, file)


@dataclass(frozen=True)
class Sample:
    """One image with its captions; `load` gives its bytes or raises an OSError. `about` goes into its row as it is.

    `roles`: what each caption is (`raw`, `short`, `long`), None where the recipe does not say. `details`: negatives and regions.
    """

    key: str
    load: Callable[[], bytes]
    captions: list[str]
    about: Row = field(default_factory=dict)
    roles: list[str] | None = None
    details: Details = field(default_factory=dict)

    def caption(self, number: int) -> str:
        """A caption with single spaces between its words."""
        return " ".join(self.captions[number].split())

    @property
    def every_caption(self) -> list[str]:
        """All of them with single spaces."""
        return [self.caption(number) for number in range(len(self.captions))]


def sources_of(pairs: list[PairSource], data: Path) -> list[Source]:
    """The sources of a recipe, dev first: an image in both splits stays in dev. A misplaced setting is refused."""
    sources: list[Source] = []
    for pair in sorted(pairs, key=lambda pair: pair["split"] != "dev"):
        for settings, formats in PLACES.items():
            misplaced = [name for name in settings if name in pair]
            if misplaced and pair["format"] not in formats:
                kinds = " or ".join(f"`{kind}`" for kind in formats)
                raise ValueError(f"{pair['path']}: {', '.join(misplaced)}: for sources of format {kinds} only")
        name = set_of(pair)
        fields = pair.get("caption_fields", {})
        sources.append(
            Source(
                split=pair["split"],
                format=pair["format"],
                path=pair["path"],
                name=name if name not in [source.name for source in sources] else f"{name}-{len(sources)}",
                set=name,
                language=pair.get("language"),
                image_column=pair.get("image_column"),
                caption_column=pair.get("caption_column"),
                caption_fields=tuple((role, name) for role in ROLES for name in fields.get(role, [])),
                label_column=pair.get("label_column", "label"),
                class_names=data / pair["class_names"] if "class_names" in pair else None,
                templates=tuple(pair.get("templates", ["{}"])),
                only_open=pair.get("only_open", False),
                hold_out_labels=pair.get("hold_out_labels", 0.0),
                own_split=pair.get("own_split"),
                translated=tuple(pair.get("translated_captions", {}).items()),
            )
        )
    return sources


# Which formats a setting belongs to.
PLACES = {
    ("only_open",): ("labelled",),
    ("label_column", "templates", "hold_out_labels"): ("labelled", "any"),
    ("own_split", "class_names"): ("any",),
    ("caption_fields",): ("webdataset", "csv", "jsonl"),
}


def set_of(source: PairSource) -> str:
    """The name of the set of images that a source is: its file's without number and pattern."""
    return re.sub(r"[^0-9A-Za-z]*[*?{\[0-9].*$", "", Path(source["path"]).stem) or Path(source["path"]).parent.name


def read_samples(path: Path, source: Source, lines: tuple[int, int] | None = None) -> Iterator[Sample]:
    """Samples of one file in a fixed order; `lines`: only those of a JSON lines file between two bytes."""
    if source.format in FROM_ROWS:
        rows = rows_between(path, *lines) if lines is not None else table_rows(path)
        yield from FROM_ROWS[source.format](path, rows, source)
    else:
        yield from READERS[source.format](path, source)


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


def captions_by_role(values: Row, source: Source) -> tuple[list[str], list[str]]:
    """(captions, their roles) from the fields that the source names; a field that is not there has none."""
    said = [(text, role) for role, name in source.caption_fields for text in captions_of(values.get(name))]
    return [text for text, _ in said], [role for _, role in said]


# ---- readers ---------------------------------------------------------------------------------------------------------


def read_webdataset(path: Path, source: Source) -> Iterator[Sample]:
    """A tar whose members share a key: KEY.jpg (or another image) with KEY.json or KEY.txt, in any order."""
    for stem, parts in tar_members(path).items():
        image = next((parts[suffix] for suffix in parts if suffix in IMAGE_SUFFIXES), None)
        values: Row = {}
        captions: list[str] = []
        for suffix, member in parts.items():
            if suffix == ".json":
                said = json.loads(member_bytes(path, member))
                values |= said if isinstance(said, dict) else {}
                captions += captions_of(said)
            elif suffix == ".txt":
                lines = member_bytes(path, member).decode("utf-8").splitlines()
                values["txt"] = [line for line in lines if line.strip()]
                captions += values["txt"]
        roles = None
        if source.caption_fields:
            captions, roles = captions_by_role(values, source)
        details = checked_details(raw_details(values), f"{path.name}, {stem}.json")
        yield Sample(Path(stem).name, lambda image=image: tar_bytes(path, image), captions, {}, roles, details)


def tar_bytes(path: Path, member) -> bytes:
    """The bytes of a member; without one an error."""
    if member is None:
        raise OSError(f"{path.name} has none of this key")
    return member_bytes(path, member)


def read_folder(path: Path, _source: Source) -> Iterator[Sample]:
    """Every image below a folder with the text file of the same stem beside it, one caption per line."""
    for image in folder_images(path):
        key = "_".join(image.relative_to(path).with_suffix("").parts)
        yield Sample(key, image.read_bytes, captions_beside(image))


@lru_cache(maxsize=1)
def folder_images(path: Path) -> list[Path]:
    """The images below a folder, remembered for the parts of it that one process works on."""
    return [file for file in files_below(path) if file.suffix.lower() in IMAGE_SUFFIXES]


@lru_cache(maxsize=1)
def table_rows(path: Path) -> list[Row]:
    """All rows of a table with a header or of JSON lines."""
    return read_rows(path) if path.name.endswith((".jsonl", ".jsonl.gz")) else csv_rows(path)[0]


def rows_to_samples(path: Path, rows: Iterable[Row], source: Source) -> Iterator[Sample]:
    """Merge the rows of one image; image paths are relative to the table."""
    image_column, caption_column = source.image_column or "image", source.caption_column or "caption"
    settings = {image_column: "image_column", caption_column: "caption_column"}
    wanted = [image_column, *([name for _, name in source.caption_fields] or [caption_column])]
    merged: dict[str, list[tuple[str, str]]] = {}
    details: dict[str, list[Details]] = {}
    for number, row in enumerate(rows, 1):
        for column in wanted:
            if column not in row:
                raise ValueError(
                    f"{path.name}, row {number}: no column '{column}' (has {sorted(row)}); "
                    f"{settings.get(column, 'caption_fields')} of the source says which it is"
                )
        captions, roles = captions_by_role(row, source)
        if not source.caption_fields:
            captions = captions_of(row[caption_column])
            roles = [""] * len(captions)
        merged.setdefault(row[image_column], []).extend(zip(captions, roles, strict=True))
        details.setdefault(row[image_column], []).append(raw_details(row))
    for name, said in merged.items():
        key = "_".join(Path(name).with_suffix("").parts).lstrip("._")
        roles = [role for _, role in said] if source.caption_fields else None
        captions, load = [caption for caption, _ in said], partial(table_image, path.parent, name)
        own = checked_details(joined_details(details[name]), f"{path.name}, {name}")
        yield Sample(key, load, captions, {}, roles, own)


def table_image(folder: Path, name: str) -> bytes:
    """The image that a row names; an address is refused, because machines that train download nothing from the web."""
    if re.match(r"https?://", name):
        raise OSError("it is a web address: download the list with img2dataset and read its tars as `webdataset`")
    return (folder / name).read_bytes()


def labelled_samples(path: Path, rows: Iterable[Row], source: Source) -> Iterator[Sample]:
    """NAME.jsonl with rows {key, label, captions?, shard?} beside its tars; captions are made of the label where none are."""
    for row in rows:
        shard = row.get("shard", f"{path.stem}.tar")
        if not shard.startswith(path.stem):
            raise ValueError(f"{path.name}: the shard {shard} of {row['key']} is not named like the table")
        captions = captions_of(row.get("captions", []))
        label = row.get(source.label_column)
        if not captions and label is not None:
            captions = [template.replace("{}", label) for template in source.templates]
        about = {"set": source.set} | {name: row[name] for name in KEPT if name in row}
        about |= {} if label is None else {"label": label, "prompted": "captions" not in row}
        member = tar_members(path.with_name(shard)).get(row["key"], {}).get(".jpg")
        details = checked_details(raw_details(row), f"{path.name}, {row['key']}")
        yield Sample(row["key"], partial(tar_bytes, path.with_name(shard), member), captions, about, None, details)


def read_any(path: Path, source: Source) -> Iterator[Sample]:
    """Whatever towers/formats recognises; a class makes captions where there are none."""
    captions = (source.caption_column,) if source.caption_column is not None else None
    label_column = source.label_column if source.label_column != "label" else None
    classes = class_table(source.class_names) if source.class_names is not None else None
    for item in found_items(path, Columns(source.image_column, captions, label_column)).items:
        if source.own_split is not None and item.split != source.own_split:
            continue
        said, label = list(item.captions), item.label
        about: Row = {"set": source.set}
        if label is not None and classes is not None:
            number = classes.number_of(label)
            if number is None:
                raise ValueError(f"{path.name}: class {label!r} of {item.key} is not in {source.class_names}")
            label = classes.classes[number].name
        if label is not None:
            about |= {"label": label, "prompted": not said}
            said = said or [template.replace("{}", label) for template in source.templates]
        details = checked_details(item.details, f"{path.name}, {item.key}")
        yield Sample(item.key, item.load, said, about, None, details)


@lru_cache(maxsize=1)
def class_table(file: Path) -> ClassTable:
    """The classes of a file, by number, key and name."""
    return ClassTable((), read_classes(file))


@lru_cache(maxsize=1)
def found_items(path: Path, columns: Columns) -> Found:
    """The items of a path, remembered for the parts of it that one process works on."""
    return read_items(path, columns)


def forget_files() -> None:
    """Forget what was read of files: a process that makes another plan may find others under their names."""
    for remembered in (folder_images, table_rows, class_table, found_items, tar_members):
        remembered.cache_clear()


# What a row keeps of a labelled image: its class, and whose work it is.
KEPT = ("index", "wnid", "open", "licence", "author", "source")
READERS = {"webdataset": read_webdataset, "folder": read_folder, "any": read_any}
FROM_ROWS = {"csv": rows_to_samples, "jsonl": rows_to_samples, "labelled": labelled_samples}
