"""Captions in many languages: Multi30k, Crossmodal-3600, and Chinese captions of Flickr30k and COCO; pairs of sentences (STS)."""

import math
import re
from array import array
from collections.abc import Callable
from pathlib import Path

from evaluation.layouts.captioned import COCO_FOLDERS, FLICKR_FOLDERS, joined, some
from evaluation.layouts.files import WrongLayout, first_file, picture_in, read_jsonl, read_lines, texts_in, value_of
from evaluation.layouts.items import Captioned, PictureList, ScoredPairs
from evaluation.streaming.lists import TextList

ByLanguage = dict[str, Captioned]
TEST_2016 = "test_2016_flickr"
CHINESE = "zh"
# `1007129816`, `1007129816.jpg` or `COCO_val2014_000000000042`, perhaps with `#` and the caption's number, then the caption.
CHINESE_LINE = re.compile(r"(?P<key>[^\s#]+?)(?:\.jpg)?(?:#\S*)?\s+(?P<text>\S.*)")
STS_COLUMNS = 7  # genre, file, year, number, score, both sentences


def multi30k(folder: Path) -> ByLanguage:
    """Multi30k's repository, or its files of the split alone: `test_2016_flickr.LANGUAGE`, a line for each picture of its list."""
    listed = f"{TEST_2016}.txt"
    places = (Path("data", "task1", "image_splits"), Path("image_splits"), Path())
    names = read_lines(first_file(folder, [str(place / listed) for place in places]))
    pictures = PictureList(picture_in(folder, FLICKR_FOLDERS, name.strip()) for name in names)
    found: ByLanguage = {}
    for place in (Path("data", "task1", "raw"), Path("raw"), Path()):
        for file in sorted((folder / place).glob(f"{TEST_2016}.*")):
            language = file.name.split(".")[1]
            if language == "txt" or language in found:
                continue
            texts = read_lines(file)
            if len(texts) != len(pictures):
                raise WrongLayout(f"{file} has {len(texts)} lines for {len(pictures)} pictures")
            found[language] = joined(Captioned(pictures, TextList(texts), array("q", range(len(pictures)))))
    if not found:
        raise WrongLayout(f"{folder} holds no {TEST_2016}.LANGUAGE in data/task1/raw, in raw or in itself")
    return found


def crossmodal(*, first_alone: bool) -> Callable[[Path], ByLanguage]:
    """Crossmodal-3600: `captions.jsonl` with {"image/key", LANGUAGE: {"caption": [...]}} a line, pictures KEY.jpg."""

    def read(folder: Path) -> ByLanguage:
        file = first_file(folder, ("captions.jsonl", "xm3600/captions.jsonl"))
        found: ByLanguage = {}
        for row in read_jsonl(file):
            key = value_of(row, "image/key", file)
            picture = picture_in(file.parent, ("images", ""), f"{key}.jpg")
            for language, given in row.items():
                if isinstance(given, dict) and given.get("caption"):
                    found.setdefault(language, Captioned()).add(picture, texts_in(given, "caption", file))
        if not found:
            raise WrongLayout(f"{file} has no row with a language's captions")
        return {language: joined(of_language, 1 if first_alone else None) for language, of_language in found.items()}

    return read


def flickr30k_cn(folder: Path) -> ByLanguage:
    """Chinese captions of Flickr30k's test photos: `flickr30k_cn_test.txt`, a picture's number and a caption a line."""
    file = first_file(folder, ("flickr30k_cn_test.txt", "test/flickr30k_cn_test.txt"))
    return {CHINESE: chinese(folder, file, FLICKR_FOLDERS)}


def coco_cn(folder: Path) -> ByLanguage:
    """COCO-CN: the test split's pictures in `coco-cn_test.txt`, captions in `imageid.human-written-caption.txt`."""
    file = first_file(folder, ("imageid.human-written-caption.txt", "*/imageid.human-written-caption.txt"))
    split = {line.strip().removesuffix(".jpg") for line in read_lines(first_file(file.parent, ("coco-cn_test.txt",)))}
    return {CHINESE: chinese(folder, file, (*COCO_FOLDERS, "train2014", "images/train2014", "images/val2014"), split)}


def chinese(folder: Path, file: Path, folders: tuple[str, ...], split: set[str] | None = None) -> Captioned:
    """The captions of a file by picture, of the pictures of a split (None: of all)."""
    by_key: dict[str, list[str]] = {}
    for number, line in enumerate(read_lines(file), 1):
        match = CHINESE_LINE.fullmatch(line.strip())
        if match is None:
            raise WrongLayout(f"{file}, line {number} is no picture's number and a caption")
        if split is None or match["key"] in split:
            by_key.setdefault(match["key"], []).append(match["text"])
    silent = sorted((split or set()) - set(by_key))
    if silent:
        raise WrongLayout(f"{file} has no caption of {len(silent)} pictures of the split, for instance {silent[0]}")
    found = Captioned()
    for key, texts in by_key.items():
        found.add(picture_in(folder, folders, f"{key}.jpg"), texts)
    return some(found, file)


def sts_benchmark(folder: Path) -> ScoredPairs:
    """STS Benchmark's `sts-test.csv`: seven columns between tabs, of which the last three are the score and both sentences."""
    file = first_file(folder, ("sts-test.csv", "stsbenchmark/sts-test.csv"))
    found = ScoredPairs([], [], [])
    for number, line in enumerate(read_lines(file), 1):
        columns = line.split("\t")
        try:
            score = float(columns[4])
        except (IndexError, ValueError):
            score = None
        if score is None or not math.isfinite(score) or len(columns) < STS_COLUMNS:
            raise WrongLayout(f"{file}, line {number}: expected {STS_COLUMNS} columns between tabs, the fifth a number")
        found.score.append(score)
        found.first.append(columns[5])
        found.second.append(columns[6])
    return found
