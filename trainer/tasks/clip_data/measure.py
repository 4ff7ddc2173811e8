"""What is measured in `clip` on images that are not trained on: dev, class images, pictures of held-out labels among all labels."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from tasks.clip_data.regions import DevRegions
from towers.crops import WholeImages
from towers.data import Row, read_class_images, read_pairs
from towers.image.tower import ImageTower, image_vectors
from towers.labels import normalised_label
from towers.metrics import hits_at, mean_recall_per_image, pair_hits, retrieval
from towers.text_sets import TextSet, group_vectors, text_vectors


class Measured(NamedTuple):
    """Metrics by name, what every image contributes to some of them, and the vectors of the dev images and captions."""

    metrics: dict[str, float]
    items: dict[str, np.ndarray]
    image_IE: torch.Tensor
    text_NE: torch.Tensor


class Measure:
    """Metrics of both towers, on stored activations and on sets of texts by name."""

    def __init__(
        self, prepared: Path, images: WholeImages, texts: dict[str, TextSet], regions: DevRegions | None = None
    ) -> None:
        self.images, self.texts, self.regions = images, texts, regions
        self.classes = self.targets(read_class_images(prepared), "prompts", lambda row: str(row["index"]))
        self.unseen = self.targets(read_pairs(prepared, "unseen"), "labels", lambda row: normalised_label(row["label"]))

    def targets(self, rows: list[Row], name: str, key_of) -> torch.Tensor:
        """The group of every row in a set of texts."""
        group = {key: number for number, key in enumerate(self.texts[name].keys)}
        return torch.tensor([group[key_of(row)] for row in rows], dtype=torch.long)

    def metrics(self, tower: ImageTower, text_tower: nn.Module) -> dict[str, float]:
        """All metrics by name."""
        return self.all(tower, text_tower).metrics

    def all(self, tower: ImageTower, text_tower: nn.Module) -> Measured:
        """All that is measured."""
        images, block, dev = self.images, self.images.block, self.texts["pairs.dev"]
        image_IE = image_vectors(tower, images.dev, block)
        text_NE = text_vectors(text_tower, dev, np.arange(len(dev.texts)))
        metrics = retrieval(image_IE, text_NE, dev.group_of_N)
        hits: dict[str, np.ndarray] = {}
        if images.classes is not None and self.texts["prompts"].keys:
            vectors_KE = group_vectors(text_tower, self.texts["prompts"])
            hits |= hits_at("zero_shot", image_vectors(tower, images.classes, block), vectors_KE, self.classes)
        if images.unseen is not None:
            vectors_GE = group_vectors(text_tower, self.texts["labels"])
            hits |= hits_at("unseen", image_vectors(tower, images.unseen, block), vectors_GE, self.unseen)
        hits |= self.texts_alone(text_tower, text_NE)
        if self.regions is not None:
            hits |= self.regions.hits((tower, text_tower), images.dev, block)
        metrics |= {name: float(values.mean()) for name, values in hits.items()}
        recalls_I = mean_recall_per_image(image_IE @ text_NE.T, dev.group_of_N)
        return Measured(metrics, {"mean_recall": recalls_I} | hits, image_IE, text_NE)

    def texts_alone(self, text_tower: nn.Module, text_NE: torch.Tensor) -> dict[str, np.ndarray]:
        """1 or 0 for every dev image whose first caption finds its second, by the text tower (vectors [N, E]) and by the teachers

        (`features_…`); for every long description whose first half finds its second half. By metric.
        """
        dev, long = self.texts["pairs.dev"], self.texts.get("long.dev")
        hits: dict[str, np.ndarray] = {}
        first_P = dev.first_of_G[dev.count_of_G > 1]
        if len(first_P) > 1:
            hits["caption_retrieval"] = pair_hits(text_NE[first_P], text_NE[first_P + 1])
            if dev.features is not None:
                sides = [F.normalize(dev.inputs(first_P + side).float(), dim=-1) for side in (0, 1)]
                hits["features_caption_retrieval"] = pair_hits(*sides)
        if long is not None and len(long.keys) > 1:
            hits["long_retrieval"] = pair_hits(
                *(text_vectors(text_tower, long, long.first_of_G + side) for side in (0, 1))
            )
        return hits
