"""Whether the score of a search's top hit tells that nothing matches."""

import random

import torch

from evaluation.bench import Bench, Figures
from evaluation.sets.retrieval import FLICKR_ROWS, FLICKR_SHARD
from towers.labels import normalised_label
from towers.metrics import auc

PHOTOS = 256
QUERIES = 128
# Things that a photo shows or does not, unlike parts ("cheek") and qualities, which may be there without being named.
ABSENT_PREFIXES = ("animal-", "instr-", "tool-")
# The share of captions with their photo there that must still count as found.
FOUND = 0.9


def present_or_absent(bench: Bench) -> Figures:
    """256 photos, the first caption of each: the top hit's cosine with the photo in the set and without it (AUC).

    Nonsense and absent things are called absent where their top hit scores below that of 90 % of the captions.
    """
    all_rows = bench.rows(FLICKR_ROWS)
    # Vectors of all photos are kept together.
    rows, photos_IE = all_rows[:PHOTOS], bench.photos(FLICKR_SHARD, all_rows)[:PHOTOS]
    scores_NI = bench.texts([row["captions"][0] for row in rows]) @ photos_IE.T
    present_N = scores_NI.max(1).values
    absent_N = scores_NI.masked_fill(torch.eye(len(rows), dtype=torch.bool), float("-inf")).max(1).values
    least = present_N.quantile(1 - FOUND)

    def called_absent(queries: list[str]) -> float:
        top_N = (bench.texts(queries) @ photos_IE.T).max(1).values
        return (top_N < least).double().mean().item()

    words = {word for row in rows for caption in row["captions"] for word in normalised_label(caption).split()}
    return {
        "auc": auc(present_N, absent_N),
        "absent_refused": (absent_N < least).double().mean().item(),
        "nonsense_refused": called_absent(nonsense(random.Random(0), QUERIES)),
        "absent_things_refused": called_absent(absent_things(bench, words)),
    }


def nonsense(rng: random.Random, count: int) -> list[str]:
    """Words of random letters, one to three."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [
        " ".join("".join(rng.choices(letters, k=rng.randint(4, 9))) for _ in range(rng.randint(1, 3)))
        for _ in range(count)
    ]


def absent_things(bench: Bench, words: set[str]) -> list[str]:
    """Animals, instruments and tools of which no word occurs in any caption of the photos."""
    rows = bench.rows("images/objects.jsonl")
    labels = dict.fromkeys(normalised_label(row["label"]) for row in rows if row["key"].startswith(ABSENT_PREFIXES))
    absent = [label for label in labels if not {*label.split(), *(f"{word}s" for word in label.split())} & words]
    return [f"a photo of a {label}" for label in absent[:QUERIES]]
