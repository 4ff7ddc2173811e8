"""Whether the score of a search's top hit tells that nothing matches."""

import random

import torch

from evaluation.bench import Bench, Figures, Judging
from evaluation.sets.retrieval import FLICKR_ROWS, FLICKR_SHARD
from towers.labels import normalised_label
from towers.metrics import auc

PHOTOS = 256
QUERIES = 128
# Things that a photo shows or does not, unlike parts ("cheek") and qualities, which may be there without being named.
ABSENT_PREFIXES = ("animal-", "instr-", "tool-")
# The share of captions with their photo there that must still count as found.
FOUND = 0.9
# The share of a photo's captions that must name a thing for it to be there: one person may see what nobody else does.
AGREED = 0.5
THINGS = ("images/objects.jsonl", "images/nouns.jsonl")


def present_or_absent(bench: Bench) -> Figures:
    """256 photos, the first caption of each: the top hit's cosine with the photo in the set and without it (AUC).

    What is called absent is what the model's own verdict says, as it is served; of a model without one, what scores below
    90 % of the captions. Absent things are such as no caption names, present ones are named by most captions of a photo.
    `things_auc` compares the two kinds.
    """
    all_rows = bench.rows(FLICKR_ROWS)
    # Vectors of all photos are kept together.
    rows, photos_IE = all_rows[:PHOTOS], bench.photos(FLICKR_SHARD, all_rows)[:PHOTOS]
    first = [row["captions"][0] for row in rows]
    scores_NI = bench.texts(first) @ photos_IE.T
    present_N = scores_NI.max(1).values
    absent_N = scores_NI.masked_fill(torch.eye(len(rows), dtype=torch.bool), float("-inf")).max(1).values
    least = present_N.quantile(1 - FOUND)

    def top_hits(queries: list[str]) -> torch.Tensor:
        return (bench.texts(queries) @ photos_IE.T).max(1).values

    def called_absent(queries: list[str], top_N: torch.Tensor) -> float:
        tier = bench.tier
        told_N = tier.called_absent(queries, top_N.numpy(), len(rows)) if isinstance(tier, Judging) else None
        return float((top_N < least).double().mean() if told_N is None else told_N.mean())

    captions = [[normalised_label(caption) for caption in row["captions"]] for row in rows]
    words = {word for of_photo in captions for caption in of_photo for word in caption.split()}
    letters = nonsense(random.Random(0), QUERIES)
    absent_names, present_names = absent_things(bench, words), present_things(bench, captions)
    absent_things_N, present_things_N = top_hits(absent_names), top_hits(present_names)
    return {
        "auc": auc(present_N, absent_N),
        "present_called_absent": called_absent(first, present_N),
        "absent_called_absent": called_absent(first, absent_N),
        "nonsense_called_absent": called_absent(letters, top_hits(letters)),
        "absent_things_called_absent": called_absent(absent_names, absent_things_N),
        "present_things_called_absent": called_absent(present_names, present_things_N),
        "things_auc": auc(present_things_N, absent_things_N),
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


def present_things(bench: Bench, captions: list[list[str]]) -> list[str]:
    """Labelled things that more than half of some photo's captions name; `captions`: of every photo, normalised."""
    labels = dict.fromkeys(normalised_label(row["label"]) for file in THINGS for row in bench.rows(file))

    def is_named(label: str, caption: str) -> bool:
        return any(f" {name} " in f" {caption} " for name in (label, f"{label}s"))

    def is_there(label: str) -> bool:
        return any(
            sum(is_named(label, caption) for caption in of_photo) > AGREED * len(of_photo) for of_photo in captions
        )

    return [f"a photo of a {label}" for label in labels if is_there(label)]
