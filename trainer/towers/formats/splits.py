"""Which images data keep apart: by the words of a column, by folders, by the names of files."""

import re
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
