"""Evaluation of many pairs in a folder, as `npm run evaluate -- --suite captions=FOLDER --sample 1000 --html FILE` does it.

    python -m bench.million.evaluate FOLDER COUNT

Among several ranks it shares the work. The folder, the reader, the lists, the files of vectors, the ranks and the page are those of
the command; the vectors themselves are drawn by number, in whole numbers, so that sums are exact in any order and ties are many.
"""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from contracts.constants import EXIT_OK, FILE_REPORT
from engine.folders.files import write_atomically
from engine.world import World, end_process, join_world
from evaluation.layouts.captioned import own
from evaluation.layouts.items import Captioned, Picture
from evaluation.progress import Progress
from evaluation.streaming.encoder import Encoder, Settings
from evaluation.streaming.rows import Rows
from evaluation.suites.outcome import Outcome
from evaluation.suites.page import render
from evaluation.suites.retrieval import captions, recalls_of
from towers.metrics import retrieval_ranks

DIMS = 32
SAMPLE = 1000  # pictures and texts that are ranked, each among all
SMALL = 2000  # pairs that are held against the whole matrix of similarities
LINKS = 10_000  # names of one file: file systems bound them
PHASES = 5  # what is counted one after the other: vectors of both sides, ranks of a small and of the large set
DONE = "written"


class Drawn:
    """Vectors [N, E] of pictures, whole numbers from -3 to 3 by the picture's number; what a text lacks of its picture's is drawn anew."""

    key = space = "drawn"

    def __init__(self, count: int = 0) -> None:
        self.count = count

    def __len__(self) -> int:
        """How many pictures there are."""
        return self.count

    def begin(self, count: int) -> None:
        """Nothing has to be made ready."""

    def compute(self, start: int, end: int) -> np.ndarray:
        """[end - start, E]."""
        return np.stack([drawn(0, number) for number in range(start, end)])

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """[N, E] of texts by the number that they name."""
        numbers = [int(text.split()[1]) for text in texts]
        half = DIMS // 2
        return np.stack([np.concatenate([drawn(1, each)[:half], drawn(0, each)[half:]]) for each in numbers])


def drawn(stream: int, number: int) -> np.ndarray:
    """Whole numbers from -3 to 3 [E]."""
    digest = hashlib.shake_128(f"{stream}/{number}".encode()).digest(DIMS)
    return np.frombuffer(digest, np.uint8).astype(np.float32) % 7 - 3


class DrawnEncoder(Encoder):
    """The command's encoder, which asks every picture's file for its state, and draws the vector by the picture's number."""

    def pictures(self, pictures: Sequence[Picture]) -> Rows:
        """[I, E]."""
        return self._stored(Drawn.space, (picture.identity() for picture in pictures), Drawn(len(pictures)))


class Said(Progress):
    """A line of JSON for the process that watches, as stages print them."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self.phase, self.at = ("", 0), 0

    def tick(self, done: int, total: int, what: str) -> None:
        """So much of this phase, of all."""
        if self.phase != (what, total):
            self.phase, self.at = (what, total), self.at + 1
        if not self.quiet:
            step = min(PHASES, self.at) * 1000 - 1000 + done * 1000 // total
            print(json.dumps({"event": "progress", "step": step, "total": PHASES * 1000}), flush=True)


def written(folder: Path, count: int, world: World) -> Path:
    """A folder of `count` pictures with a caption each, as users have one: a name for each picture, a file for each ten thousand names."""
    if world.leads and not (folder / DONE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "captions.jsonl").open("w", encoding="utf-8") as out:
            for number in range(count):
                name = f"pictures/{number // 1000:04}/{number:07}.jpg"
                place(folder / name, folder / f"{number // LINKS:04}.jpg", number)
                text = f"picture {number} of many, with some words more about what is to be seen in it"
                out.write(json.dumps({"image": name, "caption": text}) + "\n")
        (folder / DONE).touch()
    world.wait()
    return folder


def place(name: Path, file: Path, number: int) -> None:
    """Give a file one more name."""
    if not file.exists():
        Image.new("RGB", (8, 8), (number // LINKS % 256, 0, 0)).save(file)
    name.parent.mkdir(parents=True, exist_ok=True)
    name.unlink(missing_ok=True)
    name.hardlink_to(file)


def check_small(found: Captioned, encoder: Encoder) -> None:
    """Raise where the figures of a small set are not those of the whole matrix."""
    pictures_IE = torch.from_numpy(encoder.pictures(found.pictures).part(0, SMALL))
    texts_NE = torch.from_numpy(encoder.texts(found.texts).part(0, SMALL))
    slow = recalls_of(
        *(rank.numpy() for rank in retrieval_ranks(pictures_IE @ texts_NE.T, torch.tensor(found.picture_of)))
    )
    fast = captions(found, encoder).figures
    if {name: fast[name] for name in slow} != slow:
        raise ValueError("figures of a small set are not those of the whole matrix of similarities")


def digest_of(outcome: Outcome) -> str:
    """Of every rank, and of what came first."""
    digest = hashlib.sha256()
    for queries in outcome.queries.values():
        for array in (queries.rank_Q, queries.first_Q):
            digest.update(np.ascontiguousarray(array, np.int64).tobytes())
    return digest.hexdigest()


def measured(folder: Path, count: int, world: World) -> dict[str, dict[str, float | str]]:
    """Figures of `count` pairs, and the digest of all ranks that were asked for; writes the page."""
    settings = Settings(folder / "kept", world=world, progress=Said(quiet=not world.leads))
    model: Any = Drawn()
    encoder = DrawnEncoder(model, Drawn(), settings)
    check_small(own(written(folder / "small", SMALL, world)), encoder)
    found = own(written(folder / "data", count, world))
    outcome = captions(found, replace(encoder, settings=replace(settings, sample=SAMPLE)))
    if world.leads:
        page = render([("captions", "pairs that are drawn", {"drawn": outcome}, list(outcome.figures))])
        write_atomically(folder / "page.html", page)
    return {"pairs": {**outcome.figures, "ranks": digest_of(outcome)}}


def main() -> None:
    """Measure; the first rank writes the report."""
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    world = join_world()
    found = measured(folder, count, world)
    if world.leads:
        write_atomically(folder / FILE_REPORT, json.dumps(found, indent=1))
    end_process(world, EXIT_OK)


if __name__ == "__main__":
    main()
