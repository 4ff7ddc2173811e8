"""Names of things in captions, and the verdict on searches by them: against what a person would write down, and closed forms."""

import statistics

import numpy as np
import pytest

from contracts.types import SearchVerdict, SearchVerdicts
from towers.names import Names, class_names, names_in, said_by, said_names
from towers.names_verdict import (
    ShortSide,
    Texts,
    counts_of_names,
    fit_short,
    longest_short,
    measure_short,
    search_among_names,
    search_names,
)
from towers.verdict import called_absent

NORMAL = statistics.NormalDist()


def test_a_name_is_what_most_captions_say_of_several_images_and_nobody_says_of_most():
    beach = ["A dog on the beach", "A brown dog at the beach.", "Something runs"]
    street = ["A man in the street", "the man walks", "A man with a dog"]
    park = ["Two women in a park", "Women in a park.", "A park"]
    names = names_in([beach, street, park] * 4)
    # The man and the women are said of a third of the images: such words can hardly be absent. So can "dog", said of two thirds.
    assert names.texts == []
    others = [[f"thing{number}", f"A thing{number}"] for number in range(12)]
    names = names_in([*([beach, street, park] * 4), *others])
    assert names.texts == ["beach", "man", "park", "women"]
    shown, absent = names.shown_NM[0], names.absent_NM[0]
    assert np.flatnonzero(shown).tolist() == [0, 3, 6, 9]
    assert np.flatnonzero(~absent).tolist() == [0, 3, 6, 9]
    # One of three says it: it may be there and is not searched for.
    dog = names_in([*([beach, street, park] * 3), *others, *others])
    number = dog.texts.index("dog")
    assert np.flatnonzero(dog.shown_NM[number]).tolist() == [0, 3, 6]
    assert not (dog.shown_NM[number] | dog.absent_NM[number])[[1, 4, 7]].any()


def test_two_words_are_a_name_where_no_stop_word_is_between_them_and_lack_where_one_of_them_does():
    ball, dog = ["a tennis ball", "the tennis ball"], ["a ball for a dog", "ball of a dog"]
    rest = [["nothing", "nobody"]] * 20
    names = names_in([*([ball] * 3), *([dog] * 3), *rest])
    assert names.texts == ["ball", "dog", "tennis", "tennis ball"]
    assert names.absent_NM[3].tolist() == [False] * 3 + [True] * 23


def test_a_search_by_name_has_one_that_shows_it_or_none():
    # Name n is shown by image n alone, which has a cosine of 0.9 with it, and every other one 0.1.
    names = Names([str(n) for n in range(30)], np.eye(30, dtype=bool), ~np.eye(30, dtype=bool))
    found = search_names(names, 0.1 + 0.8 * np.eye(30), 5, np.random.default_rng(0))
    np.testing.assert_allclose(found.present_N, 0.9)
    np.testing.assert_allclose(found.absent_N, 0.1)


def test_one_name_in_ten_that_is_there_is_called_absent_and_captions_have_their_own_threshold():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, 300))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    shown = np.eye(400, dtype=bool)
    side = ShortSide(Names([str(n) for n in range(400)], shown, ~shown), vectors, 6)
    images = rng.normal(size=(400, 300))
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    # Names that know nothing: the best of n cosines lies below x with probability F(x)^n.
    found = fit_short(side, images, rng)
    at = found["text_image"]["counts"].index(64)
    expected = [NORMAL.inv_cdf(share ** (1 / 64)) / np.sqrt(300) for share in (0.1, 0.9)]
    threshold = found["text_image"]["absent_below"][at]
    np.testing.assert_allclose([threshold, found["text_image"]["present_above"][at]], expected, atol=0.006)
    assert found["text_image"]["counts"] == [1, 4, 16, 64, 256, 280] == counts_of_names(400)
    captions: SearchVerdict = {**found["text_image"], "absent_below": [0.5] * 6, "present_above": [0.6] * 6}
    before: SearchVerdicts = {
        "text_image": captions, "image_text": captions, "text_text": captions, "image_image": captions,
    }  # fmt: skip
    verdicts: SearchVerdicts = {**before, "short_texts": found}
    assert called_absent(np.full(3, threshold + 0.01), [1, 6, 7], 64, verdicts).tolist() == [False, False, True]
    # Of a model of before every text is judged as a caption.
    assert called_absent(np.full(1, threshold + 0.01), [1], 64, before).tolist() == [True]


