"""How things are timed against each other: in turns within one run, medians of rounds, a GPU waited for."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Times:
    """Seconds of each way to do the same, by round."""

    seconds: Mapping[str, Sequence[float]]

    def median(self, name: str) -> float:
        """Of one way."""
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, to: str) -> float:
        """How many times as long one way takes as another, the median of rounds: what slows a machine for a while slows both."""
        return statistics.median(one / other for one, other in zip(self.seconds[name], self.seconds[to], strict=True))


def in_turns(ways: Mapping[str, Callable[[int], object]], rounds: int, device: torch.device, warm_up: int = 1) -> Times:
    """What each way to do the same takes; every round does all of them, after some that are not counted.

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
    return Times(seconds)


def synchronise(device: torch.device) -> None:
    """Wait for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
