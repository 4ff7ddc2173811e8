"""Which part of what `prepare` wrote a file belongs to: contracts/src/training/prepared.ts says what the parts are."""

import re


def part_of(file: str) -> str:
    """The part of a file, by its path in the folder of `prepare`: images, their rows, class images, or a kind of text."""
    if file.endswith(".tar"):  # that of the class images keeps the name of the user's archive
        return "images" if file.startswith("pairs.") else "class_images"
    stem = re.sub(r"(-\d+)?\.jsonl?$", "", file)
    return "pairs" if stem.startswith("pairs.") else stem
