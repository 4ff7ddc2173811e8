"""A user's images, checked and split: what can be used, what was left out and why, what is measured on."""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from contracts.types import AdaptConfig, OwnData
from engine.run import Run
from towers.data import read_rows
from towers.formats.classes import Class, ClassTable, numbers_alone, read_classes
from towers.formats.item import Columns, FormatError, texts_of
from towers.formats.table import read_items
from towers.formats.usable import Checker, Picture, reasons
from towers.text.unicode import composed
from towers.text.unicode import whole as whole_text

LEAST_IMAGES = 4
MOST_DEV = 1000  # images kept for measuring, however many there are
FEW_DEV = 30  # below that a single image is several points
NAMED_CLASSES = 6
NAME_THEM = "name a file that says what they are with --classes FILE (JSON or CSV with id and name, or a name a line)"


@dataclass(frozen=True)
class Pictures:
    """Everything that was read."""

    train: list[Picture]
    dev: list[Picture]
    classes: list[Class]
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def summary(self) -> list[str]:
        """Sentences for a person: how the data were read, what there is, what was left out, what is measured on."""
        used = [*self.train, *self.dev]
        captions = sum(len(picture.captions) for picture in used)
        said = [
            *([f"{captions} captions"] if captions else []),
            *([f"{len(self.classes)} classes"] if any(picture.label is not None for picture in used) else []),
        ]
        lines = [
            *self.notes,
            f"{len(used)} images with {' and '.join(said)}: {len(self.train)} to learn from, {len(self.dev)} to measure on",
        ]
        counts = Counter(self.classes[picture.label].name for picture in used if picture.label is not None)
        if counts:
            named = ", ".join(f"{name} ({count})" for name, count in counts.most_common(NAMED_CLASSES))
            more = len(counts) - NAMED_CLASSES
            fewest = f" and {more} more, the smallest {counts.most_common()[-1][0]} ({counts.most_common()[-1][1]})"
            lines.append(f"classes by their images: {named}{fewest if more > 0 else ''}")
        learned = {picture.label for picture in self.train}
        only = Counter(
            self.classes[picture.label].name
            for picture in self.dev
            if picture.label is not None and picture.label not in learned
        )
        if only:
            some = ", ".join(f"{name} ({count})" for name, count in only.most_common(NAMED_CLASSES))
            more = f" and {len(only) - NAMED_CLASSES} more" if len(only) > NAMED_CLASSES else ""
            lines.append(
                f"{len(only)} {'class is' if len(only) == 1 else 'classes are'} measured on without an image to learn from: "
                f"{some}{more}. Of them only the name and descriptions are known, and figures count them"
            )
        if len(self.dev) < FEW_DEV:
            lines.append(
                f"{len(self.dev)} images are few to measure on: one of them is {100 / len(self.dev):.0f} points of a figure"
            )
        if self.skipped:
            lines.append(f"{len(self.skipped)} left out: {reasons(self.skipped)}")
        return lines

    def counts(self) -> dict[str, float]:
        """For a report."""
        return {
            "images.train": len(self.train),
            "images.dev": len(self.dev),
            "images.left_out": len(self.skipped),
        }


def look_through(run: Run[AdaptConfig]) -> Pictures:
    """What the recipe names as own data, with progress and a summary; ends with the reason where nothing can be used."""
    try:
        pictures = read_own(run.input("data"), run.config["own"], run.seed, lambda n, total: run.tick(n, total))
    except FormatError as error:
        sys.exit(str(error))
    for line in pictures.summary():
        run.log(line)
    return pictures


def read_own(root: Path, own: OwnData, seed: int, on_image: Callable[[int, int], None] | None = None) -> Pictures:
    """Everything of `own` that can be used. Nothing usable is a FormatError with the reasons."""
    columns = Columns.of(own)
    found = read_items(root / own["path"], columns)
    sources = [(found.items, None)]
    notes = list(found.notes)
    if own["dev_path"] is not None:
        measured = read_items(root / own["dev_path"], columns)
        # Who names a test set means to measure on it; beside other splits its images are left alone as ever.
        only_test = all(item.split == "test" for item in measured.items)
        to_measure = [replace(item, split=None) for item in measured.items] if only_test else measured.items
        sources = [(found.items, "train"), (to_measure, "dev")]
        notes += measured.notes
    classes = read_classes(root / own["classes"]) if own["classes"] is not None else None
    everything = [item for items, _ in sources for item in items]
    numbers = numbers_alone(everything, own["path"], NAME_THEM) if classes is None else None
    if numbers is not None:
        notes.append(f"{numbers} (--classes FILE names them)")
        sources = [([replace(item, labels=[]) for item in items], split) for items, split in sources]
    labels = sorted({item.label for items, _ in sources for item in items if item.label is not None})
    table = ClassTable(labels, classes)
    if (counting := table.counting()) is not None:
        notes.append(counting)
    check = Checker(table, on_image, sum(len(items) for items, _ in sources))
    for items, split in sources:
        for item in items:
            check(item, split)
    pictures, stated = list(check.joined.values()), list(check.splits.values())
    if len(pictures) < LEAST_IMAGES:
        raise FormatError(
            f"{own['path']} holds {len(pictures)} usable images of {check.total}, at least {LEAST_IMAGES} are needed"
            + (f". {check.equal_files()}" if check.equal else "")
            + (f". Left out: {reasons(check.skipped)}" if check.skipped else "")
        )
    if own["dev_path"] is not None and "dev" not in stated:
        raise FormatError(f"{own['dev_path']}: nothing of it can be measured on. Left out: {reasons(check.skipped)}")
    has_to_differ(pictures, table, own["path"])
    if check.equal:
        notes.append(check.equal_files())
    for names in table.alike:
        notes.append(f"the classes {', '.join(map(repr, names))} are one: their names mean the same")
    if any(split == "dev" for split in stated):
        is_dev = [split == "dev" for split in stated]
        notes.append("measured on the images that the data themselves keep for that")
    else:
        is_dev = chosen_for_dev(pictures, own["dev_share"], seed)
        how = "of every class" if labels or classes else "by chance"
        notes.append(f"measured on {sum(is_dev)} images chosen {how}, which are not learned from")
    train = [picture for picture, dev in zip(pictures, is_dev, strict=True) if not dev]
    dev = [picture for picture, dev in zip(pictures, is_dev, strict=True) if dev]
    if not train or not dev:
        raise FormatError(f"{own['path']}: nothing is left to {'measure on' if train else 'learn from'}")
    if own["further_captions"] is not None:
        train, described, note = with_further_captions(pictures, train, table, root / own["further_captions"])
        table.classes[:] = described
        notes.append(note)
    return Pictures(train, dev, table.classes, check.skipped, notes)


