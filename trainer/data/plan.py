"""The plan of `prepare`: sources become independent elements, each of which makes one shard of each split.

A tar is one element; a folder or a table is cut into parts of `shard_size` images. The plan depends on the recipe and the
user's files alone, so that every machine that works on a part of it makes the same one.
"""

import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from contracts.types import PrepareConfig
from data.doubles import hash64
from towers.formats.places import format_of
from towers.packed import is_gzip
from towers.patterns import files_of
from towers.samples import Sample, Source
from towers.shards import ImageLimits
from towers.sources import forget_files, read_samples, sources_of


@dataclass(frozen=True)
class Element:
    """One part of one source. `path` is relative to the data folder.

    Either `lines`, the bytes [start, end) of a JSON lines file, or `samples`, the numbers [first, end) of a file's images,
    or neither: the whole file.
    """

    number: int
    source: int
    path: str
    lines: tuple[int, int] | None = None
    samples: tuple[int, int] | None = None


@dataclass(frozen=True)
class Plan:
    """Everything that an element has to know, plain values only: it crosses to other processes."""

    data: Path
    sources: tuple[Source, ...]
    elements: tuple[Element, ...]
    limits: ImageLimits
    caption_chars: tuple[int, int]  # shortest, longest
    held_out: float  # the largest share of labels that a source holds out
    languages: frozenset[str] | None  # tags of captions to keep; None: all
    counts_languages: bool  # where the recipe speaks of languages
    hashes: bool  # whether difference hashes are wanted
    remote: str | None = None  # the folder that tars without content are copied from

    def samples(self, element: Element) -> Iterator[Sample]:
        """The samples of an element, in order."""
        source = self.sources[element.source]
        samples = read_samples(self.data / element.path, source, element.lines)
        return samples if element.samples is None else islice(samples, *element.samples)


def plan_of(data: Path, config: PrepareConfig, remote: str | None = None) -> Plan:
    """Cut the sources of a recipe into elements, in the order in which their rows will be."""
    forget_files()
    sources = tuple(sources_of(config["pairs"], data))
    elements: list[Element] = []
    for number, source in enumerate(sources):
        for file in files_of(data, source.path):
            path = file.relative_to(data).as_posix()
            for lines, samples in parts_of(file, source, config["shard_size"]):
                elements.append(Element(len(elements), number, path, lines, samples))
    return Plan(
        data=data,
        sources=sources,
        elements=tuple(elements),
        limits=ImageLimits(config["max_side"], config["min_side"], config["max_pixels"]),
        caption_chars=(config["min_caption_chars"], config["max_caption_chars"]),
        held_out=max((source.hold_out_labels for source in sources), default=0.0),
        languages=frozenset(config["languages"]) if "languages" in config else None,
        counts_languages="languages" in config or any(source.language is not None for source in sources),
        hashes=config.get("near_duplicates") is not None,
        remote=remote,
    )


Part = tuple[tuple[int, int] | None, tuple[int, int] | None]  # (lines, samples) of an element


def parts_of(file: Path, source: Source, size: int) -> list[Part]:
    """How a file is cut: not at all, at lines, or at numbers of images where parts cannot be found without reading it."""
    if source.format == "webdataset" or (source.format == "any" and format_of(file) == "tar"):
        return [(None, None)]
    if source.format in LINE_KEYS and format_of(file) == "jsonl" and not is_gzip(file):
        cuts = line_cuts(file, source, size)
        if cuts is not None:
            return [(cut, None) for cut in cuts]
    count = sum(1 for _ in read_samples(file, source))
    return [(None, (first, min(first + size, count))) for first in range(0, max(count, 1), size)]


# Formats whose files are JSON lines, with the column that says which image a row is about.
LINE_KEYS = {"jsonl": "image", "labelled": "key"}


def line_cuts(file: Path, source: Source, size: int) -> list[tuple[int, int]] | None:
    """Byte ranges of a JSON lines file with `size` images each; rows of one image that follow each other stay together.

    None where rows of one image lie apart: only who reads the whole file can join them. Holds 8 bytes an image.
    """
    starts, hashes = [0], array("Q")
    images, last = 0, object()
    with file.open("rb") as lines:
        position = 0
        for number, line in enumerate(lines, 1):
            if line.strip():
                name = name_in(file, number, line, source)
                if name != last:
                    hashes.append(hash64(str(name).encode("utf-8", "surrogatepass")))
                    if images and images % size == 0:
                        starts.append(position)
                    images, last = images + 1, name
            position += len(line)
    # Rows of labelled pictures are not joined: a key that comes again is dropped as a double.
    if source.format != "labelled" and len(np.unique(np.frombuffer(hashes, np.uint64))) < images:
        return None
    return list(zip(starts, [*starts[1:], position], strict=True))


def name_in(file: Path, number: int, line: bytes, source: Source) -> object:
    """The name of the image of a row; a line that is no object with its column is an error that says where."""
    settable = source.format != "labelled"
    column = source.image_column if settable and source.image_column else LINE_KEYS[source.format]
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file.name}, line {number}: not JSON ({error})") from error
    if not isinstance(row, dict) or column not in row:
        found = sorted(row) if isinstance(row, dict) else type(row).__name__
        setting = "; image_column of the source says which it is" if settable else ""
        raise ValueError(f"{file.name}, row {number}: no column '{column}' (has {found}){setting}")
    return row[column]
