"""Writes synthetic pairs as WebDataset tars: tiny drawn pictures with real captions, as many as are asked for.

A few thousand pictures are encoded once. Every pair gets the bytes of one of them with its own key as the JPEG's comment: the
same picture in other bytes, which `prepare` does not take for a double. A smaller set is the first tars of a larger one.
"""

import gzip
import io
import json
import os
import random
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image, ImageDraw

PAIRS_PER_TAR = 10_000
DEV_PAIRS = 500
PICTURES = 4096  # that are drawn
SIDE = 32
CAPTIONS = 200_000  # different ones at most
BLOCK = 512  # of a tar


def tar_names(pairs: int) -> list[str]:
    """The tars of a set, relative to the folder of the data."""
    return [f"train/{number:05d}.tar" for number in range(-(-pairs // PAIRS_PER_TAR))]


def write_pairs(folder: Path, captions_file: Path, pairs: int, tick: Callable[[int, int], None]) -> None:
    """Write what is missing; a tar has its name only when it is whole. `tick` gets the tars that are there, and of how many."""
    names = [*tar_names(pairs), "dev/00000.tar"]
    missing = [name for name in names if not (folder / name).exists()]
    if not missing:
        return
    captions = list(read_captions(captions_file, CAPTIONS))
    pictures = [drawn(number) for number in range(PICTURES)]
    for place, name in enumerate(missing):
        tick(len(names) - len(missing) + place, len(names))
        first = int(Path(name).stem) * PAIRS_PER_TAR
        is_dev = name.startswith("dev/")
        count = DEV_PAIRS if is_dev else min(PAIRS_PER_TAR, pairs - first)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        temporary = (folder / name).with_suffix(".tmp")
        with temporary.open("wb") as out:
            for number in range(first, first + count):
                key = f"{'d' if is_dev else 't'}{number:09d}"
                out.write(member(f"{key}.jpg", with_comment(pictures[number % PICTURES], key)))
                # Another caption for the same picture each time it comes again.
                out.write(member(f"{key}.txt", captions[number % len(captions)].encode()))
            out.write(bytes(2 * BLOCK))
        os.replace(temporary, folder / name)


def read_captions(file: Path, limit: int) -> Iterator[str]:
    """Captions of a file of caption groups, in its order."""
    count = 0
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            for caption in json.loads(line)["captions"]:
                if count == limit:
                    return
                count += 1
                yield " ".join(caption.split())


def drawn(number: int) -> bytes:
    """The JPEG of a picture: a shape on a ground, in the colours and places of its number."""
    rng = random.Random(number)
    image = Image.new("RGB", (SIDE, SIDE), colour(rng))
    draw = ImageDraw.Draw(image)
    for shape in (draw.ellipse, draw.rectangle):
        left, top = rng.randrange(SIDE // 2), rng.randrange(SIDE // 2)
        shape((left, top, left + rng.randrange(6, SIDE // 2), top + rng.randrange(6, SIDE // 2)), fill=colour(rng))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def colour(rng: random.Random) -> tuple[int, int, int]:
    """Any."""
    return rng.randrange(256), rng.randrange(256), rng.randrange(256)


def with_comment(jpeg: bytes, text: str) -> bytes:
    """The same JPEG with a comment right after its start (marker FFFE, two bytes of length that count themselves)."""
    comment = text.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment + jpeg[2:]


def member(name: str, data: bytes) -> bytes:
    """A file of a tar, in whole blocks."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % BLOCK)