def test_short_is_what_few_captions_are_and_most_names_are():
    captions = [7] * 10 + [12] * 90
    assert longest_short([1] * 9 + [3], captions) == 6
    assert longest_short([1] * 5 + [8] * 5, captions) is None
    # Titles of a word or two are names already.
    assert longest_short([1] * 10, [1] * 50 + [2] * 50) is None


@pytest.mark.parametrize("know", [0.0, 3.0])
def test_figures_are_of_names_and_images_that_were_not_fitted_on(know):
    # Sixty things, each shown by ten images: what knows nothing has an area of a half, what knows all has one of 1.
    rng = np.random.default_rng(3)
    captions = [[f"a thing{number % 60}", f"the thing{number % 60}"] for number in range(600)]
    names = names_in(captions)
    assert len(names.texts) == 60
    things = rng.normal(size=(60, 64))
    order = [int(text.removeprefix("thing")) for text in names.texts]
    images = rng.normal(size=(600, 64)) + know * things[np.arange(600) % 60]
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (things[order], images)]
    figures = measure_short(said_names(captions), ShortSide(names, unit[0], 6), unit[1], rng)
    assert figures["auc"] == pytest.approx(1.0 if know else 0.5, abs=0.04)
    assert figures["present_called_absent"] == pytest.approx(0.0 if know else 0.1, abs=0.05)


def test_names_of_classes_are_shown_by_their_images_and_absent_from_all_others():
    among = class_names(["cup", "plate", "spoon"], np.array([0, 2, 0, 2, 0]))
    names = among(np.ones(5, dtype=bool))
    assert names.texts == ["cup", "spoon"]
    assert names.shown_NM.tolist() == [[True, False, True, False, True], [False, True, False, True, False]]
    assert (names.shown_NM ^ names.absent_NM).all()
    assert among(np.array([True, False, True, False, False])).texts == ["cup"]


def test_a_search_among_names_has_one_that_is_right_or_none():
    # Image m shows name m, with a cosine of 0.9 where every other one has 0.1; the last image shows nothing.
    shown = np.eye(30, 31, dtype=bool)
    found = search_among_names(
        Names([str(n) for n in range(30)], shown, ~shown), 0.1 + 0.8 * shown, 5, np.random.default_rng(0)
    )
    assert len(found.present_N) % 30 == 0
    np.testing.assert_allclose(found.present_N, 0.9)
    np.testing.assert_allclose(found.absent_N, 0.1)


def test_names_among_texts_and_things_among_names_have_thresholds_of_their_own_cosines():
    # A hundred things: names have a cosine of about 0.5 with images, 0.9 with what is said of them, and 0 with others.
    rng = np.random.default_rng(1)
    said_of = [[f"a thing{number % 100}", f"the thing{number % 100}"] for number in range(800)]
    names = names_in(said_of)
    things = np.eye(100, 300)[[int(text.removeprefix("thing")) for text in names.texts]]
    of_M = np.eye(100, 300)[np.arange(800) % 100]
    noise = np.eye(300)[100 + np.arange(800) % 200]
    images, captions = (share * of_M + np.sqrt(1 - share**2) * noise for share in (0.5, 0.9))
    said = said_by(names.texts, [first for first, _ in said_of])
    assert said.sum() == 800 and (said == names.shown_NM).all()
    side, texts = ShortSide(names, things, 6), Texts(captions, said)
    found = fit_short(side, images, rng, texts)
    for kind, cosine, counts in (
        ("text_image", 0.5, [1, 4, 16, 64, 256, 560]), ("image_text", 0.5, [1, 4, 16, 64, 99]),
        ("text_text", 0.9, [1, 4, 16, 64, 256, 560]), ("long_text", 0.9, [1, 4, 16, 64, 99]),
    ):  # fmt: skip
        assert found[kind]["counts"] == counts, kind
        # Both kinds are told apart: the threshold is halfway.
        np.testing.assert_allclose(found[kind]["absent_below"], cosine / 2, atol=0.03)
    without = fit_short(side, images, np.random.default_rng(1))
    assert {*without} == {"max_tokens", "text_image", "image_text"}
    figures = measure_short(said_names(said_of), side, images, rng, texts)
    for kind in ("", "image_text.", "text_text.", "long_text."):
        assert figures[f"{kind}auc"] == 1 and figures[f"{kind}present_called_absent"] == 0
        assert figures[f"{kind}absent_called_absent"] == 1
