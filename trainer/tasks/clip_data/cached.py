"""Images that `embed_images` has decoded once: crops and their activations are read from memory-mapped arrays."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch

from contracts.types import ClipConfig
from data.manifest import are_pairs
from data.order import epoch_batch
from engine.world import ALONE_ON_CPU, World
from tasks.clip_data.batch import Counts, Place, labelled_images
from tasks.clip_data.regions import StoredRegions
from tasks.clip_data.wrong import WrongCaptions
from towers.crops import Activations
from towers.data import Row
from towers.image.tower import as_read
from towers.labels import normalised_label
from towers.regions.seen import Regions
from towers.text_sets import TextSet

MEASURED_IMAGES = 4000  # images that the mean image and an image's usual distance from it are computed of


class Sampler:
    """Which images a step sees: captioned ones, and at most a fraction of the batch with labels, every label alike.

    Where every image has a label all count as captioned (`are_pairs`).
    """

    def __init__(self, rows: list[Row], config: ClipConfig, seed: int, world: World = ALONE_ON_CPU) -> None:
        self.seed = seed
        captioned = are_pairs(["label" in row for row in rows])
        self.captioned = np.flatnonzero(captioned)
        by_label: dict[str, list[int]] = {}
        for number, row in enumerate(rows):
            if not captioned[number]:
                by_label.setdefault(normalised_label(row["label"]), []).append(number)
        self.images_of_label = list(by_label.values()) if config["labels_weight"] > 0 else []
        self.label_count = labelled_images(config, len(self.images_of_label), world)
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
class StoredPairs:
    """Activations of train images, their captions, and of each its normalised label, empty without one."""

    activations: Activations
    captions: TextSet
    label_of_I: list[str]
    wrong: WrongCaptions | None = None
    regions: StoredRegions | None = None


class CachedPairs:
    """Stored pairs, dealt by a sampler."""

    def __init__(self, stored: StoredPairs, sampler: Sampler, place: Place) -> None:
        self.stored, self.sampler, self.place = stored, sampler, place
        self.block = stored.activations.block

    def at(self, step: int, rng: np.random.Generator) -> "SeenStored":
        """Draws images, then a crop of each and a caption of those that have some."""
        return self.seen(*self.sampler.draw(step, rng), rng)

    def seen(self, captioned: np.ndarray, labelled: np.ndarray, rng: np.random.Generator) -> "SeenStored":
        """These images."""
        images = np.concatenate([captioned, labelled])
        crops = rng.integers(0, self.stored.activations.shape["crops"], len(images))
        captions = self.stored.captions.draw(captioned, rng)
        # Which regions of an image are seen is the same on every rank, whichever has the image.
        seed = 0 if self.stored.regions is None else int(rng.integers(0, 2**63))
        return SeenStored(self.stored, self.place, Draw(images, crops, captions, seed))

    def first_features(self) -> torch.Tensor:
        """Of the first images, the first crop of each."""
        return torch.from_numpy(np.array(self.stored.activations.features[:MEASURED_IMAGES, 0], dtype=np.float32))

    def close(self) -> None:
        """Nothing is at work."""

    def state(self) -> dict[str, Any]:
        """What a step sees depends on its number alone."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Nothing to go on from; that of a streamed run means nothing here."""
        if state:
            raise ValueError("the checkpoint is of a run that streamed its images: go on with that, or start anew")


class Draw(NamedTuple):
    """What a step draws, by number: images, a crop of each, captions of those that have some; `seed` of the regions of each image."""

    images: np.ndarray
    crops: np.ndarray
    captions: np.ndarray
    seed: int


class SeenStored:
    """What one step sees of stored pairs."""

    def __init__(self, stored: StoredPairs, place: Place, draw: Draw) -> None:
        self.stored, self.place = stored, place
        self.image_numbers, self.crops, captions, self.seed = draw
        world, captioned, count = place.world, len(captions), len(draw.images)
        self.counts = Counts.of(captioned, count - captioned, world)
        parts = [world.share(part) for part in np.split(np.arange(count), [captioned])]
        self.own = np.concatenate(parts)
        self.own_captions = np.asarray(world.share(captions))

    def images(self, part: slice) -> torch.Tensor:
        """Activations of crops; the features where no block trains."""
        own = self.own[part]
        x = np.asarray(self.stored.activations.train[self.image_numbers[own], self.crops[own]])
        dtype = torch.float32 if self.stored.activations.block is None else self.place.dtype
        return as_read(x, self.place.world.device, dtype)

    def captions(self, part: slice) -> torch.Tensor | None:
        """Features or tokens."""
        numbers = self.own_captions[part]
        return self.stored.captions.inputs(numbers) if len(numbers) else None

    def pair_names(self) -> list[str]:
        """This rank's."""
        images = self.image_numbers[self.own[: self.counts.own_captioned]]
        texts = [self.stored.captions.texts[number] for number in self.own_captions]
        return [self.stored.label_of_I[image] or text for image, text in zip(images, texts, strict=True)]

    def wrong_inputs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the captions that are learned from."""
        assert self.stored.wrong is not None
        return self.stored.wrong.of(self.own_captions)

    def regions(self) -> Regions | None:
        """Of the captioned ones, as many of each as the recipe has."""
        return None if self._regions is None else self._regions[0]

    def region_inputs(self, numbers: np.ndarray) -> torch.Tensor:
        """Features or tokens."""
        assert self.stored.regions is not None and self._regions is not None
        return self.stored.regions.texts.inputs(self._regions[1][numbers])

    def label_inputs(self, rng: np.random.Generator) -> torch.Tensor:
        """Drawn for all ranks alike."""
        numbers = self.stored.captions.draw(self._labelled(), rng)
        return self.stored.captions.inputs(self.place.world.share(numbers))

    def labels(self) -> list[str]:
        """This rank's."""
        return [self.stored.label_of_I[image] for image in self.place.world.share(self._labelled())]

    def features(self) -> torch.Tensor:
        """Stored for every crop: each rank reads all."""
        return self._features(self.image_numbers, self.crops)

    def other_features(self, count: int, rng: np.random.Generator) -> torch.Tensor:
        """Of any train images."""
        images = rng.integers(0, len(self.stored.activations.features), count)
        crops = rng.integers(0, self.stored.activations.shape["crops"], count)
        own = self.place.world.share(np.arange(count))
        return self._features(images[own], crops[own])

    @cached_property
    def _regions(self) -> tuple[Regions, np.ndarray] | None:
        """The regions, and the number of each of their texts in its set."""
        stored, counts = self.stored.regions, self.counts
        if stored is None:
            return None
        own = self.own[: counts.own_captioned]
        found = [
            stored.drawn(image, crop, np.random.default_rng((self.seed, image)))
            for image, crop in zip(self.image_numbers[own].tolist(), self.crops[own].tolist(), strict=True)
        ]
        regions = Regions.of([drawn for drawn, _ in found], stored.options.per_picture)
        numbers = np.array([number for _, texts in found for number in texts], dtype=np.int64)
        return regions.followed_by(counts.own_labelled), numbers

    def _labelled(self) -> np.ndarray:
        return self.image_numbers[self.counts.captioned :]

    def _features(self, images: np.ndarray, crops: np.ndarray) -> torch.Tensor:
        features = np.asarray(self.stored.activations.features[images, crops], dtype=np.float32)
        return torch.from_numpy(features).to(self.place.world.device)
