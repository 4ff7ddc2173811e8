"""What `clip` minimises: InfoNCE on captioned photographs, and terms that keep what the frozen tower knows of classes.

Shapes: B images of a batch, K classes, F pooled features, E joint dimensions.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from contracts.types import ClipConfig
from losses.contrastive import global_info_nce, global_multi_positive_nce, global_sigmoid
from losses.fine_grained import PUBLISHED, FineGrained, hard_negatives, next_margin, text_contrast
from losses.keys import Keys, text_keys
from losses.matrices import info_nce, shared_cross_entropy, soft_cross_entropy
from losses.ranks import Ranks
from losses.regularise import Draw, frozen_tower_regulariser
from tasks.clip.regions import RegionObjective
from tasks.clip.scales import LogitScales
from tasks.clip.self_teacher import SelfTeacher
from tasks.clip_data.batch import Pairs, Place, Seen
from towers.class_targets import ClassTargets
from towers.image.tower import ImageTower
from towers.text_sets import TextSet


@dataclass
class Texts:
    """Sets of texts by what they belong to: classes, hypernyms of classes."""

    prompts: TextSet
    hypernyms: TextSet
    classes: ClassTargets | None  # what the frozen tower knows of the classes


class Objective:
    """The weighted sum of the terms for one step, over the batch of all ranks.

    Every rank runs the towers on its share of each list and sees the vectors of all.
    """

    def __init__(
        self,
        towers: tuple[ImageTower, nn.Module],
        pairs: Pairs,
        texts: Texts,
        config: ClipConfig,
        place: Place,
    ) -> None:
        self.world, self.dtype = place.world, place.dtype
        classes = texts.classes
        self.tower, self.text_tower = towers
        self.text_is_narrow = config.get("text_tower_dtype", "float32") == "bfloat16" and self.dtype == torch.bfloat16
        self.pairs, self.texts, self.config = pairs, texts, config
        self.device = self.tower.head.weight.device
        self.scales = LogitScales(config, self.tower.backbone).to(self.device)
        # The regulariser's reference: the head that `inherit` made, on the frozen features of the same crop.
        self.frozen_head = (self.tower.head.weight.detach().clone(), self.tower.head.bias.detach().clone())
        self.margin = torch.zeros((), device=self.device)  # of hard negatives: how far apart they were at the last step
        fine = config.get("fine_grained")
        self.fine = PUBLISHED if fine is None else FineGrained(**fine)
        regions = config.get("regions")
        self.regions = None if regions is None else RegionObjective(regions, self.world, self.text, self.fine)
        ema = config.get("regulariser_ema")
        self.self_teacher = None if ema is None or config["regulariser_weight"] == 0 else SelfTeacher(self.tower, ema)
        features_NF = pairs.first_features()
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

    def contrast(self, image_BE: torch.Tensor, text_BE: torch.Tensor, keys: Keys, ranks: Ranks) -> torch.Tensor:
        """The loss of this rank's images and their captions that the recipe names, over the batch of all ranks."""
        scale, bias = self.scales.captions.exp(), self.scales.bias
        if bias is not None:
            return global_sigmoid(image_BE, text_BE, (scale, bias), keys, ranks=ranks)
        return global_info_nce(image_BE, text_BE, scale, keys, ranks=ranks)

    def loss(
        self, seen: Seen, rng: np.random.Generator, draw: Draw | None = None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The weighted sum, and its parts by name: `loss` is that on the captions. For `draw` see `terms`."""
        return self.terms(seen, self.encode(seen, slice(None)), rng, draw)

    def encode(self, seen: Seen, part: slice) -> tuple[torch.Tensor, ...]:
        """Vectors of a part of this rank's images, of the captions of those that have one, and of regions and their phrases."""
        regions = None if self.regions is None else seen.regions()
        if self.regions is None or regions is None:
            image_BE, beside = self.image_vectors(seen.images(part)), ()
        else:
            boxes_BP4, is_there_BP = (x[part].to(self.device) for x in (regions.boxes, regions.is_there))
            image_BE, region_BPE = self.image_and_region_vectors(seen.images(part), boxes_BP4)
            beside = region_BPE[is_there_BP], self.regions.texts(seen, regions.phrases(part), image_BE)
        captions = seen.captions(part)
        text_BE = image_BE.new_zeros((0, image_BE.shape[1])) if captions is None else self.text(captions)
        return image_BE, text_BE, *beside

    def terms(
        self, seen: Seen, own: tuple[torch.Tensor, ...], rng: np.random.Generator, draw: Draw | None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The weighted sum, and its parts by name, from what `encode` makes of this rank's images and captions.

        `draw` (seed and step) says which pairs of images the regulariser looks at in a large batch.
        """
        config, world, counts = self.config, self.world, seen.counts
        own_captioned = counts.own_captioned
        own_BE, text_BE, *of_regions = own
        image_BE = self.whole_images(own_BE, seen)
        uses_frozen = (config["regulariser_weight"] > 0 and self.self_teacher is None) or self.uses_probabilities
        features_BF = seen.features() if uses_frozen else image_BE
        # Contrast adds up over ranks what each has of a scale's gradient, the other terms are the same on every rank.
        own_class_scale = self.scales.classes.exp()
        class_scale = world.shared(own_class_scale)
        keys = Keys.of(text_keys(seen.pair_names(), self.device))
        ranks = Ranks(even=counts.captioned % world.size == 0)
        parts = {"loss": self.contrast(own_BE[:own_captioned], text_BE, keys, ranks)}
        total = parts["loss"]
        if config["regulariser_weight"] > 0:
            taught_BE = self.taught_vectors(seen, features_BF)
            parts["regulariser"] = frozen_tower_regulariser(image_BE, taught_BE, draw=draw)
            total = total + config["regulariser_weight"] * parts["regulariser"]
        if config.get("text_contrast_weight", 0.0) > 0:
            parts["text_contrast"] = text_contrast(world.whole(text_BE, counts.captioned), self.fine)
            total = total + config.get("text_contrast_weight", 0.0) * parts["text_contrast"]
        if config.get("hard_negatives_weight", 0.0) > 0:
            parts["hard_negatives"] = self.against_wrong_texts(own_BE[:own_captioned], text_BE, seen)
            total = total + config.get("hard_negatives_weight", 0.0) * parts["hard_negatives"]
        if self.regions is not None and self.scales.regions is not None:
            weighted, found = self.regions.terms(seen, (of_regions[0], of_regions[1]), self.scales.regions.exp())
            total, parts = total + weighted, parts | found
        if counts.labelled:
            label_BE = self.text(seen.label_inputs(rng))
            keys = Keys.of(text_keys(seen.labels(), self.device))
            ranks, scale = Ranks(even=counts.labelled % world.size == 0), own_class_scale
            parts["labels"] = global_multi_positive_nce(own_BE[own_captioned:], label_BE, scale, keys, ranks=ranks)
            total = total + config["labels_weight"] * parts["labels"]
        target_BK = self.classes.logits(features_BF).softmax(-1) if self.uses_probabilities else image_BE
        if self.uses_classes:
            numbers = self.texts.prompts.draw(self.prompt_groups, rng)
            class_KE = self.text_vectors(self.texts.prompts, numbers)
            if config["rows_weight"] > 0:
                pseudo_KE = self.pseudo_image_vectors(np.arange(len(self.pseudo_KF)), seen, rng)
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
                rows = np.array([rng.choice(self.rows_of_hypernym[h]) for h in chosen])
                covered_BB = self.covers_HK[chosen][:, rows].to(self.device)
                pseudo_HE = self.pseudo_image_vectors(rows, seen, rng)
                parts["hypernyms"] = info_nce(hypernym_HE, pseudo_HE, class_scale, covered_BB)
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

    def against_wrong_texts(self, image_bE: torch.Tensor, text_bE: torch.Tensor, seen: Seen) -> torch.Tensor:
        """The mean over pictures whose captions have wrong texts, of all ranks; takes the margin of the next step along."""
        inputs, is_there_bH = seen.wrong_inputs()
        wrong_bHE = self.text(inputs).view(*is_there_bH.shape, -1)
        right_b1, wrong_bH = (image_bE * text_bE).sum(1, keepdim=True), torch.einsum("be,bhe->bh", image_bE, wrong_bHE)
        own = torch.cat([right_b1, wrong_bH, is_there_bH.to(right_b1.dtype)], 1)
        right_B1, wrong_BH, is_there_BH = self.world.whole(own, seen.counts.captioned).split(
            [1, *[wrong_bH.shape[1]] * 2], 1
        )
        scale = self.world.shared(self.scales.captions.exp())
        loss, sums_4 = hard_negatives(scale * right_B1[:, 0], scale * wrong_BH, is_there_BH > 0, self.margin, self.fine)
        self.margin = next_margin(sums_4, self.fine)
        return loss / sums_4[2].clamp_min(1)

    def taught_vectors(self, seen: Seen, features_BF: torch.Tensor) -> torch.Tensor:
        """What the regulariser holds the images [B, E] to: the frozen tower's vectors of them, or the running mean's."""
        if self.self_teacher is None:
            return F.normalize(F.linear(features_BF, *self.frozen_head), dim=-1)
        parts = seen.counts.micro_batches(self.config.get("micro_batch", seen.counts.images))
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            vectors = [self.self_teacher.vectors(seen.images(part), self.pairs.block) for part in parts]
        return self.whole_images(torch.cat(vectors), seen)

    # ---- unit vectors of a whole batch [B, E], each rank's share by its own towers ------------------------------------

    def text(self, inputs: torch.Tensor) -> torch.Tensor:
        """Of what the text tower reads, float32 whatever it computes in: this rank's own, not the whole batch's."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.text_is_narrow):
            return self.text_tower(inputs).float()

    def text_vectors(self, texts: TextSet, numbers: np.ndarray) -> torch.Tensor:
        """Of texts by number in their set."""
        return self.world.whole(self.text(texts.inputs(self.world.share(numbers))), len(numbers))

    def whole_images(self, own_BE: torch.Tensor, seen: Seen) -> torch.Tensor:
        """All captioned images and then the others, of what every rank has of them."""
        if self.world.size == 1:
            return own_BE
        shares = own_BE.split([seen.counts.own_captioned, seen.counts.own_labelled])
        totals = (seen.counts.captioned, seen.counts.labelled)
        return torch.cat([self.world.whole(share, total) for share, total in zip(shares, totals, strict=True)])

    def image_vectors(self, x: torch.Tensor) -> torch.Tensor:
        """Of what the trained part of the tower reads of crops."""
        if self.pairs.block is None:
            return self.tower.forward_head(x, self.config["dropout"])
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.tower.forward_trainable(x, self.pairs.block, self.config["dropout"])

    def image_and_region_vectors(self, x: torch.Tensor, boxes_BP4: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same, and those of boxes in each [B, P, E]."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.tower.forward_regions(x, self.pairs.block, boxes_BP4, self.config["dropout"])

    def pseudo_image_vectors(self, rows: np.ndarray, seen: Seen, rng: np.random.Generator) -> torch.Tensor:
        """Of pseudo-images of classes, each with a random photograph's difference mixed in."""
        own = self.world.share(np.arange(len(rows)))
        pseudo_BF = self.pseudo_KF[torch.from_numpy(rows[own]).to(self.device)]
        if self.config["rows_mixin"] > 0:
            differences_BF = seen.other_features(len(rows), rng) - self.tower.center_F
            pseudo_BF = pseudo_BF + self.config["rows_mixin"] * differences_BF
        return self.world.whole(self.tower.forward_head(pseudo_BF, self.config["dropout"]), len(rows))
