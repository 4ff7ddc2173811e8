"""The random numbers of a process: seeds, and their state in a form that a checkpoint may hold."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

State = dict[str, Any]


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch on every device, with any number from 0 on."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # it takes no larger one
    torch.manual_seed(torch_seed(seed))


def torch_seed(seed: int) -> int:
    """One that torch takes, which is the seed itself below 2^64. Products of a recipe's seed may be larger."""
    return seed % 2**64


def state() -> State:
    """Where the generators of Python, NumPy and torch on every device are: numbers, strings and tensors."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, torch.from_numpy(np.array(keys, dtype=np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": [generator.get_state() for generator in of_gpus()],
    }


def restore(saved: State) -> None:
    """Put `state` back; of GPUs, as many as there were and are."""
    version, words, gauss = saved["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = saved["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(saved["torch"])
    for generator, value in zip(of_gpus(), saved["cuda"], strict=False):
        generator.set_state(value)


@contextmanager
def fork(start: State | None = None) -> Iterator[None]:
    """What is drawn inside leaves no trace outside; inside, the numbers go on from `start`, or from where they are."""
    before = state()
    try:
        if start is not None:
            restore(start)
        yield
    finally:
        restore(before)


def of_gpus() -> list[torch.Generator]:
    """The generators that dropout on a GPU draws from, one per GPU: other ones than the CPU's."""
    if not torch.cuda.is_available():
        return []
    torch.cuda.init()  # before it there are none
    return list(torch.cuda.default_generators)
