"""A user's images, checked and split: what can be used, what was left out and why, what is measured on."""

import hashlib
import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from contracts.types import AdaptConfig, OwnData
from engine.run import Run
from towers.data import read_rows
from towers.formats.classes import Class, ClassTable, read_classes
from towers.formats.item import Columns, FormatError, Item, texts_of
from towers.formats.table import read_items
from towers.preprocess import decode

LEAST_IMAGES = 4
MOST_DEV = 1000  # images kept for measuring, however many there are
SMALL = (64, 64)  # a JPEG is decoded to about this when it is only checked
NAMED_SKIPS = 5


@dataclass(frozen=True)
class Picture:
    """One usable image; `label` is the number of its class."""

    key: str
    load: Callable[[], bytes]
    captions: list[str]
    label: int | None


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
        if self.skipped:
            reasons = Counter(reason for _, reason in self.skipped)
            named = "; ".join(f"{key}: {reason}" for key, reason in self.skipped[:NAMED_SKIPS])
            more = len(self.skipped) - NAMED_SKIPS
            kinds = f" and {more} more of {len(reasons)} kinds" if more > 0 else ""
            lines.append(f"{len(self.skipped)} left out: {named}{kinds}")
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
    columns = Columns(
        own["image_column"],
        tuple(own["caption_columns"]) if own["caption_columns"] is not None else None,
        own["class_column"],
    )
    found = read_items(root / own["path"], columns)
    sources = [(found.items, None)]
    notes = list(found.notes)
    if own["dev_path"] is not None:
        measured = read_items(root / own["dev_path"], columns)
        sources = [(found.items, "train"), (measured.items, "dev")]
        notes += measured.notes
    classes = read_classes(root / own["classes"]) if own["classes"] is not None else None
    labels = sorted({item.label for items, _ in sources for item in items if item.label is not None})
    if classes is None and labels and all(label.lstrip("-").isdigit() for label in labels):
        if not any(item.captions for items, _ in sources for item in items):
            raise FormatError(
                f"the classes of {own['path']} are numbers ({', '.join(labels[:3])} …), which say nothing: name a file that "
                "says what they are with --classes FILE (JSON or CSV with id and name, or a name a line)"
            )
        notes.append("the classes are numbers without names: only the captions are used (--classes FILE names them)")
        labels = []
        sources = [([replace(item, label=None) for item in items], split) for items, split in sources]
    table = ClassTable(labels, classes)
    check = Checker(table, on_image, sum(len(items) for items, _ in sources))
    for items, split in sources:
        for item in items:
            check(item, split)
    pictures, stated = list(check.joined.values()), list(check.splits.values())
    if len(pictures) < LEAST_IMAGES:
        reasons = "; ".join(f"{key}: {reason}" for key, reason in check.skipped[:NAMED_SKIPS])
        raise FormatError(
            f"{own['path']} holds {len(pictures)} usable images of {check.total}, at least {LEAST_IMAGES} are needed"
            + (f". Left out: {reasons}" if reasons else "")
        )
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
        train, described, note = with_further_captions(train, table, root / own["further_captions"])
        table.classes[:] = described
        notes.append(note)
    return Pictures(train, dev, table.classes, check.skipped, notes)


class Checker:
    """Looks at every image once: usable, the same as another, or left out with a reason."""

    def __init__(self, table: ClassTable, on_image: Callable[[int, int], None] | None, total: int) -> None:
        self.table, self.on_image, self.total = table, on_image, total
        self.skipped: list[tuple[str, str]] = []
        self.joined: dict[str, Picture] = {}  # by the digest of the file: what all rows of one image say
        self.splits: dict[str, str | None] = {}  # by the same: what the first of them says
        self.done = 0

    def __call__(self, item: Item, split: str | None) -> None:
        """Take an image in, or leave it out with a reason."""
        self.done += 1
        if self.on_image is not None:
            self.on_image(self.done, self.total)
        if item.split == "test":
            return self.skip(item, "its split is test, which is neither learned from nor measured on")
        label = self.table.number_of(item.label) if item.label is not None else None
        if item.label is not None and label is None:
            return self.skip(item, f"its class {item.label!r} is not in the file of classes")
        if not item.captions and label is None:
            return self.skip(item, "nothing is said about it")
        try:
            data = item.load()
            look_at(data)
        except Exception as error:
            return self.skip(item, reason_of(item, error))
        digest = hashlib.sha256(data).hexdigest()
        old = self.joined.get(digest)
        said: list[str] = [*(old.captions if old else []), *item.captions]
        captions = list(dict.fromkeys(said))
        first = old.label if old is not None and old.label is not None else label
        self.joined[digest] = Picture(old.key if old else item.key, old.load if old else item.load, captions, first)
        self.splits.setdefault(digest, split or item.split)

    def skip(self, item: Item, reason: str) -> None:
        """Remember why."""
        self.skipped.append((item.key, reason))


def look_at(data: bytes) -> None:
    """Fails for what cannot be decoded; a JPEG is decoded small, which is enough to find that its end is missing."""
    with Image.open(io.BytesIO(data)) as image:
        if image.format in {"JPEG", "MPO"}:
            image.draft("RGB", SMALL)
            image.load()
            return
    decode(data)


def reason_of(item: Item, error: Exception) -> str:
    """Why an image cannot be used, as a sentence without the library's voice where the cause is known."""
    if isinstance(error, FileNotFoundError):
        return str(error)
    if item.key.lower().endswith((".heic", ".heif")):
        return "HEIC cannot be read here: save it as JPEG"
    if type(error).__name__ == "UnidentifiedImageError":
        return "it is no image, or in a format that cannot be read"
    return f"it cannot be decoded ({error})"


def chosen_for_dev(pictures: Sequence[Picture], share: float, seed: int) -> list[bool]:
    """Which images are measured on: of each class its share, at least one of three, in the order of a hash of the key."""
    order = sorted(range(len(pictures)), key=lambda n: hashlib.sha256(f"{seed}/{pictures[n].key}".encode()).hexdigest())
    groups: dict[int | None, list[int]] = {}
    for number in order:
        groups.setdefault(pictures[number].label, []).append(number)
    share = min(share, MOST_DEV / len(pictures))
    chosen: set[int] = set()
    for members in groups.values():
        chosen |= set(members[: max(round(share * len(members)), 1 if len(members) >= 3 and share > 0 else 0)])
    if not chosen:
        chosen = {order[0]}
    return [number in chosen for number in range(len(pictures))]


def with_further_captions(
    train: list[Picture], table: ClassTable, file: Path
) -> tuple[list[Picture], list[Class], str]:
    """Pictures with the captions of rows {key, captions}, classes with those of rows {label, captions}, and a sentence."""
    rows = read_rows(file)
    by_key = {str(row["key"]): texts_of(row.get("captions")) for row in rows if "key" in row}
    more = [
        replace(picture, captions=list(dict.fromkeys([*picture.captions, *by_key.get(picture.key, [])])))
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
    return json.dumps(
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
