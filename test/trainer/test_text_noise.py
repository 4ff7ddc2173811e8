"""Typing errors, emoji and contradictions: what changes in a text, and what does not."""

import random
import re

import pytest

from towers.text_noise import contradiction, negated, swapped, with_symbols, with_typing_errors

CAPTION = "a black dog and a white cat sit on a wooden bench with a man ."


def test_a_typing_error_keeps_the_length_within_one_letter_and_the_first_letter_of_every_word():
    rng = random.Random(1)
    changed = 0
    for _ in range(300):
        noisy = with_typing_errors(CAPTION, rng)
        words = list(zip(CAPTION.split(" "), noisy.split(" "), strict=True))
        assert all(a[0] == b[0] and abs(len(a) - len(b)) <= 1 for a, b in words)
        assert sum(a != b for a, b in words) <= 2
        assert all(a == b for a, b in words if len(a) < 4)
        changed += noisy != CAPTION
    assert changed > 250
    assert with_typing_errors("a cat", rng) == "a cat"


def test_symbols_stand_beside_the_words_which_stay_as_they_are():
    rng = random.Random(2)
    glued = 0
    for _ in range(300):
        noisy = with_symbols(CAPTION, rng)
        assert noisy != CAPTION
        assert re.findall(r"[a-z]+", noisy) == re.findall(r"[a-z]+", CAPTION)
        glued += not set(CAPTION.split(" ")) <= set(noisy.split(" "))
    assert glued > 50


def test_two_adjectives_or_two_nouns_change_places():
    found = {swapped(CAPTION, random.Random(seed)) or "" for seed in range(60)}
    assert "a white dog and a black cat sit on a wooden bench with a man ." in found
    assert all(sorted(caption.split(" ")) == sorted(CAPTION.split(" ")) for caption in found)
    assert swapped("dogs run", random.Random(0)) is None


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a dog with a ball", "a dog without a ball"),
        ("a man without shoes", "a man with shoes"),
        ("there is a dog here", "there is no dog here"),
        ("a dog is running", "a dog is not running"),
    ],
)
def test_a_negated_caption_says_the_opposite(caption, expected):
    assert negated(caption, random.Random(0)) == expected


def test_what_cannot_be_contradicted_has_no_contradiction():
    assert contradiction("snow", random.Random(0)) is None
    assert contradiction(CAPTION, random.Random(0)) not in (None, CAPTION)
