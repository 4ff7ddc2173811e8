"""Captions by role: their shares, and that nothing changes without them."""

import json

import numpy as np
import pytest
import torch

from towers.caption_roles import drawn_caption
from towers.text_sets import TextSet

SHARES = {"raw": 0.0, "short": 0.25, "long": 0.75}


def draws(roles, shares, count=4000):
    found = [drawn_caption(len(roles), roles, shares, np.random.default_rng(n)) for n in range(count)]
    return np.bincount(found, minlength=len(roles)) / count


def test_captions_are_drawn_by_the_share_of_their_role_and_alike_within_it():
    # Three standard deviations of a share in 4,000 draws are at most 0.024.
    assert np.abs(draws(["raw", "short", "short", "long"], SHARES) - [0, 0.125, 0.125, 0.75]).max() < 0.024
    # Shares are among what the image has, and only their ratios count.
    assert np.abs(draws(["raw", "short"], {"raw": 6, "short": 2, "long": 9}) - [0.75, 0.25]).max() < 0.024
    assert draws(["raw", "short"], SHARES, 50).tolist() == [0, 1]


def test_an_image_without_any_of_the_roles_is_not_lost():
    assert np.abs(draws(["raw", "raw"], {"long": 1.0}) - 0.5).max() < 0.024


@pytest.fixture
def texts(tmp_path):
    rows = [{"id": f"k{n}", "text": f"{role} {n}", "role": role} for n in range(3) for role in ("raw", "short", "long")]
    (tmp_path / "captions.pairs.train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return TextSet(tmp_path, "pairs.train", torch.device("cpu"))


def test_a_set_of_texts_draws_by_share_and_without_shares_as_ever(texts):
    groups = np.array([2, 0, 1, 2])
    alike = texts.draw(groups, np.random.default_rng(5))
    assert np.array_equal(alike, groups * 3 + np.random.default_rng(5).integers(0, np.full(4, 3)))
    drawn = texts.with_shares({"raw": 0.0, "short": 0.0, "long": 1.0}).draw(groups, np.random.default_rng(5))
    assert [texts.texts[number] for number in drawn] == ["long 2", "long 0", "long 1", "long 2"]


def test_shares_of_captions_that_have_no_role_are_refused(tmp_path):
    (tmp_path / "captions.pairs.train.jsonl").write_text('{"id": "a", "text": "b"}\n')
    texts = TextSet(tmp_path, "pairs.train", torch.device("cpu"))
    with pytest.raises(ValueError, match="no caption has a role; name them in prepare's caption_fields"):
        texts.with_shares(SHARES)
