"""Verdicts on searches: against order statistics, normal densities and frequencies written out."""

import statistics

import numpy as np
import pytest

from contracts.types import SearchVerdict
from towers.verdict import (
    Searches,
    Sides,
    calibration_error,
    counts_of,
    fit_verdict,
    judge,
    measure,
    probability,
    search,
    search_verdicts,
)

NORMAL = statistics.NormalDist()


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_search_has_its_match_among_as_many_things_and_the_same_query_has_not():
    # Things stand at right angles; query q is 0.9 towards its own and 0.1 towards every other one's.
    things = np.eye(12)
    queries = 0.1 + 0.8 * np.eye(12)
    found = search(Sides(queries, np.arange(12), things), 5, np.random.default_rng(0))
    np.testing.assert_allclose(found.present_N, 0.9)
    np.testing.assert_allclose(found.absent_N, 0.1)


@pytest.mark.parametrize("things", [30, 20_000])
def test_one_thing_that_has_a_query_is_found_among_any_number_of_others(things):
    """A dev set of which one image has a second caption: by chance alone it would be in no search among few."""
    vectors = unit(np.random.default_rng(0).normal(size=(things, 8)))
    own = 17
    for count in (1, 16):
        found = search(Sides(vectors[[own]], np.array([own]), vectors), count, np.random.default_rng(0))
        np.testing.assert_allclose(found.present_N, 1)
        assert len(found.absent_N) == len(found.present_N) > 0 and found.absent_N.max() < 1


def test_the_best_of_many_chance_hits_follows_its_order_statistic():
    # Where queries know nothing, the best of n cosines lies below x with probability F(x)^n, with a match and without.
    rng = np.random.default_rng(0)
    queries, things = unit(rng.normal(size=(300, 400))), unit(rng.normal(size=(300, 400)))
    verdict = fit_verdict([search(Sides(queries, np.arange(300), things), n, rng) for n in (1, 16, 64)])
    expected = [NORMAL.inv_cdf(0.9 ** (1 / n)) / np.sqrt(400) for n in (1, 16, 64)]
    np.testing.assert_allclose(verdict["present_above"], expected, atol=0.006)
    # Of one thing there are but as many searches with their match as there are queries.
    lowest = [NORMAL.inv_cdf(0.1 ** (1 / n)) / np.sqrt(400) for n in (16, 64)]
    np.testing.assert_allclose(verdict["absent_below"][1:], lowest, atol=0.006)
    assert probability(np.array([0.1]), 16, verdict) == pytest.approx(0.5, abs=0.1)


def test_the_map_of_two_normal_kinds_is_their_log_odds_and_one_in_ten_is_misjudged():
    rng = np.random.default_rng(0)
    kinds = Searches(64, rng.normal(0.3, 0.1, 40_000), rng.normal(0.1, 0.1, 40_000))
    verdict = fit_verdict([kinds])
    assert verdict["scales"][0] == pytest.approx(20, rel=0.03)
    assert verdict["biases"][0] == pytest.approx(-4, rel=0.03)
    figures = judge([Searches(64, rng.normal(0.3, 0.1, 40_000), rng.normal(0.1, 0.1, 40_000))], verdict)
    assert figures["present_called_absent"] == pytest.approx(0.1, abs=0.01)
    assert figures["absent_called_present"] == pytest.approx(0.1, abs=0.01)
    assert figures["absent_called_absent"] == pytest.approx(NORMAL.cdf(2 + NORMAL.inv_cdf(0.1)), abs=0.01)
    assert figures["auc"] == pytest.approx(NORMAL.cdf(2 / np.sqrt(2)), abs=0.01)
    assert figures["ece"] < 0.01
    # Mean of p (1 - p) over both kinds.
    x = np.linspace(-0.6, 1, 4001)
    p = 1 / (1 + np.exp(-(20 * x - 4)))
    density = (np.exp(-0.5 * ((x - 0.3) / 0.1) ** 2) + np.exp(-0.5 * ((x - 0.1) / 0.1) ** 2)) / 0.2 / np.sqrt(2 * np.pi)
    assert figures["brier"] == pytest.approx(float((p * (1 - p) * density).sum() * (x[1] - x[0])), abs=0.005)


def test_kinds_that_hardly_overlap_have_one_threshold_between_them():
    found = fit_verdict([Searches(4, np.linspace(0.7, 0.9, 100), np.linspace(0.1, 0.3, 100))])
    assert found["absent_below"] == found["present_above"]
    assert 0.3 < found["absent_below"][0] < 0.7


def test_the_calibration_error_is_the_distance_of_chance_and_frequency():
    chance = np.repeat([0.2, 0.8], 100)
    right = np.concatenate([np.arange(100) < 20, np.arange(100) < 80]).astype(float)
    rng = np.random.default_rng(0)
    mixed = np.concatenate([rng.permutation(right[:100]), rng.permutation(right[100:])])
    assert calibration_error(np.full(200, 0.8), mixed) >= 0.3 - 1e-9
    assert calibration_error(chance, np.repeat([0.0, 1.0], 100)) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("count", "cosine", "logit"),
    # The cases of test/api/core/similarity/verdict.test.ts.
    [(100, 0.5, 2), (10, 0.5, 4), (1000, 0.3, -2.9), (1_000_000, 0.9, -0.8)],
)
def test_between_counts_the_map_is_what_the_api_computes(count, cosine, logit):
    verdict: SearchVerdict = {
        "counts": [1, 100, 10_000], "scales": [20, 16, 8], "biases": [-4, -6, -7],
        "absent_below": [0.1, 0.2, 0.26], "present_above": [0.2, 0.4, 0.5],
    }  # fmt: skip
    assert probability(np.array([cosine]), count, verdict)[0] == pytest.approx(1 / (1 + np.exp(-logit)))


def test_verdicts_of_all_kinds_and_figures_of_what_was_not_fitted_on():
    rng = np.random.default_rng(1)
    images = rng.normal(size=(40, 16))
    of_text = np.repeat(np.arange(40), 3)
    texts = unit(images[of_text] + 0.3 * rng.normal(size=(120, 16)))
    views = unit(images[:9] + 0.3 * rng.normal(size=(9, 16)))
    verdicts, figures = search_verdicts(texts, of_text, unit(images), views, rng)
    for kind in ("text_image", "image_text", "text_text", "image_image"):
        assert verdicts[kind]["counts"] == [1, 4, 16, 39]
        assert min(verdicts[kind]["scales"]) > 0
    assert figures["auc"] > 0.95 and figures["absent_called_absent"] > 0.8
    assert counts_of(1000) == [1, 4, 16, 64, 256, 999]
    few = Sides(texts[:6], of_text[:6], unit(images[:2]))
    assert measure(few, rng) == {}
