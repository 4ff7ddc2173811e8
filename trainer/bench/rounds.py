"""How things are timed against each other: in turns within one run, medians of rounds, a GPU waited for."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NotRequired, TypedDict

import torch


class Row(TypedDict):
    """A line of the report. `least`, `most`: what is wanted of the value; `left_out` instead of a value: why there is none."""

    what: str
    value: NotRequired[float]
    unit: str
    least: NotRequired[float]
    most: NotRequired[float]
    note: NotRequired[str]
    left_out: NotRequired[str]
    failed: NotRequired[bool]  # left out because it broke


def in_turns(
    ways: Mapping[str, Callable[[int], object]], rounds: int, device: torch.device, warm_up: int = 1
) -> dict[str, float]:
    """Median seconds of each way to do the same; every round does all of them, after some that are not counted.

    A way gets the number of its round. Every second round goes through them backwards: what comes first has no advantage.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(warm_up + rounds):
        names = list(ways)
        for name in names if number % 2 == 0 else reversed(names):
            synchronise(device)
            started = time.perf_counter()
            ways[name](number)
            synchronise(device)
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(found) for name, found in seconds.items()}


def synchronise(device: torch.device) -> None:
    """Wait for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
