"""`contrastive` mixes captions, concepts, plain documents and long descriptions by the shares of its recipe, in every batch."""

from collections import Counter
from typing import Any, cast

from tasks.contrastive import Sampler
from tasks.contrastive_groups import Groups


def halves(kind, count):
    return [[f"{kind} {number} first", f"{kind} {number} second"] for number in range(count)]


GROUPS = Groups(
    captions=halves("caption", 200),
    concepts=[(f"thing {number}", texts) for number, texts in enumerate(halves("concept", 50))],
    passages=halves("document", 40),
    long=halves("description", 48),
)
CONFIG = {"batch_size": 20, "concept_fraction": 0.1, "document_fraction": 0.25, "long_fraction": 0.2}


def kinds(sampler, steps):
    """Of every step, how many pairs of each kind."""
    return [Counter(pair[0].split()[0] for pair in sampler.draw(step)[0]) for step in range(steps)]


def test_every_batch_has_the_shares_of_the_recipe():
    sampler = Sampler(GROUPS, cast(Any, CONFIG), seed=3)
    assert kinds(sampler, 30) == [{"concept": 2, "document": 5, "description": 4, "caption": 9}] * 30


def test_an_epoch_of_documents_shows_both_halves_of_each_once():
    sampler = Sampler(GROUPS, cast(Any, CONFIG), seed=3)
    seen = [tuple(sorted(pair)) for step in range(8) for pair in sampler.draw(step)[0] if "document" in pair[0]]
    assert sorted(seen) == sorted(map(tuple, GROUPS.passages))


def test_without_documents_their_place_is_taken_by_captions():
    sampler = Sampler(GROUPS._replace(passages=()), cast(Any, CONFIG), seed=3)
    assert kinds(sampler, 3) == [{"concept": 2, "description": 4, "caption": 14}] * 3
