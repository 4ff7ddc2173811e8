"""Images that are decoded from their shards at every step, by worker processes, each time with another crop.

Nothing is held of all images or captions: two streams (captioned images, labelled ones) read shards, the captions' features
are mapped (data/features.py), and the frozen tower is asked about the crops of the step. The state is that of the streams.
"""

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch

from data.batches import Batch, PairLoader
from data.manifest import are_pairs
from data.order import OrderOptions
from data.stream import Share, Stream, in_chunks
from tasks.clip_data.batch import Counts
from tasks.clip_data.frozen import FrozenTower
from towers.image.tower import ImageTower
from towers.labels import normalised_label
from towers.regions.seen import Regions

MEASURED_IMAGES = 4000  # images that the mean image and an image's usual distance from it are computed of
ROTATED_IMAGES = 16_384  # images, with a caption each, whose vectors say what the principal axes are
MOST_LANES = 8  # machines that fetch different shards
MIXED_IMAGES = 8192  # images from which a batch is drawn, where a recipe says nothing
CHUNK = 64  # whole images that are decoded together

TextInputs = Callable[[list[str], torch.Tensor | None], torch.Tensor]  # the text tower's, of texts and their features


class Streams:
    """A stream of captioned images and, where a batch has labelled ones, another of those."""

    def __init__(
        self,
        loader: PairLoader,
        labelled: list[bool],
        counts: Counts,
        order: Callable[[int], OrderOptions],
        share: Share,
    ) -> None:
        pairs = are_pairs(labelled)
        chosen = {"captioned": [n for n, is_pair in enumerate(pairs) if is_pair]}
        sizes = {"captioned": counts.captioned}
        if counts.labelled:
            chosen["labelled"] = [n for n, is_pair in enumerate(pairs) if not is_pair]
            sizes["labelled"] = counts.labelled
        self.streams: dict[str, Stream[Batch]] = {
            name: Stream(loader, order(size), share, chosen[name], name) for name, size in sizes.items()
        }
        self.are_labelled = {"captioned": all(labelled), "labelled": True}
        self.at_work: dict[str, Iterator[Batch]] = {}

    def at(self, step: int) -> dict[str, Batch]:
        """The batches of a step, which is the one after the last one that was asked for."""
        for name, stream in self.streams.items():
            if name not in self.at_work:
                self.at_work[name] = iter(stream)
        batches = {name: next(made) for name, made in self.at_work.items()}
        for batch in batches.values():
            if batch.piece.step != step:
                raise RuntimeError(f"step {step} is asked for, but the stream is at step {batch.piece.step}")
        return batches

    def state(self) -> dict[str, Any]:
        """Of each stream."""
        return {name: dict(stream.state_dict()) for name, stream in self.streams.items()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on there; of other data or another batch refused."""
        if set(state) != set(self.streams):
            raise ValueError(f"the checkpoint streamed {sorted(state) or 'nothing'}, this run {sorted(self.streams)}")
        for name, stream in self.streams.items():
            stream.load_state_dict(state[name])

    def close(self) -> None:
        """End the workers."""
        for made in self.at_work.values():
            made.close()  # pyright: ignore[reportAttributeAccessIssue] - a generator
        self.at_work.clear()


def order_options(batch: int, seed: int, mixed: int = MIXED_IMAGES) -> OrderOptions:
    """The order of a batch size alone, so that it is the same on any number of machines; lanes share the images that are mixed."""
    lanes = math.gcd(batch, MOST_LANES)
    return OrderOptions(batch, seed, mixed // lanes, lanes)


class Asking(NamedTuple):
    """What the frozen tower is asked: at most `micro_batch` images at a time, `features` where a loss needs them."""

    micro_batch: int
    features: bool


class StreamedPairs:
    """Pairs of the streams; `whole` makes whole images of the same shards."""

    def __init__(
        self, streams: Streams, whole: PairLoader, frozen: FrozenTower, inputs: TextInputs, asking: Asking
    ) -> None:
        self.streams, self.whole, self.frozen, self.inputs, self.asking = streams, whole, frozen, inputs, asking
        self.place, self.block = frozen.place, frozen.block
        sizes = {name: stream.order.options.batch for name, stream in streams.streams.items()}
        self.counts = Counts.of(sizes["captioned"], sizes.get("labelled", 0), self.place.world)

    @property
    def workers(self) -> int:
        """Processes of this rank that decode."""
        return self.streams.streams["captioned"].share.workers

    def at(self, step: int, rng: np.random.Generator) -> "SeenStream":
        """The next batches; the streams have drawn everything themselves."""
        del rng
        batches = self.streams.at(step)
        captioned, labelled = batches["captioned"], batches.get("labelled")
        for name, batch in batches.items():
            if any(bool(label) != self.streams.are_labelled[name] for label in batch.labels):
                raise ValueError(
                    "a shard has images with labels and others without: streamed images come from shards of one kind; give "
                    "them to prepare as two sources"
                )
        return SeenStream(self, captioned, labelled)

    def first_features(self) -> torch.Tensor:
        """Of whole images: the first ones of an epoch, shared between the ranks."""
        places = self._places(MEASURED_IMAGES)
        parts = [
            self.frozen.features(self.frozen.activations(batch.pixels)) for batch in self._whole(self._share(places))
        ]
        width = self.frozen.tower.head.in_features
        own = torch.cat(parts) if parts else torch.zeros((0, width), device=self.place.world.device)
        return self.place.world.whole(own, len(places)).cpu()

    def first_vectors(self, tower: ImageTower, text_tower: torch.nn.Module) -> list[torch.Tensor]:
        """Unit vectors [N, E] of whole images and of a caption of each, by the towers as they are; of this rank alone."""
        tower.eval()
        text_tower.eval()
        images, texts = [], []
        with torch.inference_mode():
            for batch in self._whole(self._places(ROTATED_IMAGES)):
                x = self.frozen.activations(batch.pixels).float()
                images.append(tower.forward_trainable(x, self.block).cpu())
                texts.append(text_tower(self.inputs(batch.texts, batch.features)).float().cpu())
        return [torch.cat(images).clone(), torch.cat(texts).clone()]

    def state(self) -> dict[str, Any]:
        """That of the streams."""
        return self.streams.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """That of the streams."""
        self.streams.load_state(state)

    def close(self) -> None:
        """No further step is asked for."""
        self.streams.close()

    def _places(self, count: int) -> np.ndarray:
        order = self.streams.streams["captioned"].order
        return order.places(0, 0, min(count, order.samples))

    def _share(self, places_N2: np.ndarray) -> np.ndarray:
        return self.place.world.share(places_N2)

    def _whole(self, places_N2: np.ndarray) -> Iterator[Batch]:
        return in_chunks(self.whole, places_N2, CHUNK, self.workers)


class SeenStream:
    """What one step sees of the streams."""

    def __init__(self, pairs: StreamedPairs, captioned: Batch, labelled: Batch | None) -> None:
        self.pairs, self.captioned, self.labelled, self.counts = pairs, captioned, labelled, pairs.counts
        batches = [captioned] if labelled is None else [captioned, labelled]
        self.pixels = torch.cat([batch.pixels for batch in batches])
        offsets = [0, len(captioned.pixels)]
        self.shrunk = torch.cat([batch.shrunk + offset for batch, offset in zip(batches, offsets, strict=False)])
        self.sharp = [image for batch in batches for image in batch.sharp]

    def images(self, part: slice) -> torch.Tensor:
        """Pixels, or what the frozen blocks make of them."""
        if self.pairs.block == 0:
            return self.pairs.frozen.pixels(self.pixels[part])
        return self._asked[0][part]

    def captions(self, part: slice) -> torch.Tensor | None:
        """Of the captioned ones."""
        texts, features = self.captioned.texts[part], self.captioned.features
        return self.pairs.inputs(texts, None if features is None else features[part]) if texts else None

    def pair_names(self) -> list[str]:
        """This rank's."""
        labels = (normalised_label(label) for label in self.captioned.labels)
        return [label or text for label, text in zip(labels, self.captioned.texts, strict=True)]

    def wrong_inputs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Those that the stream has made; what is not there is left out of the loss, whatever the text tower makes of it."""
        wrong = self.captioned.wrong
        assert wrong is not None
        texts = [text for of_caption in wrong.texts for text in of_caption]
        features = None if wrong.features is None else wrong.features.flatten(0, 1)
        return self.pairs.inputs(texts, features), wrong.is_there.to(self.pairs.place.world.device)

    def regions(self) -> Regions | None:
        """Those that the stream has made of the captioned ones."""
        made = self.captioned.regions
        return None if made is None else made.regions.followed_by(self.counts.own_labelled)

    def region_inputs(self, numbers: np.ndarray) -> torch.Tensor:
        """Of texts that the stream has made."""
        made = self.captioned.regions
        assert made is not None
        texts = [made.regions.texts[number] for number in numbers.tolist()]
        return self.pairs.inputs(texts, None if made.features is None else made.features[torch.from_numpy(numbers)])

    def label_inputs(self, rng: np.random.Generator) -> torch.Tensor:
        """The text that the stream has drawn for each."""
        del rng
        assert self.labelled is not None
        return self.pairs.inputs(self.labelled.texts, self.labelled.features)

    def labels(self) -> list[str]:
        """This rank's."""
        return [] if self.labelled is None else [normalised_label(label) for label in self.labelled.labels]

    def features(self) -> torch.Tensor:
        """Every rank asks the frozen tower about its own images."""
        return self._features

    def other_features(self, count: int, rng: np.random.Generator) -> torch.Tensor:
        """Of images of the same step."""
        chosen = rng.integers(0, self.counts.images, count)
        return self._features[torch.from_numpy(self.pairs.place.world.share(chosen)).to(self._features.device)]

    @cached_property
    def _features(self) -> torch.Tensor:
        own, world = self._asked[1], self.pairs.place.world
        shares = own.split([self.counts.own_captioned, self.counts.own_labelled])
        totals = (self.counts.captioned, self.counts.labelled)
        return torch.cat([world.whole(share, total) for share, total in zip(shares, totals, strict=True)])

    @cached_property
    def _asked(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(activations before the first block that trains, frozen features) of this rank's images, a micro-batch at a time.

        Of a crop that is learned from as a small picture the tower is asked as it was before.
        """
        frozen, size = self.pairs.frozen, self.pairs.asking.micro_batch
        pixels = self.pixels.clone() if self.sharp else self.pixels
        if self.sharp:
            pixels[self.shrunk] = torch.stack(self.sharp)
        activations, features = [], []
        for part in pixels.split(size):
            x = frozen.activations(part)
            if self.pairs.asking.features:
                features.append(frozen.features(x))
            if self.pairs.block != 0:
                activations.append(x)
        kept = torch.cat(activations) if activations else pixels
        if self.sharp and self.pairs.block != 0:
            low = torch.cat([frozen.activations(part) for part in self.pixels[self.shrunk].split(size)])
            kept[self.shrunk.to(kept.device)] = low
        return kept, torch.cat(features) if features else torch.zeros((len(pixels), 0), device=kept.device)
