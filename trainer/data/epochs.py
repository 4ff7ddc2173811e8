"""The order of the data as a pure function of seed and step: a stage that resumes draws what it would have drawn."""

from functools import lru_cache

import numpy as np


def epoch_batch(seed: tuple[int, ...], step: int, count: int, batch_size: int) -> np.ndarray:
    """`batch_size` different numbers below `count`: every epoch is a new order, inside an epoch nothing comes twice.

    What does not fill a batch at the end of an epoch is left to the next one. A batch is at most `count`.
    """
    size = min(batch_size, count)
    epoch, place = divmod(step, count // size)
    return _order((*seed, epoch), count)[place * size :][:size]


@lru_cache(maxsize=8)
def _order(seed: tuple[int, ...], count: int) -> np.ndarray:
    """The permutation of an epoch, kept while the epoch lasts."""
    order = np.random.default_rng(seed).permutation(count)
    order.setflags(write=False)
    return order
