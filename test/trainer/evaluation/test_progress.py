"""Progress of a measurement: a share that grows with every list of texts, and counts what a model costs."""

from itertools import pairwise

import pytest

from evaluation.progress import Progress


def test_the_share_grows_through_every_list_of_a_set_and_ends_with_its_unit():
    progress = Progress(quiet=True)
    progress.expect(2)
    progress.begin("translations, teacher", lists=4)
    shares = []
    for _ in range(4):
        for done in [500, 1000]:
            progress.tick(done, 1000, "texts")
            shares.append(progress.share)
    assert shares == pytest.approx([number / 16 for number in range(1, 9)])
    progress.begin("captions, teacher")
    # A list more than was said.
    for done in [500, 1000, 500]:
        progress.tick(done, 1000, "texts")
        shares.append(progress.share)
    assert shares[-3:] == pytest.approx([0.75, 1, 1])
    assert all(before <= after for before, after in pairwise(shares))


def test_a_model_that_costs_more_has_more_of_the_share():
    progress = Progress(quiet=True)
    progress.expect(10)
    progress.expect(1, cost=30)
    for number in range(10):
        progress.begin(f"set {number}, base")
        progress.tick(5, 5, "texts")
    progress.begin("texts, teacher", cost=30)
    assert progress.share == pytest.approx(10 / 40)
    progress.tick(100, 200, "texts")
    assert progress.share == pytest.approx(25 / 40)
