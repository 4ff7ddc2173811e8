"""Reads a user's images with captions or labels from tar shards, folders and tables, file by file or in parts of a file.

Beside towers/formats, which guesses what people mean: here a recipe states the format and the columns, and keys are those
that stored crops and features depend on. Format `any` is read by towers/formats. An image is opened when it is asked for.
"""

import re
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path

from contracts.types import PairSource
from towers.caption_roles import ROLES
from towers.data import Row, rows_between
from towers.formats.archives import (
    contents_of,
    image_of,
    lost_members,
    member_json,
    member_text,
    stored_stems,
    tar_members,
)
from towers.formats.classes import ClassTable, read_classes
from towers.formats.details import checked_details, raw_details
from towers.formats.item import IMAGE_SUFFIXES, Columns, Found
from towers.formats.places import bare_name, captions_beside, files_below
from towers.formats.table import read_items
from towers.samples import Sample, Source, captions_by_role, captions_of, storable
from towers.table_samples import labelled_samples, rows_before, rows_to_samples, table_rows, tar_bytes


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
        samples = FROM_ROWS[source.format](path, rows, source, lines[0] if lines is not None else 0)
    else:
        samples = READERS[source.format](path, source)
    yield from map(storable, samples)


# ---- readers ---------------------------------------------------------------------------------------------------------


def read_webdataset(path: Path, source: Source) -> Iterator[Sample]:
    """A tar whose members share a key: KEY.jpg (or another image) with KEY.json or KEY.txt, in any order."""
    for stem, parts in tar_members(path).items():
        image = image_of(parts)
        values: Row = {}
        captions: list[str] = []
        for suffix, member in parts.items():
            if suffix == ".json":
                said = member_json(path, member)
                values |= said if isinstance(said, dict) else {}
                captions += captions_of(said)
            elif suffix == ".txt":
                lines = member_text(path, member).splitlines()
                values["txt"] = [line for line in lines if line.strip()]
                captions += values["txt"]
        roles = None
        if source.caption_fields:
            captions, roles = captions_by_role(values, source)
        details = checked_details(raw_details(values), f"{path.name}, {stem}.json")
        name = stem if image is None else image.name
        yield Sample(Path(stem).name, lambda image=image: tar_bytes(path, image), captions, {}, roles, details, name)
    for lost in lost_members(path):
        yield Sample(bare_name(path), partial(no_image, lost), [], name=lost)


def no_image(why: str) -> bytes:
    """Raises an OSError: what was lost is counted among what is dropped."""
    raise OSError(why)


def read_folder(path: Path, _source: Source) -> Iterator[Sample]:
    """Every image below a folder with the text file of the same stem beside it, one caption per line."""
    for image in folder_images(path):
        name = image.relative_to(path)
        yield Sample(
            "_".join(name.with_suffix("").parts), image.read_bytes, captions_beside(image), name=name.as_posix()
        )


@lru_cache(maxsize=1)
def folder_images(path: Path) -> list[Path]:
    """The images below a folder, remembered for the parts of it that one process works on."""
    return [file for file in files_below(path) if file.suffix.lower() in IMAGE_SUFFIXES]


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
    for remembered in (folder_images, table_rows, rows_before, class_table, found_items, contents_of, stored_stems):
        remembered.cache_clear()


READERS = {"webdataset": read_webdataset, "folder": read_folder, "any": read_any}
FROM_ROWS = {"csv": rows_to_samples, "jsonl": rows_to_samples, "labelled": labelled_samples}
