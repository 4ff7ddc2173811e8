"""Structure between vectors: all pairs of a small batch, sampled pairs of a large one."""

import pytest
import torch
from torch.nn import functional as F

from losses.ranks import Ranks
from losses.regularise import Pairs, blocks, distances, frozen_tower_regulariser, inherit_loss, structure_loss


def unit(rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, 4, generator=generator, dtype=torch.float64), dim=-1)


def squared(new, old):
    return (new - old).square().mean()


def sampled(new, old, step):
    return structure_loss(new, old, squared, Pairs((7, step), 10, 12 * 4), Ranks())


def test_blocks_have_every_row_at_most_once_and_as_many_entries_as_were_asked_for():
    found = blocks((0, 1), 8192)
    assert found.shape == (16, 512)
    assert sorted(found.ravel().tolist()) == list(range(8192))
    found = blocks((0, 1), 4099)
    assert found.shape == (4, 1023)
    assert len(set(found.ravel().tolist())) == 4 * 1023
    # However many rows there are, a block has a pair.
    assert blocks((0, 1), 9, entries=9).shape == (4, 2)


def test_every_pair_is_as_likely_as_another():
    count, draws = torch.zeros(6, 6), 1500
    for step in range(draws):
        for block in blocks((3, step), 6, entries=12):
            count[block[0], block[1]] += 1
            count[block[1], block[0]] += 1
    # Three of fifteen pairs a draw; four standard deviations of a binomial are 62.
    expected = draws / 5
    others = count[~torch.eye(6).bool()]
    assert (others - expected).abs().max() < 62


def test_sampled_pairs_have_the_mean_of_all_pairs_and_so_has_their_gradient():
    new, old = unit(12).requires_grad_(), unit(12, 1)
    exact = squared(distances(new), distances(old))
    (whole,) = torch.autograd.grad(exact, new)
    steps = 400
    losses, gradients = [], []
    for step in range(steps):
        loss = sampled(new, old, step)
        losses.append(loss.detach())
        gradients.append(torch.autograd.grad(loss, new)[0])
    for values, expected in ((torch.stack(losses), exact.detach()), (torch.stack(gradients), whole)):
        error = values.std(0) / steps**0.5
        assert ((values.mean(0) - expected).abs() < 4.5 * error).all()
        # The test can tell: the error is small beside what is measured.
        assert error.max() < 0.1 * expected.abs().max()


def test_a_step_sees_the_same_pairs_again_and_another_step_others():
    new, old = unit(12), unit(12, 1)
    assert torch.equal(sampled(new, old, 3), sampled(new, old, 3))
    assert not torch.equal(sampled(new, old, 3), sampled(new, old, 4))


def test_gradients_of_sampled_pairs_are_those_of_finite_differences():
    old = unit(12, 1)
    assert torch.autograd.gradcheck(lambda x: sampled(x, old, 0), (unit(12).requires_grad_(),))


def test_a_large_batch_needs_a_draw_and_is_zero_where_nothing_moved():
    x = F.normalize(torch.randn(4097, 2, generator=torch.Generator().manual_seed(0)), dim=-1)
    with pytest.raises(ValueError, match=r"of 4097 rows are sampled.*draw=\(seed, step\)"):
        frozen_tower_regulariser(x, x)
    assert frozen_tower_regulariser(x, x, draw=(0, 1)).item() == 0
    assert inherit_loss(x, x, 2.0, draw=(0, 1)).item() == 0
