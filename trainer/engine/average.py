"""Exponential moving average of weights: what a stage keeps in the end, less noisy than the weights of the last step."""

from collections.abc import Iterable

import torch


class Average:
    """Of parameters, by name; young averages follow faster: the decay is at most (1 + step) / (10 + step)."""

    def __init__(self, parameters: Iterable[tuple[str, torch.Tensor]], decay: float) -> None:
        self.parameters = dict(parameters)
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in self.parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the weights after `step` (0-based)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in self.parameters.items():
            self.weights[name].lerp_(value, 1 - decay)

    @torch.no_grad()
    def take(self) -> None:
        """Put the average in the place of the weights."""
        for name, value in self.parameters.items():
            value.copy_(self.weights[name])
