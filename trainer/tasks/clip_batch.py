"""Which images a step of `clip` sees, and how they are dealt to ranks and micro-batches."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from contracts.types import ClipConfig
from engine.epochs import epoch_batch
from towers.data import Row
from towers.labels import normalised_label


class Sampler:
    """Which images a step sees: captioned ones, and at most a fraction of the batch with labels, every label alike."""

    def __init__(self, rows: list[Row], config: ClipConfig, seed: int) -> None:
        self.seed = seed
        self.captioned = np.array([number for number, row in enumerate(rows) if "label" not in row])
        by_label: dict[str, list[int]] = {}
        for number, row in enumerate(rows):
            if "label" in row:
                by_label.setdefault(normalised_label(row["label"]), []).append(number)
        self.images_of_label = list(by_label.values()) if config["labels_weight"] > 0 else []
        if len(self.captioned) == 0:
            raise ValueError(
                "clip: no captioned image: InfoNCE needs pairs of images and captions beside labelled ones"
            )
        wanted = round(config["batch_size"] * config["label_fraction"])
        self.label_count = min(wanted, len(self.images_of_label))
        self.caption_count = min(config["batch_size"] - self.label_count, len(self.captioned))

    def draw(self, step: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers of captioned and of labelled images, each in the order of their files."""
        captioned = self.captioned[epoch_batch((self.seed,), step, len(self.captioned), self.caption_count)]
        if self.label_count == 0:
            return np.sort(captioned), np.zeros(0, dtype=np.int64)
        chosen = epoch_batch((self.seed, 2), step, len(self.images_of_label), self.label_count)
        labelled = [
            images[rng.integers(0, len(images))] for images in (self.images_of_label[label] for label in chosen)
        ]
        return np.sort(captioned), np.sort(np.array(labelled))


@dataclass(frozen=True)
class Batch:
    """What one step sees: images (the first `captioned` have captions) with a crop of each, and a text of each caption.

    `own` are this rank's images by their place in `images`, `own_captioned` of them with the captions `own_captions`.
    """

    images: np.ndarray
    crops: np.ndarray
    captioned: int
    own: np.ndarray
    own_captioned: int
    own_captions: np.ndarray
    of_ranks: tuple[int, int]  # images of the rank that has least, and of the one that has most

    def micro_batches(self, size: int) -> list[slice]:
        """This rank's images, at most `size` at a time, in as many parts on every rank: towers split between ranks need that.

        With `size` 1 a rank that has more images than another takes two at a time.
        """
        least, most = self.of_ranks
        count = min(-(-most // size), least)
        edges = [len(self.own) * number // count for number in range(count + 1)]
        return [slice(start, end) for start, end in pairwise(edges)]
