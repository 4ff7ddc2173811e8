"""Which images data keep apart: by the words of a column, by folders, by the names of files."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from towers.formats.item import Found, Item

SPLIT_NAMES = ["split", "subset", "partition"]
DEV_SPLITS = {"dev", "val", "valid", "validate", "validation", "eval", "evaluation", "development"}
TEST_SPLITS = {"test", "testing"}
SPLITS = {"train", "training", "restval", *DEV_SPLITS, *TEST_SPLITS}
# Who keeps an image apart goes before who does not.
STRICTEST_FIRST = ["test", "dev", "train"]
# How the files of a split begin, as the hub of Hugging Face stores them: train-00000-of-00002.parquet, test.csv.
SPLIT_NAME = re.compile(rf"({'|'.join(sorted(SPLITS))})[-_.]", re.IGNORECASE)


def split_of(value: Any) -> str | None:
    """`train`, `dev` or `test`; None where nothing is said."""
    name = str(value).strip().lower() if value is not None else ""
    if name in DEV_SPLITS:
        return "dev"
    return "test" if name in TEST_SPLITS else ("train" if name in SPLITS else None)


def stated_split(where: str, value: Any) -> tuple[str | None, tuple[str, str] | None]:
    """`split` and `split_word` of an item of which `where` says this."""
    split = split_of(value)
    # NaN is not itself: pandas writes it where a cell is empty.
    word = "" if value is None or value != value else str(value).strip()
    return split, (where, word) if word and split is None else None


def strictest(splits: Iterable[str | None]) -> str | None:
    """The split of an image of which several are said."""
    return min((split for split in splits if split is not None), key=STRICTEST_FIRST.index, default=None)


def settled(parts: Sequence[Found]) -> list[Found]:
    """All parts of a set, with the words that are no split judged and a sentence on them.

    Beside known ones another word means images that somebody kept apart, so they are left alone as `test` is. Where no word is known,
    it speaks of something else.
    """
    items = [item for part in parts for item in part.items]
    words = [item.split_word for item in items if item.split_word is not None]
    if not words:
        return list(parts)
    kept_apart = any(item.split for item in items)
    other = Counter(word for _, word in words)
    wheres = list(dict.fromkeys(where for where, _ in words))
    where = f"{wheres[0]} and {len(wheres) - 1} like it say" if len(wheres) > 1 else f"{wheres[0]} says"
    named = ", ".join(
        f"'{word}' ({count} {'image' if count == 1 else 'images'})" for word, count in other.most_common(3)
    )
    more = f" and {len(other) - 3} other words" if len(other) > 3 else ""
    said = "these images are left alone, as those of test are" if kept_apart else "so it is not read as a split"
    note = f"{where} {named}{more}, which is none of train, val and test: {said}"

    def judged(item: Item) -> Item:
        if item.split_word is None:
            return item
        return replace(item, split="test" if kept_apart else item.split, split_word=None)

    changed = [replace(part, items=[judged(item) for item in part.items]) for part in parts]
    return [*changed[:-1], replace(changed[-1], notes=[*changed[-1].notes, note])]


def split_in_name(file: Path) -> str | None:
    """The split that the first word of a file's name says."""
    found = SPLIT_NAME.match(file.name)
    return split_of(found[1]) if found else None


def split_depth(images: Sequence[Path], root: Path) -> int | None:
    """Below how many folders all images lie in one that is called like a split: data/train/rose/1.jpg, rose/train/1.jpg."""
    ways = [file.relative_to(root).parts[:-1] for file in images]
    for depth in range(max(map(len, ways))):
        if all(len(way) > depth and way[depth].lower() in SPLITS for way in ways):
            return depth
    return None
