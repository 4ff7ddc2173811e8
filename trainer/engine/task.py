"""What is learned, apart from how it is run: the loop asks a task for the gradient of every step."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from engine.optim import param_groups
from engine.sharding import Blocks

# What progress shows of a step. It is computed only where a line is printed: reading a number waits for a GPU.
Figure = float | torch.Tensor | Callable[[], float]
Figures = Mapping[str, Figure]
# Of a loss, by name: 0-d tensors, this rank's part of each. The loop adds them up over the ranks, in place.
Parts = dict[str, torch.Tensor]


def value_of(figure: Figure) -> float:
    """A figure, computed now."""
    return float(figure() if callable(figure) else figure)


class Task:
    """Modules and the gradient of every step. A subclass sets `modules` and writes `loss`, or `backward`.

    `modules` hold every parameter that trains, by name. What a step sees is a pure function of its number: a run that resumes
    sees what it would have seen. With several ranks a loss is this rank's part of that of the whole batch: gradients are
    added up over the ranks.
    """

    modules: dict[str, nn.Module]
    averaged: tuple[str, ...] | None = None  # the modules that the average is of, where the loop keeps one; None: all

    def groups(self) -> list[dict[str, Any]]:
        """Parameter groups of the optimiser; a group's `lr` is its peak, that of the schedule where it has none."""
        return [group for module in self.modules.values() for group in param_groups(module)]

    def blocks(self) -> Blocks | None:
        """What repeats in a large model: split, kept or computed again, and compiled one by one. None: nothing does."""
        return None

    def loss(self, step: int) -> tuple[torch.Tensor, Parts]:
        """The loss of a step (0-based), and its parts for progress."""
        raise NotImplementedError

    def backward(self, step: int) -> Parts:
        """Add the gradient of a step to the parameters."""
        loss, parts = self.loss(step)
        loss.backward()
        return {name: part.detach() for name, part in parts.items()}

    def constrain(self) -> None:
        """Keep parameters where they belong, after the optimiser's step and before the average."""

    def measure(self, step: int, parts: Parts) -> Figures:
        """What progress shows after a step, of the parts of its loss and of what is not trained on."""
        return parts

    def state(self) -> dict[str, Any]:
        """What else a checkpoint holds: numbers, strings, tensors, and lists, tuples and dicts of them."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put `state` back."""

    def close(self) -> None:
        """End what steps were made with, such as workers: no further step is asked for, whether all were taken or one has failed."""


class Losses:
    """The losses of all steps so far; numbers are read only when somebody asks."""

    def __init__(self) -> None:
        self.values: list[float | torch.Tensor] = []

    def add(self, loss: torch.Tensor | float) -> None:
        """Of one more step."""
        self.values.append(loss.detach() if isinstance(loss, torch.Tensor) else loss)

    def numbers(self) -> list[float]:
        """All of them."""
        self.values = [float(value) for value in self.values]
        return self.values  # pyright: ignore[reportReturnType] - all are numbers now

    def mean(self, last: int) -> float:
        """Mean of the last ones."""
        numbers = [float(value) for value in self.values[-last:]]
        return sum(numbers) / len(numbers)
