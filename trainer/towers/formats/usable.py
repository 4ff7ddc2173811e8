"""Looks at every image of a user once: usable, the same file as another, or left out with a reason."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from towers.formats.classes import ClassTable
from towers.formats.item import Item, NoBytesError
from towers.preprocess import decode, opened

SMALL = (64, 64)  # a JPEG is decoded to about this when it is only checked
NAMED_KINDS, NAMED_ALIKE = 5, 5


@dataclass(frozen=True)
class Picture:
    """One usable image; `label` is the number of its class."""

    key: str
    load: Callable[[], bytes]
    captions: list[str]
    label: int | None


class Checker:
    """Takes images in by the digest of their files, and remembers why others were left out."""

    def __init__(self, table: ClassTable, on_image: Callable[[int, int], None] | None, total: int) -> None:
        self.table, self.on_image, self.total = table, on_image, total
        self.skipped: list[tuple[str, str]] = []
        self.equal: list[tuple[str, str]] = []  # (key, that of the same file before)
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
        if split == "train" and item.split == "dev":
            return self.skip(item, "the data keep it for measuring, and --dev says what is measured on")
        split = split or item.split
        label = self.table.number_of(item.label) if item.label is not None else None
        if item.label is not None and label is None:
            known = ", ".join(each.name for each in self.table.classes[:NAMED_ALIKE])
            return self.skip(item, f"its class {item.label!r} is not in the file of classes (it has {known} …)")
        if not item.captions and label is None:
            return self.skip(item, "nothing is said about it")
        try:
            data = item.load()
            look_at(data)
        except Exception as error:
            return self.skip(item, reason_of(item, error))
        digest = hashlib.sha256(data).hexdigest()
        old = self.joined.get(digest)
        if old is None:
            self.joined[digest] = Picture(item.key, item.load, list(dict.fromkeys(item.captions)), label)
            self.splits[digest] = split
            return None
        if split == "dev" and self.splits[digest] != "dev":
            return self.skip(item, f"it is the same file as {old.key}, which is learned from")
        if None not in (label, old.label) and label != old.label:
            name = self.table.classes[old.label or 0].name
            return self.skip(item, f"it is the same file as {old.key}, which is of the class {name}")
        self.equal.append((item.key, old.key))
        captions = list(dict.fromkeys([*old.captions, *item.captions]))
        self.joined[digest] = Picture(old.key, old.load, captions, label if old.label is None else old.label)
        return None

    def skip(self, item: Item, reason: str) -> None:
        """Remember why."""
        self.skipped.append((item.key, reason))

    def equal_files(self) -> str:
        """How many files were stored more than once, as a sentence."""
        key, before = self.equal[0]
        return f"{len(self.equal)} files are the same as others and count once with them, such as {key} and {before}"


def reasons(skipped: Sequence[tuple[str, str]]) -> str:
    """What was left out: of each kind one with its reason, and some of those like it."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for key, reason in skipped:
        # What stands in brackets, a path and the name of another file are of the image, not of the kind.
        kinds.setdefault(re.sub(r" \(.*\)| (file|as) \S.*?(?=,|$)|'.*'", "", reason), []).append((key, reason))
    said = []
    for (key, reason), *others in list(kinds.values())[:NAMED_KINDS]:
        names = ", ".join(name for name, _ in others[:NAMED_ALIKE])
        more = f" and {len(others) - NAMED_ALIKE} more" if len(others) > NAMED_ALIKE else ""
        said.append(f"{key}: {reason}" + (f" ({len(others)} like it: {names}{more})" if others else ""))
    more = len(kinds) - NAMED_KINDS
    return "; ".join(said) + (f"; and {more} reasons more" if more > 0 else "")


def look_at(data: bytes) -> None:
    """Fails for what `decode` refuses; a JPEG is decoded small, which is enough to find that its end is missing."""
    with opened(data) as image:
        if image.format in {"JPEG", "MPO"}:
            image.draft("RGB", SMALL)
            image.load()
            return
    decode(data)


def reason_of(item: Item, error: Exception) -> str:
    """Why an image cannot be used, as a sentence without the library's voice where the cause is known."""
    if isinstance(error, FileNotFoundError | NoBytesError):
        return str(error)
    if isinstance(error, PermissionError):
        return "it must not be read by this user"
    if item.key.lower().endswith((".heic", ".heif")):
        return "HEIC cannot be read here: save it as JPEG"
    if type(error).__name__ == "UnidentifiedImageError":
        return "it is no image, or in a format that cannot be read"
    return f"it cannot be decoded ({error})"
