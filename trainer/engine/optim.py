"""Optimiser and learning-rate schedule: AdamW, warm-up, cosine or linear decay, rates by group; the average of weights."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from contracts.types import Schedule
from engine.sharding import is_split, norm_of

BETAS, EPSILON = (
    (0.9, 0.98),
    1e-6,
)  # those of CLIP's authors for transformers (2103.00020), where a recipe says no others


def adamw(groups: Iterable[dict[str, Any]], schedule: Schedule) -> torch.optim.AdamW:
    """AdamW over parameter groups; a group's `lr` is its peak, the schedule's where it has none."""
    own: dict[str, Any] = {"lr": schedule["lr"], "weight_decay": schedule["weight_decay"]}
    ready = [own | group | {"params": part} for group in groups for part in of_one_kind(group["params"])]
    # One kernel for all parameters on a GPU; on a CPU torch's own loop, whose roundings earlier results have, unless asked.
    fused = schedule.get("fused", False) or any(p.is_cuda for group in ready for p in group["params"])
    betas, epsilon = schedule.get("betas", BETAS), schedule.get("epsilon", EPSILON)
    optimizer = torch.optim.AdamW(ready, betas=(betas[0], betas[1]), eps=epsilon, fused=fused or None)
    for group in optimizer.param_groups:
        group["peak_lr"] = group["lr"]
    return optimizer


def of_one_kind(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Those that are split between ranks and those that are not: the kernel for all parameters takes no mixture."""
    parts = [[p for p in parameters if is_split(p)], [p for p in parameters if not is_split(p)]]
    return [part for part in parts if part]


def param_groups(module: nn.Module, **options: Any) -> list[dict[str, Any]]:
    """Two groups of a module's trainable parameters: matrices, and vectors without weight decay."""
    return groups_of([parameter for parameter in module.parameters() if parameter.requires_grad], **options)


def groups_of(parameters: Sequence[nn.Parameter], **options: Any) -> list[dict[str, Any]]:
    """The same of parameters; a kind of which there are none has no group."""
    matrices = [parameter for parameter in parameters if parameter.ndim > 1]
    vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [{"params": matrices, **options}, {"params": vectors, **options, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def lr_factor(step: int, schedule: Schedule) -> float:
    """Fraction of the peak rate at a step (0-based): linear warm-up, then cosine or linear decay to zero."""
    warmup, total = schedule["warmup_steps"], schedule["steps"]
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return 0.5 * (1 + math.cos(math.pi * progress)) if schedule["decay"] == "cosine" else 1 - progress


def set_lr(optimizer: torch.optim.Optimizer, step: int, schedule: Schedule) -> None:
    """Set every group's learning rate for a step."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * lr_factor(step, schedule)


def clip_gradients(optimizer: torch.optim.Optimizer, limit: float) -> torch.Tensor:
    """Clip the global gradient norm; returns the norm before clipping, on the device: reading it would wait for a GPU."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    sharded = [parameter for parameter in parameters if is_split(parameter)]
    if not sharded:
        return nn.utils.clip_grad_norm_(parameters, limit)
    norm = norm_of([parameter.grad for parameter in parameters if parameter.grad is not None])
    for part in (sharded, [parameter for parameter in parameters if not is_split(parameter)]):
        nn.utils.clip_grads_with_norm_(part, limit, norm)
    return norm


class Average:
    """Exponential moving average of parameters, by name: less noisy than those of the last step. Young averages follow faster: the decay is at most (1 + step) / (10 + step)."""

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
