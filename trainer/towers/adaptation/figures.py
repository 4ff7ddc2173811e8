"""Figures of a model on own images: recall of captions both ways, and the class of an image among all classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from contracts.types import Tier
from towers.adaptation.own_data import Picture
from towers.adaptation.texts import texts_of_class
from towers.formats.classes import Class
from towers.metrics import recalls, zero_shot
from towers.served_text import EmbedTexts

MOST_CAPTIONS = 2000  # to measure on; of each image the first ones


@dataclass(frozen=True)
class Measured:
    """Figures by name, and the served vectors behind them: texts [T, E] of images `image_of_text`."""

    figures: dict[str, float]
    texts_TE: np.ndarray
    image_of_text: np.ndarray


ServedTiers = dict[Tier, EmbedTexts]


def measure(
    served: ServedTiers, images_IE: np.ndarray, pictures: Sequence[Picture], classes: Sequence[Class]
) -> Measured:
    """Of every tier, by the served path. Classes are named as `texts_of_class` does, descriptions included."""
    figures: dict[str, float] = {}
    owners: list[int] = []
    texts: list[str] = []
    each = max(1, MOST_CAPTIONS // max(1, len(pictures)))
    for number, picture in enumerate(pictures):
        texts += picture.captions[:each]
        owners += [number] * len(picture.captions[:each])
    vectors = {tier: embed(texts) for tier, embed in served.items()} if texts else {}
    images = torch.from_numpy(images_IE)
    for tier, texts_TE in vectors.items():
        kept = sorted(set(owners))  # images without captions are in nobody's way
        index = {image: number for number, image in enumerate(kept)}
        image_of = torch.tensor([index[owner] for owner in owners])
        found = recalls(images[kept], torch.from_numpy(texts_TE), image_of)
        among = {"image_to_text": len(texts), "text_to_image": len(kept)}
        figures |= {f"{tier}.{name}": value for name, value in found.items() if not says_nothing(name, among)}
    labelled = [number for number, picture in enumerate(pictures) if picture.label is not None]
    class_vectors = class_vectors_of(served, classes) if labelled else {}
    for tier, class_CE in class_vectors.items():
        labels = torch.tensor([pictures[number].label for number in labelled])
        found = zero_shot(images[labelled], torch.from_numpy(class_CE), labels)
        figures[f"{tier}.image_to_class_top1"] = found["zero_shot_top1"]
        if len(classes) > 5:  # of five the right one is always among the first five
            figures[f"{tier}.image_to_class_top5"] = found["zero_shot_top5"]
    if not texts:
        labels_I = np.array([pictures[number].label for number in labelled], dtype=np.int64)
        return Measured(figures, class_vectors["student"][labels_I], np.array(labelled))
    return Measured(figures, vectors["student"], np.array(owners))


def says_nothing(name: str, among: dict[str, int]) -> bool:
    """Whether a recall looks at everything that is searched, so that it is 1 whatever a model knows; `among`: how many, by direction."""
    direction, _, first = name.partition("_R@")
    return first.isdigit() and int(first) >= among[direction]


def class_vectors_of(served: ServedTiers, classes: Sequence[Class]) -> dict[Tier, np.ndarray]:
    """One unit vector [C, E] of every class and tier: the mean of those of its texts."""
    texts = [texts_of_class(each) for each in classes]
    flat = [text for several in texts for text in several]
    ends = np.cumsum([len(several) for several in texts])[:-1]
    found: dict[Tier, np.ndarray] = {}
    for tier, embed in served.items():
        mean_CE = np.stack([part.mean(0) for part in np.split(embed(flat), ends)])
        found[tier] = mean_CE / np.maximum(np.linalg.norm(mean_CE, axis=1, keepdims=True), 1e-12)
    return found


def comparison(before: Measured, after: Measured) -> list[str]:
    """A sentence for every figure: what it was and what it is."""
    return [f"{name}: {before.figures[name]:.1%} before, {value:.1%} after" for name, value in after.figures.items()]
