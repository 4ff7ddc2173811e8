"""The texts that masked next-token prediction sees in a step."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from engine.world import ALONE_ON_CPU, World
from support import tiny_language_model
from tasks.mntp import Mntp
from towers.language.read import read_language_model

WINDOWS = [[number] * 9 for number in range(12)]
CAPTIONS = [f"a caption {number}" for number in range(8)]


@pytest.fixture(scope="module")
def language_model(tmp_path_factory):
    folder = tiny_language_model(tmp_path_factory.mktemp("lm"))
    return read_language_model({"source": "directory", "name": str(folder)}, torch.float32)


def task(language_model, windows, captions, **changes):
    config = {"mask_token": "a", "mask_share": 0.2, "max_tokens": 16, "batch_size": 5, "caption_share": 0.4}
    return Mntp(cast(Any, SimpleNamespace(seed=3, config=config | changes)), language_model, windows, captions)


def test_in_epochs_every_text_comes_once_before_any_comes_twice(language_model):
    mixed = task(language_model, WINDOWS, CAPTIONS, sampling="epochs")
    of_captions = language_model.plain_tokens(CAPTIONS, 16)
    # Two captions and three windows a step: four steps see all eight and all twelve.
    for epoch in range(2):
        steps = [mixed.draw(4 * epoch + step) for step in range(4)]
        assert all(sum(row in of_captions for row in rows) == 2 and len(rows) == 5 for rows in steps)
        assert sorted(row for rows in steps for row in rows) == sorted([*WINDOWS, *of_captions])
    assert [mixed.draw(step) for step in range(4)] != [mixed.draw(step) for step in range(4, 8)]
    # By chance some come twice in as many steps.
    by_chance = [row for step in range(4) for row in task(language_model, WINDOWS, CAPTIONS).draw(step)]
    assert len(by_chance) == 20 and len({tuple(row) for row in by_chance}) < 20


def test_one_kind_alone_fills_the_batch_and_a_small_one_comes_whole(language_model):
    documents = task(language_model, WINDOWS, [], sampling="epochs", batch_size=4)
    assert sorted(row for step in range(3) for row in documents.draw(step)) == WINDOWS
    captions = task(language_model, [], CAPTIONS, sampling="epochs", batch_size=20)
    assert sorted(captions.draw(7)) == sorted(language_model.plain_tokens(CAPTIONS, 16))


def test_every_rank_has_as_many_micro_batches(language_model, monkeypatch):
    # Where blocks are split between ranks a rank that had one less would be waited for without end.
    passes: list[int] = []
    hidden = language_model.hidden
    monkeypatch.setattr(language_model, "hidden", lambda ids, mask: passes.append(len(ids)) or hidden(ids, mask))
    of_ranks = []
    for rank in range(2):
        passes.clear()
        split = task(language_model, WINDOWS, [], batch_size=9, micro_batch=2)
        split.run.world, split.run.device = World(rank, 2, rank, torch.device("cpu")), torch.device("cpu")
        split.backward(0)
        of_ranks.append([*passes])
    assert [sum(rows) for rows in of_ranks] == [4, 5]
    assert len(of_ranks[0]) == len(of_ranks[1])
    with pytest.raises(ValueError, match=r"batch_size.*1.*2 ranks"):
        lone = task(language_model, WINDOWS, [], batch_size=1, micro_batch=1)
        lone.run.world, lone.run.device = World(0, 2, 0, torch.device("cpu")), torch.device("cpu")
        lone.backward(0)


def test_a_step_is_drawn_from_the_largest_seed_of_a_recipe(language_model):
    losses = []
    for seed in (2**53 - 1, 2**53 - 2):
        alone = task(language_model, WINDOWS, [])
        alone.run.seed, alone.run.world, alone.run.device = seed, ALONE_ON_CPU, torch.device("cpu")
        losses.append(alone.backward(1)["loss"].item())
    assert losses[0] != losses[1]
