"""Pairs of texts that differ in order or by a negation, of which one fits the photo."""

import re
from collections.abc import Sequence

import torch

from evaluation.bench import Bench, Figures
from evaluation.sets.retrieval import FLICKR_ROWS, FLICKR_SHARD

COLOURS = (
    "red",
    "blue",
    "green",
    "yellow",
    "black",
    "white",
    "brown",
    "orange",
    "pink",
    "purple",
    "grey",
    "gray",
    "tan",
)
WHO = (
    "man",
    "woman",
    "boy",
    "girl",
    "dog",
    "child",
    "baby",
    "lady",
    "men",
    "women",
    "boys",
    "girls",
    "dogs",
    "children",
)
TIE = 1e-5
# What is asked for, and the words that tell that it is there.
ASKED = {
    "a dog": ("dog", "dogs", "puppy", "puppies", "greyhound", "greyhounds", "poodle", "collie", "terrier"),
    "people": ("person", "people", "man", "men", "woman", "women", "boy", "boys", "girl", "girls", "child", "children",
               "kid", "kids", "baby", "lady", "player", "players", "someone", "guy", "he", "she", "they", "him", "her"),
    "water": ("water", "ocean", "sea", "lake", "river", "pool", "wave", "waves", "stream", "puddle", "beach", "swimming"),
    "snow": ("snow", "snowy", "snowboarder", "snowboard", "skier", "ski", "skiing", "sled", "ice"),
    "a ball": ("ball", "balls", "football", "soccer", "basketball", "baseball", "tennis", "volleyball", "rugby"),
    "grass": ("grass", "grassy", "lawn", "field", "meadow"),
}  # fmt: skip


def minimal_pairs(bench: Bench) -> Figures:
    """Share of photos whose right caption scores above the one with two words swapped, and of right answers to negations."""
    rows = bench.rows(FLICKR_ROWS)
    photos_IE = bench.photos(FLICKR_SHARD, rows)
    found: Figures = {}
    for name, words in (("colours_swapped", COLOURS), ("who_swapped", WHO)):
        pairs = [
            (number, caption, wrong)
            for number, row in enumerate(rows)
            for caption in row["captions"]
            if (wrong := swapped(caption, words)) is not None
        ]
        if not pairs:
            continue
        numbers, right, wrong = zip(*pairs, strict=True)
        chosen_PE = photos_IE[list(numbers)]
        right_P, wrong_P = ((bench.texts(texts) * chosen_PE).sum(1) for texts in (right, wrong))
        # A sum of the same words in another order differs in its last digits: that is a tie.
        found |= {name: (right_P > wrong_P + TIE).double().mean().item(), f"{name}_pairs": len(pairs)}
    return found | {"negation": negation(bench, photos_IE, [words_of(row["captions"]) for row in rows])}


def negation(bench: Bench, photos_IE: torch.Tensor, words_of_I: list[set[str]]) -> float:
    """Of "a photo with X" and "a photo without X" the right one scores higher; photos with and without X weigh the same."""
    shares = []
    for thing, signs in ASKED.items():
        with_2E = bench.texts([f"a photo with {thing}", f"a photo without {thing}"])
        margin_I = photos_IE @ with_2E[0] - photos_IE @ with_2E[1]
        is_there_I = torch.tensor([bool(words & set(signs)) for words in words_of_I])
        if is_there_I.all() or not is_there_I.any():
            continue
        shares += [(margin_I[is_there_I] > 0).double().mean(), (margin_I[~is_there_I] < 0).double().mean()]
    return torch.stack(shares).mean().item()


def words_of(captions: Sequence[str]) -> set[str]:
    """Of all captions, in lower case."""
    return {word for caption in captions for word in re.findall(r"[a-z]+", caption.lower())}


def swapped(caption: str, words: Sequence[str]) -> str | None:
    """The caption with its two different words of the list in each other's place.

    None where there are not exactly two, or where "and" joins them: then both orders say the same.
    """
    found = list(re.finditer(r"\b(" + "|".join(words) + r")\b", caption, re.IGNORECASE))
    if len(found) != 2 or found[0].group().lower() == found[1].group().lower():
        return None
    first, second = found
    between = caption[first.end() : second.start()]
    if re.fullmatch(r"\s*(and|&|,|-|or)?\s*", between, re.IGNORECASE):
        return None
    return caption[: first.start()] + second.group() + between + first.group() + caption[second.end() :]
