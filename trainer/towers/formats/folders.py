"""Folders of images: captions in text files beside them, a table among them, or a folder per class."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from contracts.constants import IMAGE_COLUMNS
from towers.formats.annotations import loader, read_json
from towers.formats.archives import read_tar
from towers.formats.item import IMAGE_SUFFIXES, Columns, FormatError, Found, Item, key_of, plain, texts_of
from towers.formats.places import captions_beside, decoded_bytes, endings_of, files_below, format_of, text_beside
from towers.formats.splits import SPLITS, settled, split_depth, split_in_name, split_of
from towers.formats.tables import DELIMITERS, HEADLESS, parted, read_csv, read_jsonl, read_parquet
from towers.text.unicode import composed

LOOKED_AT = 20  # images of a table, to know whether they are there
FIRST_BYTES = 4096  # hold the first line of a table
METADATA = ["metadata.jsonl", "metadata.csv", "metadata.parquet"]
CLASS_FILES = {f"classes{ending}" for name in ("csv", "jsonl", "json") for ending in endings_of(name)}
TABLES = {"csv": read_csv, "jsonl": read_jsonl, "parquet": read_parquet, "json": read_json}


def read_folder(path: Path, columns: Columns) -> Found:
    """The first of these that fits: Hugging Face's metadata, one table, tar shards, .txt beside images, class folders."""
    everything = files_below(path)
    images = [file for file in everything if file.suffix.lower() in IMAGE_SUFFIXES]
    metadata = [file for file in everything if file.name in METADATA]
    if metadata:
        read = settled([TABLES[format_of(file) or ""](file, columns) for file in metadata])
        parts = [placed_below(path, file, part) for file, part in zip(metadata, read, strict=True)]
        return with_unlisted(joined("imagefolder", parts), path, images)
    files = [file for file in everything if file.parent == path]
    shards = [file for file in files if format_of(file) == "tar"]
    tables = [file for file in files if is_table(file)]
    if shards:
        return joined_by_split("tar", shards, [read_tar(file, columns) for file in shards])
    if tables:
        return read_tables(path, tables, columns, images)
    if not images:
        raise FormatError(
            f"{path} holds no images and no table: nothing that ends in {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    texts = sum(text_beside(file) is not None for file in images)
    depth = split_depth(images, path)
    items = [item_of(file, path, depth, classes=not texts) for file in images]
    if texts:
        return Found("folder", items, [f"{path}: captions from {texts} .txt files beside {len(images)} images"])
    labels = {item.label for item in items if item.label is not None}
    if not labels:
        raise FormatError(
            f"{path} holds {len(images)} images and nothing that says what they show. Put a .txt with a caption beside each "
            "image, or the images of each class into a folder with its name, or a CSV with the columns image and caption"
        )
    inside = ", each with its split in folders below" if depth else ""
    return Found(
        "class_folders", items, [f"{path}: {len(labels)} folders are the classes of {len(images)} images{inside}"]
    )


def read_tables(path: Path, tables: Sequence[Path], columns: Columns, images: Sequence[Path]) -> Found:
    """The tables on top of a folder. What cannot be read beside images that lie in folders says how to choose between them."""
    names = ", ".join(file.name for file in tables)
    if not of_one_set(tables):
        several = f"{path} holds several tables ({names}): name the one to read instead of the folder"
        raise FormatError(f"{several}{choice(path, images, 'them')}")
    try:
        parts = [TABLES[format_of(file) or ""](file, columns) for file in tables]
        found = joined_by_split(parts[0].format, tables, parts)
        missing = first_missing(found.items)
        if missing is not None and choice(path, images, "it"):
            raise FormatError(f"none of the images that {names} names is there ({missing})")
        return with_unlisted(found, path, images)
    except FormatError as error:
        how = choice(path, images, "it" if len(tables) == 1 else "them")
        if not how:
            raise
        raise FormatError(
            f"{error}. {path} holds folders of images, too, and a table goes before them: name {path / tables[0].name} instead "
            f"of the folder if it says what the images show{how}"
        ) from error


def with_unlisted(found: Found, path: Path, images: Sequence[Path]) -> Found:
    """Says how many images lie beside a table that no row of it names; nothing where its images are elsewhere."""
    named = {composed(item.key) for item in found.items}
    left = [file for file in images if named.isdisjoint(ends_of(file.relative_to(path)))]
    if len(left) in {0, len(images)}:
        return found
    note = (
        f"{len(left)} of the {len(images)} images in the folder are in no row and are not read, such as {left[0].name}"
    )
    return replace(found, notes=[*found.notes, note])


def ends_of(file: Path) -> Iterator[str]:
    """What a row may call a file: `a/b.png`, `b.png`, and each without the ending; composed."""
    for start in range(len(file.parts)):
        end = Path(*file.parts[start:])
        yield from (composed(key_of(str(end))), composed(key_of(str(end.with_suffix("")))))


def choice(path: Path, images: Sequence[Path], tables: str) -> str:
    """How a person has the folders read that lie beside `tables`; nothing where there are no folders of classes."""
    folders = {file.parent for file in images} - {path}
    if len(folders) < 2:
        return ""
    return (
        f"; if the {len(folders)} folders are the classes of their images, move {tables} out of the folder (a file that says what "
        "the classes are is named with --classes FILE)"
    )


def first_missing(items: Sequence[Item]) -> str | None:
    """Why the first of some of the images is not there, where none of them is."""
    reasons = []
    for item in items[:: max(1, len(items) // LOOKED_AT)]:
        try:
            item.load()
        except (OSError, ValueError) as error:
            reasons.append(str(error))
        else:
            return None
    return reasons[0] if reasons else None


def is_table(file: Path) -> bool:
    """A table on top of a folder; of files that end in .txt those whose first line speaks of images."""
    if file.suffix.lower() == ".txt":
        return is_table_of_images(file)
    return format_of(file) in TABLES and file.name.lower() not in CLASS_FILES


def is_table_of_images(path: Path) -> bool:
    """Whether the first line of a text file is the header of a table with images, or names one and says something about it."""
    with path.open("rb") as file:
        line = parted(decoded_bytes(file.read(FIRST_BYTES))[0])[2]
    if HEADLESS.match(line):
        return True
    cells = next((line.split(delimiter) for delimiter in DELIMITERS if delimiter in line), [])
    return bool({plain(cell) for cell in cells} & {plain(name) for name in IMAGE_COLUMNS})


def of_one_set(tables: Sequence[Path]) -> bool:
    """Whether tables are read together: one, several of Parquet, or several of one kind whose names say their splits."""
    endings = {file.suffix.lower() for file in tables}
    if {format_of(file) for file in tables} == {"parquet"}:
        return True
    return len(tables) == 1 or (len(endings) == 1 and all(map(split_in_name, tables)))


def joined_by_split(name: str, files: Sequence[Path], parts: Sequence[Found]) -> Found:
    """Files of a folder as one set. What states no split of its own has that of its file's name, and a note says so."""
    named: Counter[str] = Counter()
    split: list[Found] = []
    for file, part in zip(files, settled(parts), strict=True):
        said = split_in_name(file)
        if said is not None and not any(item.split for item in part.items):
            named[said] += 1
            part = replace(part, items=[replace(item, split=said) for item in part.items])
        split.append(part)
    found = split[0] if len(split) == 1 else joined(name, split)
    if not named:
        return found
    counts = ", ".join(f"{said} ({count} {'file' if count == 1 else 'files'})" for said, count in named.items())
    return replace(found, notes=[*found.notes, f"the names of the files say their split: {counts}"])


def item_of(file: Path, root: Path, depth: int | None, *, classes: bool) -> Item:
    """An image with the caption file beside it, or with the name of its folder as class. `depth`: where folders are splits.

    Without such a depth a folder on top may be one, but not where it holds images itself: `train` is a class beside `bus`.
    """
    folders = list(file.relative_to(root).parts[:-1])
    if depth is None and folders and folders[0].lower() in SPLITS and (len(folders) > 1 or not classes):
        depth = 0
    split = split_of(folders.pop(depth)) if depth is not None else None
    captions = texts_of(captions_beside(file))
    labels = folders[-1:] if classes else []
    return Item(key_of(str(file.relative_to(root))), loader(file), captions, labels, split)


def placed_below(root: Path, file: Path, found: Found) -> Found:
    """What one metadata table says; the folder train or validation that it lies in is its split."""
    parts = file.relative_to(root).parts
    split = next((split_of(part) for part in parts[:-1] if part.lower() in SPLITS), None)
    prefix = "/".join(parts[:-1])
    items = [replace(item, key=key_of(f"{prefix}/{item.key}"), split=item.split or split) for item in found.items]
    return Found(found.format, items, found.notes)


def joined(name: str, parts: list[Found]) -> Found:
    """Several files as one set. Shards of different files may use the same keys: then the file is part of the key."""
    keys = [item.key for part in parts for item in part.items]
    unique = len(set(keys)) == len(keys)
    items = [
        item if unique else replace(item, key=f"{number}/{item.key}")
        for number, part in enumerate(parts)
        for item in part.items
    ]
    read = shortened([note for part in parts for note in part.notes[:1]], "more files like these")
    return Found(
        name, items, read + shortened([note for part in parts for note in part.notes[1:]], "more notes like these")
    )


def shortened(notes: Sequence[str], more: str) -> list[str]:
    """Different sentences, of many the first two."""
    notes = list(dict.fromkeys(notes))
    return notes if len(notes) <= 3 else [*notes[:2], f"and {len(notes) - 2} {more}"]
