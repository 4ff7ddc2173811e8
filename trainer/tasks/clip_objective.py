"""What `clip` minimises: InfoNCE on captioned photographs, and terms that keep what the frozen tower knows of classes.

Shapes: B images of a batch, K classes, F pooled features, E joint dimensions.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from contracts.types import ClipConfig
from engine.epochs import epoch_batch
from engine.world import ALONE_ON_CPU, World
from towers.class_targets import ClassTargets
from towers.crops import Activations
from towers.data import Row
from towers.labels import normalised_label
from towers.losses import (
    frozen_tower_regulariser,
    info_nce,
    multi_positive_nce,
    shared_cross_entropy,
    soft_cross_entropy,
)
from towers.text_sets import TextSet
from towers.two_towers import MAX_LOGIT_SCALE, new_logit_scale
from towers.vision import ImageTower

MEASURED_IMAGES = 4000  # images that the mean image and an image's usual distance from it are computed of


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


@dataclass
class Texts:
    """Sets of texts by what they belong to: images, classes, hypernyms of classes."""

    captions: TextSet
    prompts: TextSet
    hypernyms: TextSet
    labels: list[str]  # per train image its normalised label, empty without one
    classes: ClassTargets | None  # what the frozen tower knows of the classes


class Place(NamedTuple):
    """Where the towers run: the ranks, and the dtype of the image tower's products."""

    world: World = ALONE_ON_CPU
    dtype: torch.dtype = torch.float32


class LogitScales(nn.Module):
    """The learned logit scales of captions and of classes, as logarithms."""

    def __init__(self) -> None:
        super().__init__()
        self.captions, self.classes = new_logit_scale(), new_logit_scale()