def has_to_differ(pictures: Sequence[Picture], table: ClassTable, path: str) -> None:
    """Refuses images of which the same is said: there is nothing to tell apart, and figures would be perfect from the start."""
    texts = {text for picture in pictures for text in picture.captions}
    named = {table.classes[picture.label].name for picture in pictures if picture.label is not None}
    if len(texts) > 1 or len(named) > 1 or (named and len(table.classes) > 1):
        return
    same = f"are of one class, {next(iter(named))!r}" if named else f"have one caption, {next(iter(texts))!r}"
    raise FormatError(
        f"{path}: all {len(pictures)} images {same}, so that there is nothing to tell apart. Put the images of each class "
        "into a folder with its name, or say of each image what it shows"
    )


def chosen_for_dev(pictures: Sequence[Picture], share: float, seed: int) -> list[bool]:
    """Which images are measured on: of each class its share, at least one of three and never all, in the order of a hash of the key."""
    order = sorted(range(len(pictures)), key=lambda n: hashlib.sha256(f"{seed}/{pictures[n].key}".encode()).hexdigest())
    groups: dict[int | None, list[int]] = {}
    for number in order:
        groups.setdefault(pictures[number].label, []).append(number)
    share = min(share, MOST_DEV / len(pictures))
    chosen: set[int] = set()
    for members in groups.values():
        wanted = max(round(share * len(members)), 1 if len(members) >= 3 and share > 0 else 0)
        chosen |= set(members[: min(wanted, len(members) - 1)])
    if not chosen:
        chosen = {order[0]}
    return [number in chosen for number in range(len(pictures))]


def rows_of_captions(file: Path) -> list[dict[str, Any]]:
    """The rows of such a file; anything else is an error that says what is expected."""
    try:
        rows: list[Any] = read_rows(file)
        if all(isinstance(row, dict) for row in rows):
            return rows
        reason = "a row is no object"
    except ValueError as error:  # not JSON, or not UTF-8
        reason = str(error)
    raise FormatError(
        f"{file.name} is not JSON lines of {{key, captions}} or {{label, captions}}, as npm run augment writes them: {reason}"
    )


def with_further_captions(
    pictures: Sequence[Picture], train: list[Picture], table: ClassTable, file: Path
) -> tuple[list[Picture], list[Class], str]:
    """Pictures with the captions of rows {key, captions}, classes with those of rows {label, captions}, and a sentence."""
    rows = rows_of_captions(file)
    by_key: dict[str, list[str]] = {}
    for row in rows:
        if "key" in row:
            by_key.setdefault(composed(str(row["key"])), []).extend(texts_of(row.get("captions")))
    labels = [str(row["label"]) for row in rows if "label" in row and "key" not in row]
    if not by_key.keys() & {composed(picture.key) for picture in pictures} and not any(
        table.number_of(label) is not None for label in labels
    ):
        raise FormatError(
            f"{file.name}: no row is of an image or a class that is learned from. Its rows are of "
            f"{', '.join([*by_key, *labels][:3]) or 'nothing (no key and no label)'}; images are called like "
            f"{pictures[0].key}" + (f", classes like {table.classes[0].name}" if table.classes else "")
        )
    more = [
        replace(picture, captions=list(dict.fromkeys([*picture.captions, *by_key.get(composed(picture.key), [])])))
        for picture in train
    ]
    described = list(table.classes)
    for row in rows:
        number = table.number_of(str(row["label"])) if "label" in row and "key" not in row else None
        if number is not None:
            texts = [*described[number].descriptions, *texts_of(row.get("captions"))]
            described[number] = replace(described[number], descriptions=list(dict.fromkeys(texts)))
    added = sum(len(new.captions) - len(old.captions) for new, old in zip(more, train, strict=True))
    told = sum(len(new.descriptions) - len(old.descriptions) for new, old in zip(described, table.classes, strict=True))
    writers = sorted({str(row["by"]) for row in rows if "by" in row})
    by = f", written by {', '.join(writers)}" if writers else ""
    return more, described, f"{file.name}: {added} further captions of images and {told} of classes to learn from{by}"


def to_json(pictures: Pictures) -> str:
    """What `--dry-run` shows: counts, sentences, and everything that was left out."""
    document = json.dumps(
        {
            "train": len(pictures.train),
            "dev": len(pictures.dev),
            "captions": sum(len(picture.captions) for picture in [*pictures.train, *pictures.dev]),
            "classes": [each.name for each in pictures.classes],
            "skipped": [{"key": key, "reason": reason} for key, reason in pictures.skipped],
            "summary": pictures.summary(),
        },
        ensure_ascii=False,
    )
    return whole_text(document)  # a reason may quote the name of a file
