"""`contrastive` mixes captions, concepts, plain documents and long descriptions by the shares of its recipe, in every batch."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest

import tasks
from data.order import epoch_batch
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


@pytest.mark.parametrize(("batch", "concepts", "documents", "long", "expected"), [
    (30, 0.25, 0.25, 0.5, (8, 8, 14, 0)),  # 7.5, 7.5 and 15: the last has what the others leave
    (10, 0.2, 0.35, 0.45, (2, 4, 4, 0)),
    (7, 0.5, 0.5, 0, (4, 3, 0, 0)),
    (6, 0.25, 0.25, 0.25, (2, 2, 2, 0)),
    (9, 0.25, 0.25, 0.5, (2, 2, 4, 1)),  # what rounding leaves are captions
])  # fmt: skip
def test_fractions_that_are_the_whole_of_a_step_fill_it_and_no_more(batch, concepts, documents, long, expected):
    fractions = {"concept_fraction": concepts, "document_fraction": documents, "long_fraction": long}
    sampler = Sampler(GROUPS, cast(Any, {"batch_size": batch, **fractions}), seed=3)
    names = ("concept", "document", "description", "caption")
    assert kinds(sampler, 3) == [Counter(dict(zip(names, expected, strict=True)))] * 3


@pytest.mark.parametrize(("recipe", "expected"), [("embedded", (64, 0, 0, 192)), ("smoke", (2, 0, 0, 6))])
def test_a_step_of_the_shipped_recipes_has_the_sizes_that_it_had(recipe, expected):
    file = Path(tasks.__file__).parents[1] / "recipes" / f"{recipe}.json"
    config = json.loads(file.read_text())["contrastive"]
    names = ("concept", "document", "description", "caption")
    groups = Groups(halves("caption", 300), [(f"{n}", texts) for n, texts in enumerate(halves("concept", 70))], (), ())
    assert kinds(Sampler(groups, config, seed=3), 2) == [Counter(dict(zip(names, expected, strict=True)))] * 2


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_of_nothing_is_refused(size):
    with pytest.raises(ValueError, match=f"a batch of {size} is none"):
        epoch_batch((0,), 0, 10, size)