class Objective:
    """The weighted sum of the terms for one step, over the batch of all ranks.

    Every rank runs the towers on its share of each list and sees the vectors of all.
    """

    def __init__(
        self,
        towers: tuple[ImageTower, nn.Module],
        activations: Activations,
        texts: Texts,
        config: ClipConfig,
        place: Place,
    ) -> None:
        self.world, self.dtype = place.world, place.dtype
        classes = texts.classes
        self.tower, self.text_tower = towers
        self.activations, self.texts, self.config = activations, texts, config
        self.device = self.tower.head.weight.device
        self.scales = LogitScales().to(self.device)
        # The regulariser's reference: the head that `inherit` made, on the frozen features of the same crop.
        self.frozen_head = (self.tower.head.weight.detach().clone(), self.tower.head.bias.detach().clone())
        features_NF = torch.from_numpy(np.array(activations.features[:MEASURED_IMAGES, 0], dtype=np.float32))
        center_F = features_NF.mean(0)
        self.tower.center_F.copy_(center_F)
        self.uses_classes = config["rows_weight"] > 0 or config["softmax_weight"] > 0
        self.hypernyms_softmax_weight = config.get("hypernyms_softmax_weight", 0.0)
        wants_hypernyms = config["hypernyms_weight"] > 0 or self.hypernyms_softmax_weight > 0
        self.uses_hypernyms = wants_hypernyms and len(texts.hypernyms.keys) > 0
        if self.uses_classes and classes is None:
            raise ValueError("clip: rows_weight and softmax_weight need classes: set prepare.classes, or both to 0")
        if (self.uses_classes or self.uses_hypernyms) and classes is not None:
            self.classes = classes.to(self.device)
            distance = (features_NF - center_F).norm(dim=-1).mean().item()
            self.pseudo_KF = self.classes.pseudo_images(self.tower.center_F, distance)
            group = {key: number for number, key in enumerate(texts.prompts.keys)}
            self.prompt_groups = np.array([group[str(int(number))] for number in classes.class_K])
            row_of = {int(number): row for row, number in enumerate(classes.class_K)}
            covered = [texts.hypernyms.classes[key] for key in texts.hypernyms.keys]
            rows_of_H = [[row_of[number] for number in numbers if number in row_of] for numbers in covered]
            self.hypernyms = np.array([h for h, rows in enumerate(rows_of_H) if rows], dtype=np.int64)
            self.rows_of_hypernym = rows_of_H
            self.covers_HK = torch.zeros(len(rows_of_H), len(classes.class_K), dtype=torch.bool)
            for h, rows in enumerate(rows_of_H):
                self.covers_HK[h, rows] = True
            self.uses_hypernyms = self.uses_hypernyms and len(self.hypernyms) > 0

    def clamp(self) -> None:
        """Keep the logit scales where CLIP keeps them."""
        for scale in self.scales.parameters():
            scale.data.clamp_(0, MAX_LOGIT_SCALE)

    def features(self, images: np.ndarray, crops: np.ndarray) -> torch.Tensor:
        """The frozen tower's pooled features [B, F] of crops."""
        return torch.from_numpy(np.asarray(self.activations.features[images, crops], dtype=np.float32)).to(self.device)

    def loss(
        self, captioned: np.ndarray, labelled: np.ndarray, rng: np.random.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The weighted sum, and its parts by name: `loss` is InfoNCE on the captions."""
        config, world = self.config, self.world
        images = np.concatenate([captioned, labelled])
        crops = rng.integers(0, self.activations.shape["crops"], len(images))
        image_BE = self.image_vectors(images, crops, len(captioned))
        scale, class_scale = (world.shared(scale.exp()) for scale in (self.scales.captions, self.scales.classes))
        numbers = self.texts.captions.draw(captioned, rng)
        text_BE = self.text_vectors(self.texts.captions, numbers)
        same_BB = equal([self.texts.captions.texts[n] for n in numbers], self.device)
        parts = {"loss": info_nce(image_BE[: len(captioned)], text_BE, scale, same_BB)}
        total = parts["loss"]
        if config["regulariser_weight"] > 0:
            frozen_BE = F.normalize(F.linear(self.features(images, crops), *self.frozen_head), dim=-1)
            parts["regulariser"] = frozen_tower_regulariser(image_BE, frozen_BE)
            total = total + config["regulariser_weight"] * parts["regulariser"]
        if len(labelled):
            numbers = self.texts.captions.draw(labelled, rng)
            label_BE = self.text_vectors(self.texts.captions, numbers)
            same_BB = equal([self.texts.labels[image] for image in labelled], self.device)
            parts["labels"] = multi_positive_nce(image_BE[len(captioned) :], label_BE, class_scale, same_BB)
            total = total + config["labels_weight"] * parts["labels"]
        target_BK = self.probabilities(images, crops) if self.uses_probabilities else image_BE
        if self.uses_classes:
            numbers = self.texts.prompts.draw(self.prompt_groups, rng)
            class_KE = self.text_vectors(self.texts.prompts, numbers)
            if config["rows_weight"] > 0:
                pseudo_KE = self.pseudo_image_vectors(np.arange(len(self.pseudo_KF)), rng)
                parts["rows"] = info_nce(pseudo_KE, class_KE, class_scale)
                total = total + config["rows_weight"] * parts["rows"]
            if config["softmax_weight"] > 0:
                parts["softmax"] = soft_cross_entropy(class_scale * image_BE @ class_KE.T, target_BK)
                total = total + config["softmax_weight"] * parts["softmax"]
        if self.uses_hypernyms:
            size = min(config["hypernyms_batch"], len(self.hypernyms))
            chosen = rng.permutation(self.hypernyms)[:size]
            hypernym_HE = self.text_vectors(self.texts.hypernyms, self.texts.hypernyms.draw(chosen, rng))
            if config["hypernyms_weight"] > 0:
                parts["hypernyms"] = self.hypernym_loss(chosen, hypernym_HE, class_scale, rng)
                total = total + config["hypernyms_weight"] * parts["hypernyms"]
            if self.hypernyms_softmax_weight > 0:
                share_BH = target_BK @ self.covers_HK[chosen].T.to(self.device, torch.float32)
                scores_BH = class_scale * image_BE @ hypernym_HE.T
                parts["hypernyms_softmax"] = shared_cross_entropy(scores_BH, share_BH)
                total = total + self.hypernyms_softmax_weight * parts["hypernyms_softmax"]
        return total, parts

    @property
    def uses_probabilities(self) -> bool:
        """Whether a term asks what the frozen classifier says of the crops."""
        softmax = self.uses_classes and self.config["softmax_weight"] > 0
        return softmax or (self.uses_hypernyms and self.hypernyms_softmax_weight > 0)

    def probabilities(self, images: np.ndarray, crops: np.ndarray) -> torch.Tensor:
        """What the frozen classifier says of crops [B, K]."""
        return self.classes.logits(self.features(images, crops)).softmax(-1)

    def hypernym_loss(
        self, chosen: np.ndarray, text_BE: torch.Tensor, scale: torch.Tensor, rng: np.random.Generator
    ) -> torch.Tensor:
        """InfoNCE of hypernyms and a pseudo-image of one class of each; what a hypernym covers is no negative of it."""
        rows = np.array([rng.choice(self.rows_of_hypernym[h]) for h in chosen])
        covered_BB = self.covers_HK[chosen][:, rows].to(self.device)
        return info_nce(text_BE, self.pseudo_image_vectors(rows, rng), scale, covered_BB)

    # ---- unit vectors of a whole batch [B, E], each rank's share by its own towers ------------------------------------

    def text_vectors(self, texts: TextSet, numbers: np.ndarray) -> torch.Tensor:
        """Of texts by number in their set."""
        return self.world.whole(self.text_tower(texts.inputs(self.world.share(numbers))), len(numbers))

    def image_vectors(self, images: np.ndarray, crops: np.ndarray, captioned: int) -> torch.Tensor:
        """Of crops, the first `captioned` of them and the others in shares of their own."""
        parts = [np.arange(captioned), np.arange(captioned, len(images))]
        own = np.concatenate([self.world.share(part) for part in parts])
        own_BE = self.own_image_vectors(images[own], crops[own])
        if self.world.size == 1:
            return own_BE
        first = len(self.world.share(parts[0]))
        shares = [own_BE[:first], own_BE[first:]]
        return torch.cat([self.world.whole(share, len(part)) for share, part in zip(shares, parts, strict=True)])

    def own_image_vectors(self, images: np.ndarray, crops: np.ndarray) -> torch.Tensor:
        """Of crops, by the tower that trains."""
        x = torch.from_numpy(np.asarray(self.activations.train[images, crops]))
        block = self.activations.block
        if block is None:
            return self.tower.forward_head(x.float().to(self.device), self.config["dropout"])
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            x = x.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)
            return self.tower.forward_trainable(x, block, self.config["dropout"])

    def pseudo_image_vectors(self, rows: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        """Of pseudo-images of classes, each with a random photograph's difference mixed in."""
        own = self.world.share(np.arange(len(rows)))
        pseudo_BF = self.pseudo_KF[torch.from_numpy(rows[own]).to(self.device)]
        if self.config["rows_mixin"] > 0:
            images = rng.integers(0, len(self.activations.features), len(rows))
            crops = rng.integers(0, self.activations.shape["crops"], len(rows))
            differences_BF = self.features(images[own], crops[own]) - self.tower.center_F
            pseudo_BF = pseudo_BF + self.config["rows_mixin"] * differences_BF
        return self.world.whole(self.tower.forward_head(pseudo_BF, self.config["dropout"]), len(rows))


def equal(texts: list[str], device: torch.device) -> torch.Tensor:
    """[B, B]: true where two rows of a batch carry the same text."""
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    ids_B = torch.tensor([numbers[text] for text in texts], device=device)
    return ids_B[:, None] == ids_B[None, :]
