"""Students that learn the text teacher's vectors: a token table, and transformers whose vectors may be sums with its own."""

from typing import Any

import torch

from engine.task import Figures, Parts, Task
from towers.distillation import Distillation
from towers.student.examples import Example
from towers.student.losses import CONTRADICTION_MARGIN, contradiction_loss
from towers.student.model import StaticStudent, TextStudent
from towers.token_batches import padded
from towers.wordpiece import with_special_tokens

QUANTISED_FRACTION = 0.2  # of the steps, the last ones, where a recipe says no other
EVALUATE_EVERY = 100  # steps


class DistillStatic(Task):
    """The token table; `dev`: tokens of dev captions for the figure on the way. `start` comes before training."""

    static: StaticStudent

    def __init__(self, shared: Distillation, dev: list[list[int]]) -> None:
        self.shared, self.dev = shared, dev
        self.last, self.cosine = 0.0, 0.0

    def start(self, static: StaticStudent) -> None:
        """Train this table."""
        self.static, self.modules = static, {"static": static}

    def look(self) -> None:
        """See what it says of dev before training; a checkpoint brings it where there is one."""
        self.cosine = self.dev_cosine()

    def dev_cosine(self) -> float:
        """Mean cosine of the dev captions to the teacher."""
        with torch.no_grad():
            return self.shared.dev_cosine(self.static(self.dev).cpu())

    def loss(self, step: int) -> tuple[torch.Tensor, Parts]:
        """Over the batch of all ranks, through this rank's texts."""
        world = self.shared.run.world
        examples = self.shared.sampler.draw(f"static/{step}", self.shared.config["static"]["batch_size"])
        own_BE = self.static([example.ids for example in world.share(examples)])
        embedded_BE = world.whole(own_BE, len(examples))
        loss = self.shared.loss(embedded_BE, examples)
        return loss, {"loss": loss / world.size}

    def measure(self, step: int, parts: Parts) -> Figures:
        """The loss and the newest dev cosine."""
        if step + 1 == self.shared.config["static"]["schedule"]["steps"]:
            self.last = float(parts["loss"])
        if (step + 1) % EVALUATE_EVERY == 0:
            self.cosine = self.dev_cosine()
        return {**parts, "static_dev_cosine": self.cosine}

    def state(self) -> dict[str, Any]:
        """Figures so far."""
        return {"last": self.last, "cosine": self.cosine}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put them back."""
        self.last, self.cosine = state["last"], state["cosine"]


class DistillStudent(Task):
    """One transformer by the name of its tier; `dev`: ids of dev captions. `start` comes before training.

    `keeps_best`: the weights with the highest dev cosine are those that are left in the end, the first ones included.
    """

    student: TextStudent

    def __init__(self, shared: Distillation, name: str, dev: list[list[int]], *, keeps_best: bool = False) -> None:
        self.shared, self.name, self.dev, self.keeps_best = shared, name, dev, keeps_best
        config = shared.config
        self.pool_options = config["batch_tokens"], config["context_length"]
        self.pool, self.place, self.drawn = -1, 0, 0  # where the next batch is, and how many were drawn before it
        self.batches: list[list[Example]] = []
        self.last, self.first, self.cosine = 0.0, 0.0, 0.0
        self.best: tuple[float, dict[str, torch.Tensor]] | None = None  # the dev cosine, and the weights that had it

    def start(self, student: TextStudent, steps: int) -> None:
        """Train this transformer in so many steps."""
        self.student, self.steps = student.train(), steps
        self.modules = {"student": student}

    def look(self) -> float:
        """Mean cosine of the dev captions to the teacher before training; a checkpoint brings it where there is one."""
        self.first = self.cosine = self.dev_cosine()
        return self.first

    def dev_cosine(self) -> float:
        """Mean cosine of the dev captions to the teacher; where the best weights are kept, by exact layers as the report has it."""
        if not self.keeps_best:
            return self.shared.dev_cosine(self.student.embed(self.dev))
        self.student.fake_quantize(enabled=False)  # the next step sets it again
        cosine = self.shared.dev_cosine(self.student.embed(self.dev))
        if self.best is None or cosine > self.best[0]:
            weights = {name: value.detach().cpu().clone() for name, value in self.student.state_dict().items()}
            self.best = (cosine, weights)
        return cosine

    def take_best(self) -> float:
        """Put the best weights in, where they were kept; their dev cosine."""
        if self.best is not None:
            self.cosine, weights = self.best
            self.student.load_state_dict(weights)
        return self.cosine

    def draw(self, step: int) -> list[Example]:
        """The batch of a step; batches come in turn."""
        batch: list[Example] = []
        while self.drawn <= step:
            if self.place == len(self.batches):
                self.pool, self.place = self.pool + 1, 0
                self.batches = self.shared.sampler.pool(self.name, self.pool, *self.pool_options)
            batch = self.batches[self.place]
            self.place, self.drawn = self.place + 1, self.drawn + 1
        return batch

    def loss(self, step: int) -> tuple[torch.Tensor, Parts]:
        """Over the batch of all ranks, through this rank's texts."""
        shared, config = self.shared, self.shared.config
        examples = self.draw(step)
        exact = 1 - config.get("quantised_fraction", QUANTISED_FRACTION)
        self.student.fake_quantize(enabled=step >= exact * self.steps)
        embedded_BE = self.vectors([example.ids for example in examples])
        loss = shared.loss(embedded_BE, examples)
        if config["negatives_weight"] > 0:
            loss = loss + config["negatives_weight"] * self.loss_of_contradictions(embedded_BE, examples)
        return loss, {f"{self.name}_loss": loss / shared.run.world.size}

    def vectors(self, ids: list[list[int]]) -> torch.Tensor:
        """Unit vectors [B, E] of ids without special tokens, each rank's share by its own student."""
        run, length = self.shared.run, self.student.shape.context_length
        own = [with_special_tokens(row, length) for row in run.world.share(ids)]
        if not own:
            none_BE = self.student.projection.weight.new_zeros((0, self.student.shape.embed_dim))
            return run.world.whole(none_BE, len(ids))
        ids_BT, mask_BT = padded(own, run.device)
        with torch.autocast(run.device.type, torch.bfloat16, enabled=run.amp_dtype == torch.bfloat16):
            own_BE = self.student(ids_BT, mask_BT)
        return run.world.whole(own_BE, len(ids))

    def loss_of_contradictions(self, embedded_BE: torch.Tensor, examples: list[Example]) -> torch.Tensor:
        """How little nearer to their targets captions are than what contradicts them."""
        numbers = [number for number, example in enumerate(examples) if example.contradiction]
        if not numbers:
            return embedded_BE.sum() * 0
        others_BE = self.vectors([examples[number].contradiction or [] for number in numbers])
        target_BE = self.shared.targets.of([examples[number].row for number in numbers]).to(others_BE.device)
        margin = self.shared.config.get("contradiction_margin", CONTRADICTION_MARGIN)
        return contradiction_loss(embedded_BE[numbers], others_BE, target_BE, margin)

    def measure(self, step: int, parts: Parts) -> Figures:
        """The loss and the newest dev cosine."""
        if step + 1 == self.steps:
            self.last = float(parts[f"{self.name}_loss"])
        if (step + 1) % EVALUATE_EVERY == 0 or step + 1 == self.steps:
            self.cosine = self.dev_cosine()
        return {**parts, f"{self.name}_dev_cosine": self.cosine}

    def state(self) -> dict[str, Any]:
        """Figures so far, and where the next batch is."""
        figures = {"last": self.last, "first": self.first, "cosine": self.cosine, "best": self.best}
        return figures | {"pool": self.pool, "place": self.place, "drawn": self.drawn}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put them back; pools before that of the next batch are not drawn again."""
        self.last, self.first, self.cosine, self.best = (state[key] for key in ("last", "first", "cosine", "best"))
        self.pool, self.place, self.drawn = state["pool"], state["place"], state["drawn"]
        if self.pool >= 0:
            self.batches = self.shared.sampler.pool(self.name, self.pool, *self.pool_options)
