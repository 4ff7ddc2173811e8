"""Batches of an adaptation: images with what is said about them, classes in turn, and general texts that must not move."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from contracts.types import AdaptConfig
from engine.run import Run
from towers.adaptation.own_data import Picture, Pictures
from towers.adaptation.texts import general_texts, said_of, texts_of_class, texts_of_picture
from towers.adaptation.tiers import TextSide

MOST_CLASSES = 64  # in one step, those of its images included
GENERAL_BATCH = 32


class General:
    """Texts about anything with the vectors that they had."""

    def __init__(self, text: TextSide, config: AdaptConfig, seed: int) -> None:
        texts = general_texts(text.wordpiece.pieces, config["general_texts"], seed)
        self.tokens = text.tokens(texts)
        self.old = text.fixed_vectors(self.tokens) if texts else {}

    def draw(self, rng: random.Random) -> list[int]:
        """Some of them."""
        return rng.sample(range(len(self.tokens)), min(GENERAL_BATCH, len(self.tokens)))

    def cosine(self, text: TextSide) -> float:
        """Mean cosine of the student's vectors to those they had."""
        if not self.tokens:
            return 1.0
        some = list(range(0, len(self.tokens), 4))
        new = text.fixed_vectors([self.tokens[i] for i in some])["student"]
        return float((new * self.old["student"][some]).sum(-1).mean())


@dataclass
class Batch:
    """What one step reads: images with a view each, texts and which of them are said of which image, classes, general texts.

    `match` is [B, T]: true where a text is one of the image's own, whether it was drawn for it or for another one.
    """

    rows: np.ndarray
    views: np.ndarray
    texts: list[str]
    match: torch.Tensor
    labelled: list[int]
    labels: torch.Tensor
    class_texts: list[str]
    general: list[int]


class Sampler:
    """Draws batches; classes take turns, so that a rare one is learned like a common one."""

    def __init__(self, run: Run[AdaptConfig], pictures: Pictures, general: General) -> None:
        self.config, self.seed, self.general = run.config, run.seed, general
        self.train, self.classes = pictures.train, pictures.classes
        groups: dict[int, list[int]] = {}
        self.unlabelled = [number for number, picture in enumerate(self.train) if picture.label is None]
        for number, picture in enumerate(self.train):
            if picture.label is not None:
                groups.setdefault(picture.label, []).append(number)
        self.groups = groups

    def draw(self, step: int) -> Batch:
        """The batch of a step: equal steps draw equal batches."""
        rng = random.Random(f"{self.seed}/{step}")
        size = min(self.config["batch_size"], len(self.train))
        # Rounded down or up by chance: the rarer kind may be less than half a picture of a batch, which is not none.
        free = (size * len(self.unlabelled) + rng.randrange(len(self.train))) // len(self.train)
        rows = rng.sample(self.unlabelled, free)
        rows += self.of_classes(rng, size - len(rows))
        views = np.array([rng.randrange(1 + self.config["crops"]) for _ in rows])
        chosen: list[Picture] = [self.train[row] for row in rows]
        clip = self.config["text_start"] == "scratch"
        pairs = [n for n, picture in enumerate(chosen) if picture.captions or clip]
        texts = [rng.choice(texts_of_picture(chosen[n], self.classes)) for n in pairs]
        labelled = [] if clip else [n for n, picture in enumerate(chosen) if picture.label is not None]
        present = {cast(int, chosen[n].label) for n in labelled}
        others = sorted(set(range(len(self.classes))) - present)
        more = rng.sample(others, min(len(others), max(0, MOST_CLASSES - len(present)))) if labelled else []
        numbers = sorted(present | set(more))
        index = {number: at for at, number in enumerate(numbers)}
        return Batch(
            rows=np.array(rows),
            views=views,
            texts=texts,
            match=said_of(chosen, self.classes, texts),
            labelled=labelled,
            labels=torch.tensor([index[cast(int, chosen[n].label)] for n in labelled], dtype=torch.long),
            class_texts=[rng.choice(texts_of_class(self.classes[number])) for number in numbers],
            general=[] if clip or self.config["general_weight"] == 0 else self.general.draw(rng),
        )

    def of_classes(self, rng: random.Random, count: int) -> list[int]:
        """Pictures of classes that take turns; those of a class come once each before any of them comes again."""
        if not self.groups:
            return []
        turns: list[int] = []
        while len(turns) < count:
            turns += rng.sample(sorted(self.groups), len(self.groups))
        drawn: list[int] = []
        for label, times in Counter(turns[:count]).items():
            drawn += each_in_turn(rng, self.groups[label], times)
        return drawn


def each_in_turn(rng: random.Random, numbers: Sequence[int], count: int) -> list[int]:
    """`count` of them in a random order, none of which comes more than once oftener than another."""
    whole, rest = divmod(count, len(numbers))
    return [*numbers] * whole + rng.sample(numbers, rest)
