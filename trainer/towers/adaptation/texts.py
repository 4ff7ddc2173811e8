"""Texts of an adaptation: what is said about own images and classes, and texts about anything that must not move."""

import random
from collections.abc import Sequence

import torch

from towers.adaptation.own_data import Picture
from towers.formats.classes import Class
from towers.wordpiece import SPECIAL_TOKENS

# How people name a thing: as in a search box, and as CLIP's prompts do.
TEMPLATES = ["{}", "a photo of a {}.", "a photo of the {}.", "a {}"]
GROUP_TEMPLATES = ["{}, a kind of {}", "a photo of a {}, a kind of {}."]
# Shapes of general texts: single words, pairs as in a search box, and sentences as captions are built.
GENERAL = [
    "{}",
    "{} {}",
    "a photo of a {}.",
    "a {} and a {}",
    "a {} {} with a {}",
    "a {} in the {}",
    "the {} of a {} {} near the {}",
    "two {} and a {} on a {} {}",
]


def texts_of_class(each: Class) -> list[str]:
    """Its name in templates, with its wider kind where that is known, and its descriptions."""
    grouped = [template.format(each.name, each.group) for template in GROUP_TEMPLATES] if each.group else []
    return [template.format(each.name) for template in TEMPLATES] + grouped + each.descriptions


def texts_of_picture(picture: Picture, classes: Sequence[Class]) -> list[str]:
    """Its own captions, else the texts of its class."""
    if picture.captions or picture.label is None:
        return picture.captions
    return texts_of_class(classes[picture.label])


def said_of(pictures: Sequence[Picture], classes: Sequence[Class], texts: Sequence[str]) -> torch.Tensor:
    """[B, T]: which text is one of a picture's captions, or of the texts of its class: none of these is wrong about it."""
    match = torch.zeros(len(pictures), len(texts), dtype=torch.bool)
    places: dict[str, list[int]] = {}
    for place, text in enumerate(texts):
        places.setdefault(text, []).append(place)
    for row, picture in enumerate(pictures):
        of_class = [] if picture.label is None else texts_of_class(classes[picture.label])
        for text in {*picture.captions, *of_class} & places.keys():
            match[row, places[text]] = True
    return match


def general_texts(pieces: Sequence[str], count: int, seed: int) -> list[str]:
    """Texts made of the vocabulary's own words: they need no data, and hold every language that the model has read."""
    words = [piece for piece in pieces[len(SPECIAL_TOKENS) :] if piece.isalpha() and len(piece) > 2]
    if not words:
        return []
    rng = random.Random(seed)
    rng.shuffle(words)
    texts = []
    for number in range(count):
        template = GENERAL[number % len(GENERAL)]
        # Every word comes once before any comes twice.
        first = words[number % len(words)]
        rest = [rng.choice(words) for _ in range(template.count("{}") - 1)]
        texts.append(template.format(first, *rest))
    return texts
