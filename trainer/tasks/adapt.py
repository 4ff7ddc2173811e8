"""A model's towers moved towards a user's own images and captions, titles or classes, and held where they were elsewhere."""

import math
import time
from typing import Any, cast

import torch
from torch import nn

from contracts.types import AdaptConfig, Schedule, Tier
from engine.loop import Loop
from engine.optim import groups_of
from engine.run import Run
from engine.task import Figures, Parts, Task
from losses.matrices import multi_positive_nce
from towers.adaptation.batches import General, Sampler
from towers.adaptation.image_side import ImageSide
from towers.adaptation.losses import class_loss, cut, held
from towers.adaptation.own_data import Pictures
from towers.adaptation.tiers import TextSide
from towers.two_towers import MAX_LOGIT_SCALE, new_logit_scale

HEAD_RATE = 2.0  # of the image tower: times the rate of the layers below it, where a recipe says no other
EMA_DECAY = 0.98  # of the average that is kept, where a recipe says no other
TIMED_STEPS = 5  # after which a limit of minutes becomes a number of steps


class Adapt(Task):
    """`schedule` is the recipe's, shortened where a limit of minutes wants it."""

    def __init__(self, images: ImageSide, text: TextSide, general: General, sampler: Sampler) -> None:
        self.run: Run[AdaptConfig] = images.run
        self.images, self.text, self.general, self.sampler = images, text, general, sampler
        self.schedule = cast(Schedule, dict(self.run.config["schedule"]))
        self.scale = nn.ParameterDict({"captions": new_logit_scale()}).to(self.run.device)
        self.modules = {name: module for name, module in text.transformers.items()}
        self.modules |= {"static": text.static, "scale": self.scale}
        if images.tail is not None:
            self.modules["image"] = images.tail
        self.loss_average = torch.zeros((), dtype=torch.float64)
        self.first: int | None = None
        self.started = 0.0

    def groups(self) -> list[dict[str, Any]]:
        """Rates by kind. Vectors do not decay, nor do token rows: those that own texts lack have to stay as they are."""
        config, images, text = self.run.config, self.images, self.text
        lr, decay = config["schedule"]["lr"], config["schedule"]["weight_decay"]
        tables, matrices, rest = [], [], []
        for student in text.transformers.values():
            own = {id(student.table.weight), id(student.positions.weight)}
            tables += [parameter for parameter in student.parameters() if id(parameter) in own]
            others = [parameter for parameter in student.parameters() if id(parameter) not in own]
            matrices += [parameter for parameter in others if parameter.ndim > 1]
            rest += [parameter for parameter in others if parameter.ndim <= 1]
        groups = [
            {"params": matrices, "lr": lr, "weight_decay": decay},
            {"params": [*rest, *tables], "lr": lr, "weight_decay": 0.0},
            {"params": list(text.static.parameters()), "lr": config["static_lr"], "weight_decay": 0.0},
            {"params": [self.scale["captions"]], "lr": 1e-2, "weight_decay": 0.0},
        ]
        if images.tail is not None:
            tail = cast(Any, images.tail)
            head = {tail.names[name] for name in images.graph.head.input if name in tail.names}
            named = dict(tail.named_parameters())
            head_rate = config.get("head_rate", HEAD_RATE)
            for names, rate in ((named.keys() - head, 1.0), (head, head_rate)):
                layers = [parameter for name, parameter in named.items() if name in names]
                groups += groups_of(layers, lr=rate * config["image_lr"], weight_decay=decay)
        return groups

    def loss(self, step: int) -> tuple[torch.Tensor, Parts]:
        """Own captions and classes against the images, in every tier and at every length, and general texts in place."""
        run, images, text, general = self.run, self.images, self.text, self.general
        config, scale = run.config, self.scale["captions"].exp()
        batch = self.sampler.draw(step)
        image_BE = images.vectors(batch.rows, batch.views)
        tokens = [*text.tokens([*batch.texts, *batch.class_texts]), *(general.tokens[i] for i in batch.general)]
        ends = (len(batch.texts), len(batch.texts) + len(batch.class_texts))
        match_BT, labels_B = batch.match.to(run.device), batch.labels.to(run.device)
        total = image_BE.new_zeros(())
        tiers: dict[Tier, torch.Tensor] = text.vectors(tokens, run.device, run.amp_dtype)
        for tier, vectors_TE in tiers.items():
            # The image tower listens to the student alone: the others would pull it to what less can say.
            image = image_BE if tier == "student" else image_BE.detach()
            for length in text.dims:
                parts = [cut(part, length) for part in (image, vectors_TE[: ends[0]], vectors_TE[ends[0] : ends[1]])]
                if batch.texts:
                    loss = multi_positive_nce(parts[0], parts[1], scale, match_BT)
                    total = total + loss * len(batch.texts) / len(batch.rows)
                if batch.labelled:
                    share = len(batch.labelled) / len(batch.rows)
                    smoothing = config.get("label_smoothing", 0.0)
                    total = total + share * class_loss(parts[0][batch.labelled], parts[2], scale, labels_B, smoothing)
            if batch.general:
                old_GE = general.old[tier][batch.general].to(run.device)
                weight = config["general_weight"] * len(text.dims)
                total = total + weight * held(vectors_TE[ends[1] :], old_GE)
        total = total / len(text.dims)
        return total, {"loss": total}

    def constrain(self) -> None:
        """The logit scale stays where CLIP keeps it."""
        self.scale["captions"].data.clamp_(0, MAX_LOGIT_SCALE)

    def measure(self, step: int, parts: Parts) -> Figures:
        """The loss as an average over steps. After a few steps, how many more the time allows."""
        loss = parts["loss"].double()
        self.loss_average = loss if self.first is None else 0.9 * self.loss_average + 0.1 * loss
        minutes = self.run.config["minutes"]
        if self.first is None:
            self.first, self.started = step, time.monotonic()
        elif minutes is not None and step == self.first + TIMED_STEPS:
            each = (time.monotonic() - self.started) / TIMED_STEPS
            left = 60 * minutes - (time.monotonic() - self.run.started)
            self.schedule["steps"] = max(step + 1, min(self.schedule["steps"], step + 1 + math.floor(left / each)))
            self.run.log(f"{each:.2f} s a step: {self.schedule['steps']} steps in the time that is left")
        scale = self.scale["captions"]
        return {"loss": self.loss_average, "scale": lambda: scale.exp().item()}

    def state(self) -> dict[str, Any]:
        """How many steps there will be."""
        return {"steps": self.schedule["steps"]}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put it back."""
        self.schedule["steps"] = state["steps"]


def train(run: Run[AdaptConfig], images: ImageSide, text: TextSide, general: General, pictures: Pictures) -> int:
    """Train to the end of the schedule or of the time; the averaged weights stay in the modules. Returns the steps."""
    for module in text.modules():
        module.to(run.device).train()
    task = Adapt(images, text, general, Sampler(run, pictures, general))
    Loop(run, task, task.schedule, ema_decay=run.config.get("ema_decay", EMA_DECAY)).train()
    for module in [*text.modules(), *([images.tail] if images.tail is not None else [])]:
        module.eval()
    return task.schedule["steps"]
