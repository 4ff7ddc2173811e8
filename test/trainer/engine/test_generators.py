"""Random numbers of every device: kept, put back, forked, and the same in both passes of GradCache."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from engine import generators
from engine.grad_cache import cached_backward


@pytest.fixture
def gpu(monkeypatch):
    """A generator that stands in for a GPU's: like that one, it is not the CPU's."""
    stand_in = torch.Generator()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "default_generators", (stand_in,))
    return stand_in


def numbers(gpu):
    return (
        random.random(),
        random.gauss(),
        np.random.rand(),
        torch.rand(()).item(),
        torch.rand((), generator=gpu).item(),
    )


def test_a_saved_state_gives_the_same_numbers_again_on_every_device(gpu, tmp_path):
    random.gauss()  # the second of a pair is kept inside
    np.random.randn()
    # A checkpoint is read without running code of it.
    torch.save(generators.state(), tmp_path / "state.pt")
    first = numbers(gpu)
    assert numbers(gpu) != first
    generators.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    assert numbers(gpu) == first


def test_a_state_of_another_number_of_gpus_is_put_back_as_far_as_it_goes(gpu, monkeypatch):
    saved = generators.state()
    expected = torch.rand(()).item()
    monkeypatch.setattr(torch.cuda, "default_generators", ())
    generators.restore(saved)
    assert torch.rand(()).item() == expected
    alone = generators.state()
    monkeypatch.setattr(torch.cuda, "default_generators", (gpu,))
    generators.restore(alone)


def test_a_fork_leaves_no_trace_even_when_it_fails(gpu):
    start = generators.state()
    expected = numbers(gpu)
    generators.restore(start)
    with pytest.raises(ZeroDivisionError), generators.fork():
        assert numbers(gpu) == expected
        raise ZeroDivisionError
    assert numbers(gpu) == expected
    with generators.fork(start):
        assert numbers(gpu) == expected


@pytest.mark.parametrize("seed", [2**53 - 1, (2**53 - 1) * 1_000_003 + 7919])
def test_seeds_of_any_size_give_numbers_of_their_own(gpu, seed):
    """The largest seed of a recipe, and what a rank makes of it."""
    drawn = []
    for each in (seed, seed - 1, seed):
        generators.seed_everything(each)
        drawn.append(numbers(gpu)[:4])
    assert drawn[0] == drawn[2]
    assert all(first != second for first, second in zip(*drawn[:2], strict=True))


def test_a_small_seed_gives_the_numbers_of_each_library(gpu):
    generators.seed_everything(1)
    # random.Random(1), numpy.random.RandomState(1) and torch.Generator().manual_seed(1) by themselves.
    expected = torch.rand((), generator=torch.Generator().manual_seed(1)).item()
    assert (random.random(), np.random.rand(), torch.rand(()).item()) == (
        random.Random(1).random(),
        np.random.RandomState(1).rand(),
        expected,
    )


class Dropout(nn.Module):
    """Dropout that draws from a given generator, as dropout on a GPU draws from the GPU's."""

    def __init__(self, generator):
        super().__init__()
        self.generator = generator

    def forward(self, x):
        return x * (torch.rand(x.shape, generator=self.generator) > 0.5)


def test_grad_cache_repeats_the_dropout_of_a_gpu(gpu):
    parts = torch.randn(12, 6, generator=torch.Generator().manual_seed(2)).split(4)
    gradients = []
    for keep_graphs in (True, False):
        torch.manual_seed(0)
        gpu.manual_seed(0)
        model = nn.Sequential(Dropout(gpu), nn.Linear(6, 4))
        cached_backward(model, parts, lambda f: (f @ f.T).logsumexp(1).mean(), keep_graphs=keep_graphs)
        gradients.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(gradients[1], gradients[0])
