"""Image and text tower trained together, towards an objective of several terms (objective.py)."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from contracts.types import ClipConfig
from engine.generators import torch_seed
from engine.grad_cache import cached_backward
from engine.optim import param_groups
from engine.run import Run
from engine.sharding import Blocks
from engine.task import Figures, Parts, Task
from tasks.clip.objective import Objective
from tasks.clip.scales import LogitScales
from tasks.clip_data.batch import Seen
from towers.image.tower import ImageTower

SHOWN = ("mean_recall", "zero_shot_top1", "unseen_top1", "region_top1")  # in the log, of all that is measured


class Clip(Task):
    """`measure_dev`: figures by name on what is not trained on, with the weights of the moment."""

    averaged = ("image", "text")  # not the logit scales

    def __init__(
        self,
        run: Run[ClipConfig],
        objective: Objective,
        measure_dev: Callable[[], dict[str, float]],
    ) -> None:
        self.run, self.objective, self.measure_dev = run, objective, measure_dev
        self.modules = {"image": objective.tower, "text": objective.text_tower, "scales": objective.scales}
        self.history: list[dict[str, float]] = []
        self.loss_average = torch.zeros((), dtype=torch.float64)

    def groups(self) -> list[dict[str, Any]]:
        """Rates by layer of the image tower; the logit scales without decay."""
        config, objective = self.run.config, self.objective
        if config.get("image_head") == "locked":
            objective.tower.head.requires_grad_(requires_grad=False)
        image = objective.tower.trainable_groups(
            objective.pairs.block, config["backbone_lr"], config["schedule"]["lr"], config["layer_decay"]
        )
        scales = {"params": [*objective.scales.parameters()], "weight_decay": 0.0}
        return [*image, *param_groups(objective.text_tower), scales]

    def blocks(self) -> Blocks | None:
        """Those of the image tower that train; of a tower whose blocks are not known, none."""
        tower, first = self.objective.tower, self.objective.pairs.block
        parts = [] if first is None else tower.blocks()[first:]
        return Blocks(tower, parts, ("forward_trainable", "forward_regions")) if parts else None

    def loss(self, step: int) -> tuple[torch.Tensor, Parts]:
        """The weighted sum of the terms, through this rank's images and texts."""
        seen, rng = self.start(step)
        total, parts = self.objective.loss(seen, rng, (self.run.seed, step))
        return total, {name: part / self.run.world.size for name, part in parts.items()}

    def backward(self, step: int) -> Parts:
        """Its gradient, with GradCache where the recipe says how many images are embedded at a time."""
        run, objective, size = self.run, self.objective, self.run.config.get("micro_batch")
        if size is None:
            return super().backward(step)
        seen, rng = self.start(step)
        parts = Parts()

        def loss_of(*own: torch.Tensor) -> torch.Tensor:
            total, terms = objective.terms(seen, own, rng, (run.seed, step))
            parts.update({name: part.detach() / run.world.size for name, part in terms.items()})
            return total

        cached_backward(lambda part: objective.encode(seen, part), seen.counts.micro_batches(size), loss_of)
        return parts

    def start(self, step: int) -> tuple[Seen, np.random.Generator]:
        """What a step sees, and what else it draws from."""
        run, objective = self.run, self.objective
        objective.tower.train()
        objective.text_tower.train()
        rng = np.random.default_rng((run.seed, 1, step))
        seen = objective.pairs.at(step, rng)
        # Dropout of its own on every rank.
        torch.manual_seed(torch_seed(run.seed * 1_000_003 + step + 1_000_000_007 * run.world.rank))
        return seen, rng

    def constrain(self) -> None:
        """The logit scales stay where CLIP keeps them; the image tower's own teacher follows it."""
        self.objective.scales.clamp()
        if self.objective.self_teacher is not None:
            self.objective.self_teacher.follow()

    def close(self) -> None:
        """The workers that decode end."""
        self.objective.pairs.close()

    def take(self, modules: Mapping[str, nn.Module]) -> None:
        """What the loop has trained: towers that were split between the ranks are whole again on the first one."""
        objective, device = self.objective, self.run.device
        objective.tower = cast(ImageTower, modules["image"].to(device))
        objective.text_tower = modules["text"].to(device)
        objective.scales = cast(LogitScales, modules["scales"].to(device))

    def measure(self, step: int, parts: Parts) -> Figures:
        """The terms, the loss as an average over steps, and now and then the dev figures."""
        loss = parts["loss"].double()
        self.loss_average = loss if step == 0 else 0.95 * self.loss_average + 0.05 * loss
        if (step + 1) % self.run.config["evaluate_every"] == 0:
            metrics = self.measure_dev()
            self.history.append({"step": step + 1, **metrics})
            shown = (f"{name} {metrics[name]:.4f}" for name in SHOWN if name in metrics)
            self.run.log(f"step {step + 1}: " + ", ".join(shown))
        scale = self.objective.scales.captions
        figures = {**parts, "loss": self.loss_average, "scale": lambda: scale.exp().item()}
        return figures | ({"dev": self.history[-1]["mean_recall"]} if self.history else {})

    def state(self) -> dict[str, Any]:
        """Dev figures and the averaged loss so far, and where the images are."""
        pairs, teacher = self.objective.pairs.state(), self.objective.self_teacher
        kept = {"history": self.history, "loss_average": float(self.loss_average), "pairs": pairs}
        kept["margin"] = float(self.objective.margin)
        if self.objective.regions is not None:
            kept["region_margin"] = float(self.objective.regions.margin)
        return kept if teacher is None else kept | {"self_teacher": teacher.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put them back."""
        self.history = state["history"]
        self.objective.margin.fill_(state.get("margin", 0.0))
        if self.objective.regions is not None:
            self.objective.regions.margin.fill_(state["region_margin"])
        if self.objective.self_teacher is not None:
            self.objective.self_teacher.load_state(state["self_teacher"])
        self.objective.pairs.load_state(state.get("pairs", {}))
        self.loss_average = torch.tensor(state["loss_average"], dtype=torch.float64)
