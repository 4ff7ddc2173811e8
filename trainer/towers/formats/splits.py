"""Which images data keep apart: by the words of a column, by folders, by the names of files."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SPLIT_NAMES = ["split", "subset", "partition"]
DEV_SPLITS = {"dev", "val", "valid", "validate", "validation", "eval", "evaluation", "development"}
TEST_SPLITS = {"test", "testing"}
SPLITS = {"train", "training", "restval", *DEV_SPLITS, *TEST_SPLITS}
# How the files of a split begin, as the hub of Hugging Face stores them: train-00000-of-00002.parquet, test.csv.
SPLIT_NAME = re.compile(rf"({'|'.join(sorted(SPLITS))})[-_.]", re.IGNORECASE)


def split_of(value: Any) -> str | None:
    """`train`, `dev` or `test`; None where nothing is said."""
    name = str(value).strip().lower() if value is not None else ""
    if name in DEV_SPLITS:
        return "dev"
    return "test" if name in TEST_SPLITS else ("train" if name in SPLITS else None)


def stated_splits(where: str, values: Sequence[Any]) -> tuple[list[str | None], list[str]]:
    """The split of each of a set's images or rows, and a sentence on words that are none.

    Beside known ones another word means images that somebody kept apart, so they are left alone as `test` is. Where no word is known,
    `where` speaks of something else.
    """
    splits = [split_of(value) for value in values]
    # NaN is not itself: pandas writes it where a cell is empty.
    words = ["" if value is None or value != value else str(value).strip() for value in values]
    other = Counter(word for word, split in zip(words, splits, strict=True) if word and split is None)
    if not other:
        return splits, []
    kept_apart = any(splits)
    named = ", ".join(f"'{word}' ({count} {'row' if count == 1 else 'rows'})" for word, count in other.most_common(3))
    more = f" and {len(other) - 3} other words" if len(other) > 3 else ""
    said = "these images are left alone, as those of test are" if kept_apart else "so it is not read as a split"
    note = f"{where} says {named}{more}, which is none of train, val and test: {said}"
    rest = "test" if kept_apart else None
    return [split or (rest if word else None) for word, split in zip(words, splits, strict=True)], [note]


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
