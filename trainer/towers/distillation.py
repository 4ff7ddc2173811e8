"""What all tiers of a distillation share: texts and their targets, the pieces, dev captions and the losses.

B and N texts, M images, E joint dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from contracts.types import DistillConfig
from data.features import features_of_set, save_tensors
from engine.run import Run
from towers.data import read_images, read_pairs, read_rows
from towers.preprocess import pixel_batches
from towers.student.examples import Example, Sampler
from towers.student.losses import Loss, distill_loss, image_loss, matryoshka
from towers.student.targets import Targets, Teacher
from towers.student.texts import StudentTexts, read_student_texts
from towers.student.vocabulary import Vocabulary, read_vocabulary
from towers.two_towers import load_adapter, load_preprocess, read_shape
from towers.wordpiece import with_special_tokens

IMAGE_BATCH = 32


@dataclass(frozen=True)
class Folders:
    """What a distillation reads: runs of `prepare`, `embed_captions`, `vocabulary` and `clip`."""

    prepared: Path
    features: Path
    vocabulary: Path
    clip: Path


@dataclass(frozen=True)
class Material:
    """What students learn from: texts with their targets, those of dev, and the pieces that texts are read as.

    `images_ME`: unit vectors of the images that texts are held against, where the recipe says so.
    """

    texts: StudentTexts
    targets: Targets
    dev_targets: Targets
    dev_texts: Sequence[str]
    vocabulary: Vocabulary
    images_ME: torch.Tensor | None = None


class Distillation:
    """What the tiers of one run share, from material of any origin; `total` is the number of all its steps.

    `run`: of a stage whose settings `config` says in the words of `distill`.
    """

    def __init__(self, run: Run[Any], config: DistillConfig, material: Material) -> None:
        self.run, self.config = run, config
        self.texts, self.images_ME = material.texts, material.images_ME
        self.targets, self.dev_targets = material.targets, material.dev_targets
        self.vocabulary, self.wordpiece = material.vocabulary, material.vocabulary.wordpiece
        self.sampler = Sampler(self.texts, self.wordpiece, self.vocabulary.tokens, config, run.seed)
        self.dev_tokens = self.wordpiece.tokens(material.dev_texts)
        self.dev_ids = [with_special_tokens(ids, config["context_length"]) for ids in self.dev_tokens]
        tiers = [tier["schedule"]["steps"] for tier in config["tiers"]]
        self.total = config["static"]["schedule"]["steps"] + sum(tiers)
        counts = {name: len(kind.texts) for name, kind in self.sampler.kinds.items()}
        run.log(", ".join(f"{count} {name}" for name, count in counts.items()) + f", {run.amp_dtype}")
        run.log(f"{len(self.wordpiece.pieces)} pieces, languages: en {' '.join(sorted(self.texts.languages))}")

    def loss(self, embedded_BE: torch.Tensor, examples: list[Example]) -> torch.Tensor:
        """Regression onto the teacher, and where the recipe says so the contrast against images."""
        config, device = self.config, embedded_BE.device
        target_BE = self.targets.of([example.row for example in examples]).to(device)

        def between(a_BE: torch.Tensor, b_BE: torch.Tensor) -> torch.Tensor:
            return distill_loss(a_BE, b_BE, config["contrastive_weight"], config["temperature"])

        loss = matryoshka(between, config["matryoshka_dims"])(embedded_BE, target_BE)
        if self.images_ME is None:
            return loss
        pictured = [number for number, example in enumerate(examples) if example.image >= 0]
        images = sorted({examples[number].image for number in pictured})
        if len(images) < 2:
            return loss
        # Pictures of one label are no negatives of each other.
        groups = self.texts.image_groups
        group_B = torch.tensor(groups[[examples[number].image for number in pictured]], device=device)
        group_M = torch.tensor(groups[images], device=device)
        against: Loss = image_loss(group_B[:, None] == group_M, config["temperature"])
        pictured_BE, seen_ME = embedded_BE[pictured], self.images_ME[images].to(device)
        return loss + config["image_weight"] * matryoshka(against, config["matryoshka_dims"])(pictured_BE, seen_ME)

    def dev_cosine(self, embedded_NE: torch.Tensor) -> float:
        """Mean cosine of dev captions to the teacher's vectors of the first of them."""
        return mean_cosine(embedded_NE, self.dev_targets.of(range(len(embedded_NE))))


def material_of(run: Run[DistillConfig], folders: Folders) -> Material:
    """Of runs of other stages: the teacher is the adapter of `clip` over the features of `embed_captions`."""
    prepared, features = folders.prepared, folders.features
    texts = read_student_texts(prepared, features, run.output)
    teacher, width = read_teacher(folders.clip, run.device), read_shape(folders.clip)["embed_dim"]
    sets = [features_of_set(features, name) for name in texts.sets]
    return Material(
        texts=texts,
        targets=Targets(run.output, sets, teacher, width, texts.means),
        dev_targets=Targets(run.output, [features_of_set(features, "pairs.dev")], teacher, width),
        dev_texts=[row["text"] for row in read_rows(features / "captions.pairs.dev.jsonl")],
        vocabulary=read_vocabulary(folders.vocabulary, texts),
        images_ME=image_vectors(run, folders) if run.config["image_weight"] > 0 else None,
    )


def read_teacher(clip: Path, device: torch.device) -> Teacher:
    """The text teacher: from language-model features [B, D] to unit vectors [B, E]."""
    adapter = load_adapter(clip).to(device).eval()

    def vectors(features_BD: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return F.normalize(adapter(F.normalize(features_BD.to(device), dim=-1)).float(), dim=-1)

    return vectors


def image_vectors(run: Run[DistillConfig], folders: Folders) -> torch.Tensor:
    """The image tower's unit vectors [M, E] of all train images; computed once for a run on each machine."""
    from towers.image.of_run import load_image_tower  # with timm, which texts alone do not need

    file = run.output / "images.safetensors"
    if run.world.leads_machine and not file.exists():
        tower, recipe = load_image_tower(folders.clip).to(run.device), load_preprocess(folders.clip)
        pairs = read_pairs(folders.prepared, "train")
        vectors = []
        for number, pixels in enumerate(pixel_batches(read_images(folders.prepared, pairs), recipe, IMAGE_BATCH), 1):
            with torch.no_grad():
                vectors.append(tower(torch.from_numpy(pixels).to(run.device)).float().cpu())
            if number % 20 == 0:
                run.log(f"{min(number * IMAGE_BATCH, len(pairs))} of {len(pairs)} images embedded")
        save_tensors(file, {"images": torch.cat(vectors)})
    run.world.wait()
    return load_file(file)["images"]


def mean_cosine(a_ME: torch.Tensor, b_NE: torch.Tensor) -> float:
    """Mean cosine of the rows of a with the first rows of b."""
    return float(F.cosine_similarity(a_ME.cpu(), b_NE[: len(a_ME)], dim=-1).mean())
