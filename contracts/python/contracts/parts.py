"""Which part of what a stage wrote a file belongs to, by its path in the stage's folder: a job names the parts that it reads.

contracts/src/training/parts.ts says what the parts are.
"""

import re
from collections.abc import Iterable

from contracts.constants import FILE_JOB, FILE_SHARDS

# By stage whose folder has parts, the key of a job that names some.
PARTED = {"prepare": "prepared", "embed_captions": "embedded"}
# The file that belongs to no part: it says which files there are, or who the teachers were.
OF_ALL = {"prepare": FILE_SHARDS, "embed_captions": FILE_JOB}


def part_of(file: str, stage: str = "prepare") -> str:
    """The part of a file of `prepare` or `embed_captions`."""
    return part_of_prepared(file) if stage == "prepare" else part_of_embedded(file)


def part_of_prepared(file: str) -> str:
    """Images of a split, the rows of all of them, class images, or a kind of text."""
    if file.endswith(".tar"):  # that of the class images keeps the name of the user's archive
        images = re.fullmatch(r"pairs\.(\w+)-\d+\.tar", file)
        return "class_images" if images is None else f"images.{images[1]}"
    stem = re.sub(r"(-\d+)?\.jsonl?$", "", file)
    return "pairs" if stem.startswith("pairs.") else stem


def part_of_embedded(file: str) -> str:
    """Captions or features of a set of texts; those of the images' captions are in a folder of their own."""
    folder, _, name = file.rpartition("/")
    return f"features.{folder}" if folder else re.sub(r"\.(jsonl|safetensors)$", "", name)


def is_read(file: str, stage: str, parts: Iterable[str]) -> bool:
    """Whether a job that names these parts may read a file."""
    return file == OF_ALL[stage] or part_of(file, stage) in parts
