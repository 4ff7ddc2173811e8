"""The order of an epoch: every sample once, on any number of ranks, and any step without those before it."""

import numpy as np
import pytest

from data.order import EpochOrder, OrderOptions

COUNTS = [7, 1, 12, 5, 9, 3, 11]  # 48 samples


def ids(places):
    """A number for each sample."""
    starts = np.cumsum([0, *COUNTS])
    return (starts[places[:, 0]] + places[:, 1]).tolist()


def order(**changes):
    return EpochOrder(COUNTS, OrderOptions(**{"batch": 8, "seed": 3, "window": 10, **changes}))


@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_sample_comes_once_an_epoch_whatever_the_number_of_ranks(lanes, world):
    epoch = order(lanes=lanes)
    for number in (0, 1):
        batches = [
            [ids(epoch.batch(number, step, rank, world)) for rank in range(world)] for step in range(epoch.steps)
        ]
        assert sorted(sample for ranks in batches for batch in ranks for sample in batch) == list(range(48))
        # Ranks differ by one sample at most, and the global batch is the same on any number of them.
        for step, ranks in enumerate(batches):
            assert max(map(len, ranks)) - min(map(len, ranks)) <= (8 % world > 0)
            assert [sample for batch in ranks for sample in batch] == ids(epoch.batch(number, step))


def test_a_step_does_not_depend_on_what_was_asked_before_and_seed_and_epoch_change_it():
    asked = order()
    last = ids(asked.batch(5, 4))
    assert last == ids(order().batch(5, 4))
    assert last not in (ids(order().batch(4, 4)), ids(order(seed=4).batch(5, 4)))


def test_what_does_not_fill_a_batch_is_left_out_and_comes_in_other_epochs():
    epoch = order(batch=10)
    assert epoch.steps == 4
    left_out = []
    for number in range(12):
        seen = [sample for step in range(4) for sample in ids(epoch.batch(number, step))]
        assert len(set(seen)) == 40
        left_out.append(frozenset(range(48)) - set(seen))
    assert len(set(left_out)) == 12
    with pytest.raises(ValueError, match="48 samples do not fill one batch of 49"):
        order(batch=49)


def test_windows_mix_shards_and_lanes_keep_ranks_to_their_own_shards():
    counts = [100] * 16
    mixed = EpochOrder(counts, OrderOptions(batch=50, seed=0, window=400))
    # 50 of the 400 samples of four shards: all four are in it but once in a million times.
    assert len(set(mixed.batch(0, 0)[:, 0].tolist())) == 4
    lanes = EpochOrder(counts, OrderOptions(batch=40, seed=0, window=200, lanes=4))
    shards = [
        {int(shard) for step in range(lanes.steps) for shard in lanes.batch(0, step, rank, 2)[:, 0]}
        for rank in range(2)
    ]
    assert shards[0].isdisjoint(shards[1]) and len(shards[0] | shards[1]) == 16
    later = {int(shard) for step in range(lanes.steps) for shard in lanes.batch(1, step, 1, 2)[:, 0]}
    for step in range(lanes.steps):
        upcoming = set(lanes.upcoming(0, step, 1, 2, ahead=2))
        assert set(lanes.batch(0, step, 1, 2)[:, 0].tolist()) <= upcoming <= shards[1] | later
        # Of the next epoch the first ones of each lane, and not before the last ones of this epoch are at work.
        assert upcoming <= shards[1] if step * 10 < 200 else len(upcoming - shards[1]) <= 4
        assert len(upcoming) <= 2 * (2 + 2)


def test_ten_million_samples_need_no_list_of_them():
    large = EpochOrder([10_000] * 1_000, OrderOptions(batch=4096, seed=0))
    places = large.batch(3, large.steps - 1)
    assert places.shape == (4096, 2) and len({tuple(place) for place in places.tolist()}) == 4096
    assert sum(window.size for window in large.windows.values()) <= 4 * 8192
