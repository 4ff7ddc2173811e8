"""Regression of text features onto an image tower's own space, before any image is seen (ProCLIP's first stage)."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from contracts.types import InheritConfig
from data.order import epoch_batch
from engine.run import Run
from engine.task import Figures, Parts, Task
from losses.regularise import inherit_loss


@dataclass
class Regression:
    """Text features [N, D] to be mapped onto targets [M, E] by number [N]."""

    features_ND: torch.Tensor
    targets_ME: torch.Tensor
    target_of_N: torch.Tensor


class Inherit(Task):
    """Trains the adapter; every batch in a new order of the texts."""

    def __init__(self, run: Run[InheritConfig], adapter: nn.Module, regression: Regression) -> None:
        self.run, self.adapter, self.regression = run, adapter, regression
        self.modules = {"adapter": adapter}
        self.last = 0.0

    def loss(self, step: int) -> tuple[torch.Tensor, Parts]:
        """Distance and structure over the whole batch, through this rank's texts."""
        run, config, regression = self.run, self.run.config, self.regression
        chosen = epoch_batch((run.seed,), step, len(regression.features_ND), config["batch_size"])
        features_BD = regression.features_ND[run.world.share(chosen)].to(run.device)
        text_BE = run.world.whole(self.adapter(features_BD), len(chosen))
        targets_BE = regression.targets_ME[regression.target_of_N[chosen]].to(run.device)
        loss = inherit_loss(text_BE, targets_BE, config["struct_weight"], draw=(run.seed, step))
        return loss, {"loss": loss / run.world.size}

    def measure(self, step: int, parts: Parts) -> Figures:
        """The loss."""
        if step + 1 == self.run.config["schedule"]["steps"]:
            self.last = float(parts["loss"])
        return parts

    def state(self) -> dict[str, Any]:
        """Of a checkpoint after the last step, the loss of it."""
        return {"last": self.last}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put it back."""
        self.last = state["last"]
