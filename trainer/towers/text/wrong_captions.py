"""Captions that nearly fit: those that came with a picture, else one word exchanged for another of its kind, or two for each other.

What a hard negative is in FG-CLIP 2 (2510.10921) and in ARO and SugarCrepe: as fluent as the caption and about the same
things, but false. A language model writes theirs, and such ones are read as a row's `negatives`. Where a row has none or too
few, a table of English words that exclude each other makes more, so that nothing is downloaded and a caption has the same ones
always. Captions without a word of the table have none of these.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from towers.formats.details import NEGATIVES

KINDS = (
    ("red", "blue", "green", "yellow", "black", "white", "brown", "orange", "purple", "pink", "grey"),
    ("one", "two", "three", "four", "five", "six"),
    ("left", "right"),
    ("above", "below"),
    ("over", "under"),
    ("inside", "outside"),
    ("indoors", "outdoors"),
    ("big", "small"),
    ("large", "little"),
    ("young", "old"),
    ("tall", "short"),
    ("open", "closed"),
    ("empty", "full"),
    ("wet", "dry"),
    ("man", "woman", "boy", "girl"),
    ("men", "women", "boys", "girls"),
    ("dog", "cat", "horse", "cow", "sheep", "bird", "elephant"),
    ("dogs", "cats", "horses", "cows", "birds", "elephants"),
    ("car", "bus", "truck", "bicycle", "motorcycle", "train", "boat"),
    ("standing", "sitting", "lying", "running", "walking", "jumping", "swimming"),
    ("stands", "sits", "lies", "runs", "walks", "jumps", "swims"),
    ("snow", "sand", "grass", "mud"),
    ("summer", "winter"),
    ("day", "night"),
)
KIND_OF = {word: kind for kind in KINDS for word in kind}
WORD = re.compile(r"[A-Za-z]+")
Edit = dict[int, str]  # words by their place among the words of a caption


def wrong_texts(row: Mapping[str, Any], caption: str, count: int) -> list[str]:
    """At most `count` texts that are false of what a row describes: its own negatives first, then wrong ones of the caption."""
    own = row.get(NEGATIVES, [])[:count]
    made = wrong_captions(caption, count) if len(own) < count else []
    return list(dict.fromkeys([*own, *made]))[:count]


def wrong_captions(caption: str, count: int) -> list[str]:
    """At most `count` different ones, the exchanges of two words first; which ones follows from the caption alone."""
    found = list(WORD.finditer(caption))
    words = [match[0].lower() for match in found]
    rng = np.random.default_rng(list(hashlib.sha256(caption.encode()).digest()))
    edits = [*_shuffled(_exchanges(words), rng), *_shuffled(_replacements(words), rng)]
    # Written one by one: there may be dozens, of which a few are asked for.
    texts: dict[str, None] = {}
    for edit in edits:
        if len(texts) == count:
            break
        text = _edited(caption, found, edit)
        if text != caption:
            texts[text] = None
    return [*texts]


def _exchanges(words: list[str]) -> list[Edit]:
    known = [place for place, word in enumerate(words) if word in KIND_OF]
    return [
        {first: words[second], second: words[first]}
        for number, first in enumerate(known)
        for second in known[number + 1 :]
        if words[first] != words[second] and KIND_OF[words[first]] is KIND_OF[words[second]]
    ]


def _replacements(words: list[str]) -> list[Edit]:
    # A word that the caption has already would perhaps make it true again.
    return [{place: other} for place, word in enumerate(words) for other in KIND_OF.get(word, ()) if other not in words]


def _shuffled(edits: list[Edit], rng: np.random.Generator) -> list[Edit]:
    return [edits[number] for number in rng.permutation(len(edits))]


def _edited(caption: str, found: list[re.Match[str]], edit: Edit) -> str:
    parts, end = [], 0
    for place, match in enumerate(found):
        word = match[0]
        if place in edit:
            word = edit[place].capitalize() if word[0].isupper() else edit[place]
        elif word.lower() in ("a", "an") and place + 1 in edit:
            word = word[0] + ("n" if edit[place + 1][0] in "aeiou" and edit[place + 1] != "one" else "")
        parts += [caption[end : match.start()], word]
        end = match.end()
    return "".join([*parts, caption[end:]])
