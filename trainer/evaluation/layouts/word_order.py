"""ARO's four shuffles of a caption (2210.01936, section 2.3), for its order of words on COCO and Flickr30k.

Two of them know nouns and adjectives. ARO asks spaCy's en_core_web_sm, which has to be fetched; here a Brill tagger does it whose
lexicon and rules are files of its package (TextBlob, of Pattern), so that nothing is. Tags of some words differ, and with
them cases.
"""

import random
import re
from collections.abc import Sequence

from evaluation.layouts.files import WrongLayout

WORDS = re.compile(r"\w+(?:'\w+)?|[^\w\s]")
NOUNS, ADJECTIVES = ("NN", "NNS", "NNP", "NNPS"), ("JJ", "JJR", "JJS")  # of the Penn Treebank
# ARO cuts captions to 30 words and takes these signs out, as BLIP does.
MOST_WORDS = 30
SIGNS = re.compile(r"[.!\"()*#:;~]")


def as_aro(caption: str) -> str:
    """As ARO writes a caption before a model reads it."""
    words = SIGNS.sub(" ", caption.lower()).split()
    return " ".join(words[:MOST_WORDS])


def shuffled(caption: str) -> list[str]:
    """The caption and its shuffles in ARO's order; the same for a caption every time.

    Nouns among nouns' places with adjectives among theirs; all other words among theirs; words within trigrams; trigrams.
    """
    rng = random.Random(caption)
    words = WORDS.findall(caption)
    tags = tags_of(words)
    nouns, adjectives = (places_of(tags, kinds) for kinds in (NOUNS, ADJECTIVES))
    others = [place for place in range(len(words)) if place not in {*nouns, *adjectives}]
    trigrams = [words[start : start + 3] for start in range(0, len(words), 3)]
    mixed = [
        among(among(words, nouns, rng), adjectives, rng),
        among(words, others, rng),
        [word for trigram in trigrams for word in rng.sample(trigram, len(trigram))],
        [word for trigram in rng.sample(trigrams, len(trigrams)) for word in trigram],
    ]
    return [caption, *(" ".join(of_kind) for of_kind in mixed)]


def among(words: Sequence[str], places: Sequence[int], rng: random.Random) -> list[str]:
    """The words at some places exchanged at random, the others where they are."""
    mixed = list(words)
    for place, other in zip(places, rng.sample(places, len(places)), strict=True):
        mixed[place] = words[other]
    return mixed


def places_of(tags: Sequence[str], kinds: Sequence[str]) -> list[int]:
    """Where words of some kinds are."""
    return [place for place, tag in enumerate(tags) if tag in kinds]


def tags_of(words: Sequence[str]) -> list[str]:
    """The part of speech of each word."""
    try:
        from textblob.en import tag
    except ImportError as error:
        raise WrongLayout(
            "rows without caption_options are shuffled here, for which TextBlob knows nouns from adjectives: pip install textblob"
        ) from error
    # Lower case, as most words of a caption are: a capital would make the first one a name.
    found = tag(" ".join(word.lower() for word in words), tokenize=False)
    if len(found) != len(words):
        raise ValueError(f"the tagger has {len(found)} words of {len(words)}: {' '.join(words)}")
    return [kind for _, kind in found]
