"""Ranks of retrieval over many vectors, as `npm run evaluate` computes them: `python -m bench.million.evaluate FOLDER COUNT`.

Among several ranks it shares the work. Vectors are drawn by their number and kept in files; their numbers are whole, so that sums
are exact in any order and ties are many. A million against a million would take hours: one side is long, then the other.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch

from contracts.constants import EXIT_OK, FILE_REPORT
from engine.folders.files import write_atomically
from engine.world import World, end_process, join_world
from evaluation.progress import Progress
from evaluation.streaming.ranks import Place, Ranks, streamed_ranks
from evaluation.streaming.rows import Rows, stored_rows
from evaluation.suites.retrieval import recalls_of
from towers.metrics import retrieval_ranks

DIMS = 32
FEW = 1000  # vectors of the short side
SMALL = (1000, 5000)  # pictures and texts that are held against the whole matrix of similarities
AT_ONCE = 4096  # vectors that are drawn


class Drawn:
    """Vectors [N, E] of whole numbers, row by row from their number; a text is its picture's vector with some numbers exchanged."""

    def __init__(self, picture_of_N: np.ndarray, exchanged: int) -> None:
        self.picture_of_N, self.exchanged = picture_of_N, exchanged

    def begin(self, count: int) -> None:
        """Nothing has to be made ready."""

    def compute(self, start: int, end: int) -> np.ndarray:
        """[end - start, E]."""
        parts = [self.rows(at, min(at + AT_ONCE, end)) for at in range(start, end, AT_ONCE)]
        return np.concatenate(parts)

    def rows(self, start: int, end: int) -> np.ndarray:
        """Of some numbers."""
        vectors_NE = np.stack([drawn(0, number) for number in self.picture_of_N[start:end].tolist()])
        if self.exchanged:
            for row, number in enumerate(range(start, end)):
                vectors_NE[row, : self.exchanged] = drawn(1, number)[: self.exchanged]
        return vectors_NE


def drawn(stream: int, number: int) -> np.ndarray:
    """Whole numbers from -3 to 3 [E]."""
    digest = hashlib.shake_128(f"{stream}/{number}".encode()).digest(DIMS)
    return np.frombuffer(digest, np.uint8).astype(np.float32) % 7 - 3


class Said(Progress):
    """A line of JSON for the process that watches, as stages print them."""

    def __init__(self, *, quiet: bool, parts: int) -> None:
        super().__init__(quiet=quiet)
        self.parts, self.part = parts, 0

    def tick(self, done: int, total: int, what: str) -> None:
        """So much of this part, of all."""
        del what
        if not self.quiet:
            step = {"event": "progress", "step": self.part * 1000 + done * 1000 // total, "total": self.parts * 1000}
            print(json.dumps(step), flush=True)


def ranks_of(folder: Path, pictures: int, texts: int, place: Place) -> tuple[Ranks, tuple[Rows, Rows], np.ndarray]:
    """Ranks of so many pictures and texts; texts are spread over the pictures, of which some have none where texts are fewer."""
    picture_of_N = np.arange(texts, dtype=np.int64) * pictures // texts
    sides = [
        stored_rows(folder / name, len(of), np.float16, Drawn(of, exchanged), place.world)
        for name, of, exchanged in (("pictures", np.arange(pictures), 0), ("texts", picture_of_N, DIMS // 2))
    ]
    rows = (sides[0], sides[1])
    return streamed_ranks(*rows, picture_of_N, place), rows, picture_of_N


def check_small(folder: Path, place: Place) -> None:
    """Raise where the ranks of a small set are not those of the whole matrix."""
    found, (pictures, texts), picture_of_N = ranks_of(folder, *SMALL, place)
    scores_IN = torch.from_numpy(pictures.part(0, SMALL[0])) @ torch.from_numpy(texts.part(0, SMALL[1])).T
    of_image_I, of_text_N = retrieval_ranks(scores_IN, torch.from_numpy(picture_of_N))
    if found.of_image_I.tolist() != of_image_I.tolist() or found.of_text_N.tolist() != of_text_N.tolist():
        raise ValueError("the ranks of a small set are not those of the whole matrix of similarities")


def digest_of(ranks: Ranks) -> str:
    """Of every rank, and of what came first."""
    digest = hashlib.sha256()
    for array in (ranks.of_image_I, ranks.of_text_N, ranks.first_text_I, ranks.first_image_N):
        digest.update(np.ascontiguousarray(array, np.int64).tobytes())
    return digest.hexdigest()


def measured(folder: Path, count: int, world: World) -> dict[str, dict[str, float | str]]:
    """Figures of `count` pictures, then of `count` texts, and the digests of all ranks."""
    shapes = {"pictures": (count, FEW), "texts": (FEW, count)}
    progress = Said(quiet=not world.leads, parts=len(shapes) + 1)
    place = Place(world, progress)
    check_small(folder / "small", place)
    found: dict[str, dict[str, float | str]] = {}
    for progress.part, (name, shape) in enumerate(shapes.items(), 1):
        ranks, _, _ = ranks_of(folder / name, *shape, place)
        found[name] = {**recalls_of(ranks.of_image_I, ranks.of_text_N), "ranks": digest_of(ranks)}
    return found


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
