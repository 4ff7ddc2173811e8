"""Texts against texts: translations, graded similarity, typing errors."""

import random
import re

import torch

from evaluation.bench import Bench, Figures
from evaluation.sets.retrieval import FLICKR_ROWS, FLICKR_SHARD
from towers.languages import translation_recalls
from towers.metrics import recall_at, spearman, target_ranks
from towers.text_noise import NEIGHBOURS

MULTI30K = ("text/multi30k-en-de-fr-cs.dev.jsonl.gz", "text/multi30k-more.dev.jsonl.gz")
LANGUAGES = ("de", "fr", "cs", "pt", "es", "uk", "ar", "zh")
STSB = "text/stsb.dev.jsonl.gz"
FRAGMENT_WORDS = (2, 3, 4)
MIN_TYPED_LETTERS = 4


def translations(bench: Bench) -> Figures:
    """R@1 of each language's caption among all English captions; equal English captions are one."""
    rows = [first | second for first, second in zip(*(bench.rows(path) for path in MULTI30K), strict=True)]
    return {f"{language}_R@1": recall for language, recall in translation_recalls(rows, bench.texts).items()}


def similarity(bench: Bench) -> Figures:
    """Spearman's correlation of cosines with people's judgement."""
    rows = bench.rows(STSB)
    a_NE, b_NE = (bench.texts([row[side] for row in rows]) for side in ("a", "b"))
    return {"spearman": spearman((a_NE * b_NE).sum(1), torch.tensor([row["score"] for row in rows]))}


def typing_errors(bench: Bench) -> Figures:
    """A fragment of a dev caption with one typing error finds the same fragment, rightly written, among all of them.

    `photo_R@10` and `typed_photo_R@10`: the fragment finds its photo, without and with the error.
    """
    rows = bench.rows(FLICKR_ROWS)
    rng = random.Random(0)
    right, typed, photo = [], [], []
    for number, row in enumerate(rows):
        fragment = fragment_of(row["captions"][0], rng)
        wrong = fragment and mistyped(fragment, rng)
        if fragment and wrong and fragment not in right:
            right.append(fragment)
            typed.append(wrong)
            photo.append(number)
    right_NE, typed_NE = bench.texts(right), bench.texts(typed)
    photos_IE = bench.photos(FLICKR_SHARD, rows)
    ranks = {
        "R@1": (target_ranks(typed_NE @ right_NE.T, torch.arange(len(right))), 1),
        "photo_R@10": (target_ranks(right_NE @ photos_IE.T, torch.tensor(photo)), 10),
        "typed_photo_R@10": (target_ranks(typed_NE @ photos_IE.T, torch.tensor(photo)), 10),
    }
    found = {name: recall_at(rank_N, k) for name, (rank_N, k) in ranks.items()}
    return found | {"cosine": (right_NE * typed_NE).sum(1).mean().item()}


def fragment_of(caption: str, rng: random.Random) -> str | None:
    """Two to four neighbouring words; None where the caption is shorter."""
    words = re.findall(r"[a-z]+", caption.lower())
    count = rng.choice(FRAGMENT_WORDS)
    if len(words) < count:
        return None
    start = rng.randrange(len(words) - count + 1)
    return " ".join(words[start : start + count])


def mistyped(fragment: str, rng: random.Random) -> str | None:
    """One of its longer words with letters swapped, one left out, one doubled or the key beside it."""
    words = fragment.split()
    places = [number for number, word in enumerate(words) if len(word) >= MIN_TYPED_LETTERS]
    if not places:
        return None
    place = rng.choice(places)
    word = words[place]
    at = rng.randrange(1, len(word) - 1)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    missing = word[:at] + word[at + 1 :]
    doubled = word[: at + 1] + word[at:]
    beside = word[:at] + rng.choice(NEIGHBOURS[word[at]]) + word[at + 1 :]
    words[place] = rng.choice([wrong for wrong in (swapped, missing, doubled, beside) if wrong != word])
    return " ".join(words)
