"""What a step of `clip` sees, and how it is dealt to ranks and micro-batches. B images of all ranks, F features of an image."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from contracts.types import ClipConfig
from engine.world import ALONE_ON_CPU, World
from towers.regions.seen import Regions


class Place(NamedTuple):
    """Where the towers run: the ranks, and the dtype of the image tower's products."""

    world: World = ALONE_ON_CPU
    dtype: torch.dtype = torch.float32


def labelled_images(config: ClipConfig, available: int, world: World) -> int:
    """How many images of a step are labelled ones: their fraction of it, where so many are available.

    One captioned image stays for each rank: there is no loss without.
    """
    wanted = round(config["batch_size"] * config["label_fraction"]) if config["labels_weight"] > 0 else 0
    return max(0, min(wanted, available, config["batch_size"] - world.size))


@dataclass(frozen=True)
class Counts:
    """Images of a step that have captions, and that have labels: over all ranks, and of this one."""

    captioned: int
    labelled: int
    own_captioned: int
    own_labelled: int
    ranks: int

    @classmethod
    def of(cls, captioned: int, labelled: int, world: World) -> "Counts":
        """Every rank has its share of each."""
        own_captioned, own_labelled = (len(world.share(range(count))) for count in (captioned, labelled))
        return cls(captioned, labelled, own_captioned, own_labelled, world.size)

    @property
    def images(self) -> int:
        """Of all ranks."""
        return self.captioned + self.labelled

    @property
    def own(self) -> int:
        """Of this rank."""
        return self.own_captioned + self.own_labelled

    def micro_batches(self, size: int) -> list[slice]:
        """This rank's images, at most `size` at a time, in as many parts on every rank: towers split between ranks need that.

        With `size` 1 a rank that has more images than another takes two at a time.
        """
        sizes = (self.captioned, self.labelled)
        least, most = (sum(n // self.ranks for n in sizes), sum(-(-n // self.ranks) for n in sizes))
        count = min(-(-most // size), least)
        edges = [self.own * number // count for number in range(count + 1)]
        return [slice(start, end) for start, end in pairwise(edges)]


class Seen(Protocol):
    """What one step sees. A rank's own images are those with captions, then those with labels."""

    counts: Counts

    def images(self, part: slice) -> torch.Tensor:
        """What the trained part of the image tower reads of a part of this rank's images."""
        ...

    def captions(self, part: slice) -> torch.Tensor | None:
        """The text tower's inputs of the captions of those of them that have one; None: none has."""
        ...

    def pair_names(self) -> list[str]:
        """Of each of this rank's captioned images, its label, normalised, or else its caption: equal ones are no negatives."""
        ...

    def wrong_inputs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The text tower's inputs of the wrong texts of this rank's captions, and which of them there are [b, H]."""
        ...

    def regions(self) -> Regions | None:
        """The regions of this rank's images that are learned from; None where the recipe has no terms on them."""
        ...

    def region_inputs(self, numbers: np.ndarray) -> torch.Tensor:
        """The text tower's inputs of some of their texts, by number."""
        ...

    def label_inputs(self, rng: np.random.Generator) -> torch.Tensor:
        """The text tower's inputs of a text of the label of each of this rank's labelled images."""
        ...

    def labels(self) -> list[str]:
        """Their labels, normalised."""
        ...

    def features(self) -> torch.Tensor:
        """The frozen tower's pooled features [B, F] of the images of all ranks: those with captions, then the others."""
        ...

    def other_features(self, count: int, rng: np.random.Generator) -> torch.Tensor:
        """Such features of `count` images that are drawn at random: this rank's share of them."""
        ...


class Pairs(Protocol):
    """Images with captions or labels, step by step. `block`: the first one of the image tower that trains."""

    block: int | None

    def at(self, step: int, rng: np.random.Generator) -> Seen:
        """What a step sees; `rng` is that of the step."""
        ...

    def first_features(self) -> torch.Tensor:
        """The frozen tower's pooled features [N, F] of some images, the same on every rank, float32 on the CPU."""
        ...

    def close(self) -> None:
        """No further step is asked for."""
        ...

    def state(self) -> dict[str, Any]:
        """Where they are, for a checkpoint."""
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on there."""
        ...
