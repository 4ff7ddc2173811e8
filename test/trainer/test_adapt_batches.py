"""Batches of an adaptation: what is said of a picture is never wrong about it, and every kind of pictures has its turn."""

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from towers.adaptation.batches import Batch, Sampler
from towers.adaptation.texts import texts_of_class
from towers.formats.classes import Class
from towers.formats.usable import Picture

CLASSES = [Class(name) for name in ("fern", "iris", "moss", "rose")]


def picture(key: str, captions: list[str], label: int | None = None) -> Picture:
    return Picture(key, bytes, captions, label)


def batches(train: list[Picture], steps: int, **changes: Any) -> list[Batch]:
    """The first batches of an adaptation without general texts."""
    config = {"batch_size": 32, "crops": 0, "text_start": "model", "general_weight": 0, **changes}
    run, pictures = SimpleNamespace(config=config, seed=1), SimpleNamespace(train=train, classes=CLASSES)
    sampler = Sampler(cast(Any, run), cast(Any, pictures), cast(Any, None))
    return [sampler.draw(step) for step in range(steps)]


def captioned(label: int, count: int) -> list[Picture]:
    """Pictures of a class with three captions each, of which each has one with the next picture."""
    return [
        picture(f"{label}-{n}", [f"a {label}-{n}", f"two {label}-{n}", f"near {label}-{n // 2}"], label)
        for n in range(count)
    ]


@pytest.mark.parametrize("text_start", ["model", "scratch"])
def test_no_text_of_a_picture_is_a_negative_of_it_however_often_a_batch_has_it(text_start):
    # Four pictures of a class have half of every batch: each comes four times with one of its captions.
    train = [*captioned(0, 200), *captioned(1, 4)]
    several = 0
    for batch in batches(train, 20, text_start=text_start):
        chosen = [train[row] for row in batch.rows]
        several += len(chosen) - len({each.key for each in chosen})
        for row, each in enumerate(chosen):
            assert batch.match[row].tolist() == [text in each.captions for text in batch.texts]
    assert several > 0


def test_names_of_a_class_in_other_words_are_no_negatives_of_its_pictures():
    """Where all texts start anew, classes are learned by their texts, as captions are."""
    train = [picture(f"{label}-{n}", [], label) for label in range(4) for n in range(20)]
    for batch in batches(train, 5, text_start="scratch"):
        assert len(set(batch.texts)) > 4
        for row, number in enumerate(batch.rows):
            own = texts_of_class(CLASSES[cast(int, train[number].label)])
            assert batch.match[row].tolist() == [text in own for text in batch.texts]


def test_a_picture_comes_again_only_where_its_class_has_no_other():
    """Eight pictures of each of three classes and two of a fourth, in batches of 24: six, or three times two."""
    train = [picture(f"{label}-{n}", [], label) for label in range(4) for n in range(8 if label else 2)]
    for batch in batches(train, 20, batch_size=24):
        times = Counter(train[row].key for row in batch.rows)
        assert sorted(times.values()) == [1] * 18 + [3, 3]


@pytest.mark.parametrize(("of_class", "with_caption"), [(15, 985), (985, 15)])
def test_pictures_of_the_rarer_kind_have_their_share_of_the_batches(of_class, with_caption):
    """15 of 1,000 are 0.48 of a batch of 32: less than a half, which was rounded to none."""
    train = [picture(f"class {n}", [], n % 4) for n in range(of_class)]
    train += [picture(f"caption {n}", [f"caption {n}"]) for n in range(with_caption)]
    drawn = batches(train, 400)
    assert {len(batch.rows) for batch in drawn} == {32}
    rarer = [len(batch.labelled) if of_class < with_caption else len(batch.texts) for batch in drawn]
    assert set(rarer) == {0, 1}
    assert sum(rarer) == pytest.approx(400 * 0.48, abs=40)  # four standard deviations of 400 draws
    assert [batch.rows.tolist() for batch in batches(train, 400)] == [batch.rows.tolist() for batch in drawn]
