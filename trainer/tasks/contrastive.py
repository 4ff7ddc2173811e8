"""Supervised SimCSE on texts of one thing (2104.08821): symmetric InfoNCE over two texts of every group in the batch."""

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from contracts.types import ContrastiveConfig
from data.order import epoch_batch
from engine.grad_cache import cached_backward
from engine.run import Run
from engine.sharding import Blocks, equal_parts, shares_of, slices_of
from engine.task import Figure, Figures, Losses, Parts, Task
from losses.contrastive import pair_loss
from losses.ranks import Ranks
from tasks.contrastive_groups import Group, Groups
from towers.language.lora import lora_left_out
from towers.language.model import LanguageModel
from towers.language.structure import base_decoder, blocks_of
from towers.language.tokens import TextTokens
from towers.metrics import pair_hits

EVALUATE_EVERY = 20  # steps, where a recipe says no others
NO_PAIRS = "dev_accuracy was not measured: no image of dev has two captions"


class Contrastive(Task):
    """`dev`: pairs of captions of one image; how often the second is the nearest of the first is the figure on the way.

    Where no image of dev has two captions there is no such figure, and `notes` say so.
    `accuracy`: that figure before training, then of every measurement. The first two are measured together, so that training
    does not wait: without its LoRA layers the model is what it was.
    """

    def __init__(
        self, run: Run[ContrastiveConfig], language_model: LanguageModel, sampler: "Sampler", dev: Sequence[list[str]]
    ) -> None:
        self.run, self.language_model, self.sampler, self.dev = run, language_model, sampler, dev
        self.modules = {"language_model": language_model.model}
        self.losses = Losses()
        self.accuracy: list[float] = []
        self.notes = [] if dev else [NO_PAIRS]

    def blocks(self) -> Blocks:
        """The layers of the decoder."""
        model = self.language_model.model
        return Blocks(base_decoder(model), [block for _, block in blocks_of(model)])

    def backward(self, step: int) -> Parts:
        """Gradient of the loss over the whole batch, through this rank's texts."""
        run, config, world = self.run, self.run.config, self.run.world
        chosen, names = self.sampler.draw(step)
        texts = [pair[side] for side in (0, 1) for pair in world.share(chosen)]
        ranks = Ranks(even=len(chosen) % world.size == 0)
        rows = self.language_model.tokens(texts, config["max_tokens"])
        # Rows of similar length share a micro-batch: less padding. `back` undoes the order before the loss.
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        back = torch.tensor(sorted(range(len(rows)), key=lambda i: order[i]), device=run.device)

        def loss_of(sorted_ND: torch.Tensor) -> torch.Tensor:
            return pair_loss(sorted_ND[back], texts, config["temperature"], world.share(names), ranks=ranks)

        least, most = shares_of(len(chosen), world)
        micro_batches = equal_parts([rows[i] for i in order], config["micro_batch"], (2 * least, 2 * most))
        keep_graphs = not config.get("gradient_cache", True)
        loss = cached_backward(self.encode, micro_batches, loss_of, keep_graphs=keep_graphs)
        return {"loss": loss / world.size}

    def encode(self, rows: list[TextTokens]) -> torch.Tensor:
        """Unit vectors of texts."""
        packing = self.run.config.get("packing", False)
        return F.normalize(self.language_model.features(rows, self.run.config["pooling"], packing=packing), dim=-1)

    def measure(self, step: int, parts: Parts) -> Figures:
        """The mean loss of the last five steps, and the newest accuracy where one was measured."""
        self.losses.add(parts["loss"])
        every, steps = self.run.config.get("evaluate_every", EVALUATE_EVERY), self.run.config["schedule"]["steps"]
        if self.dev and ((step + 1) % every == 0 or step + 1 == steps):
            if not self.accuracy:
                with lora_left_out(self.language_model):
                    self.accuracy.append(self.dev_accuracy())
                self.run.log(f"dev caption retrieval before training: {self.accuracy[0]:.3f}")
            self.accuracy.append(self.dev_accuracy())
        figures: dict[str, Figure] = {"loss": lambda: self.losses.mean(5)}
        return figures | ({"dev_accuracy": self.accuracy[-1]} if self.accuracy else {})

    def metrics(self) -> dict[str, float]:
        """The figures of a report, at the end."""
        figures = {"loss.last": self.losses.mean(1)}
        if self.accuracy:
            figures |= {"dev_accuracy.first": self.accuracy[0], "dev_accuracy.last": self.accuracy[-1]}
        return figures

    def dev_accuracy(self) -> float:
        """Caption retrieval accuracy: how many dev captions find the second one of the same image among all second ones."""
        model, config = self.language_model.model, self.run.config
        model.eval()
        with torch.no_grad():
            sides = [
                torch.cat(
                    [
                        self.encode(self.language_model.tokens([pair[side] for pair in part], config["max_tokens"]))
                        for part in slices_of([*self.dev], 64)
                    ]
                )
                for side in (0, 1)
            ]
        model.train()
        return float(pair_hits(*sides).mean())

    def state(self) -> dict[str, Any]:
        """Losses and accuracies so far."""
        return {"losses": self.losses.numbers(), "accuracy": self.accuracy}

    def load_state(self, state: dict[str, Any]) -> None:
        """Put them back."""
        self.losses.values, self.accuracy = [*state["losses"]], state["accuracy"]


class Sampler:
    """Which groups a step sees, and two texts of each: a pure function of seed and step, no group twice in an epoch."""

    def __init__(
        self,
        groups: Groups,
        config: ContrastiveConfig,
        seed: int,
    ) -> None:
        self.seed = seed
        kinds: list[tuple[Sequence[list[str]] | Sequence[Group], float]] = [
            (groups.concepts, config["concept_fraction"]),
            (groups.passages, config.get("document_fraction", 0)),
            (groups.long, config.get("long_fraction", 0)),
        ]
        # Each fraction is rounded by itself: the last ones get what the others leave.
        left, sizes = config["batch_size"], list[int]()
        for found, fraction in kinds:
            sizes.append(min(round(config["batch_size"] * fraction), left) if found else 0)
            left -= sizes[-1]
        # Groups of texts, or of a name and texts, and how many of them a batch has.
        self.parts = [(groups.captions, left), *((found, size) for (found, _), size in zip(kinds, sizes, strict=True))]
        if not any(found and size for found, size in self.parts):
            raise ValueError(
                "contrastive: nothing to learn from says the same twice. It takes train images with two captions or more and "
                "prepare.texts of kind groups and long; labels and concepts, documents where concept_fraction and "
                "document_fraction are above 0. Give it some of these, or leave the block out"
            )

    def draw(self, step: int) -> tuple[list[list[str]], list[str | None]]:
        """Two texts of every group, and the name of its concept."""
        rng = random.Random(f"{self.seed}/{step}")
        pairs: list[list[str]] = []
        names: list[str | None] = []
        for place, (groups, size) in enumerate(self.parts):
            for number in epoch_batch((self.seed, place), step, len(groups), size) if groups and size else ():
                group = groups[number]
                name, texts = group if isinstance(group, tuple) else (None, group)
                pairs.append(rng.sample(texts, 2))
                names.append(name)
        return pairs, names
