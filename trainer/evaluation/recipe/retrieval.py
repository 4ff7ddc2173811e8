"""Retrieval on dev: every text tier against the image tower of the main run, from the teacher to what is served."""

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from contracts.types import ModelManifest
from evaluation.bench import Figures
from towers.data import read_pairs
from towers.exported_files import load_tiers, static_weights_in
from towers.metrics import retrieval
from towers.served_text import EmbedTexts
from towers.wordpiece import WordPiece

# What the first tier is called in reports and at the gate; the others keep their names.
STUDENT = "student_int8"


class Inputs(NamedTuple):
    """Folders of the stages before."""

    prepare: Path
    embed_captions: Path
    clip: Path
    distill: Path


class Retrieval(NamedTuple):
    """Figures by tier, of so many images and captions."""

    images: int
    captions: int
    of_tiers: dict[str, Figures]

    def kept(self) -> dict[str, float]:
        """How much of the teacher's R@10 the served student has, both ways."""
        student, teacher = self.of_tiers[STUDENT], self.of_tiers["teacher"]
        ways = ("text_to_image", "image_to_text")
        return {way: student[f"{way}_R@10"] / max(teacher[f"{way}_R@10"], 1e-9) for way in ways}


def retrieval_of_tiers(inputs: Inputs, manifest: ModelManifest, served: dict[str, EmbedTexts]) -> Retrieval:
    """Of the teacher, the student in PyTorch, the served tiers, and the served student's first dimensions."""
    pairs, clip = read_pairs(inputs.prepare, "dev"), inputs.clip
    texts = [caption for row in pairs for caption in row["captions"]]
    image_of_N = torch.tensor([number for number, row in enumerate(pairs) for _ in row["captions"]])
    image_IE = load_file(clip / "dev_images.safetensors")["features"]
    teacher_NE = load_file(clip / "dev_captions.safetensors")["features"]
    student = load_tiers(inputs.distill, static_weights_in(manifest))["student"]
    wordpiece = WordPiece.read(inputs.distill / "vocabulary.txt")
    shape = student.shape
    tiers = {
        "teacher": teacher_NE,
        "student_float": student.embed(wordpiece.encode(texts, shape.context_length)),
        **{name: torch.from_numpy(embed(texts)) for name, embed in served.items()},
    }
    rows: dict[str, Figures] = {name: retrieval(image_IE, text_NE, image_of_N) for name, text_NE in tiers.items()}
    for dim in shape.matryoshka_dims[1:]:
        rows[f"{STUDENT}@{dim}"] = retrieval(
            F.normalize(image_IE[:, :dim], dim=-1), F.normalize(tiers[STUDENT][:, :dim], dim=-1), image_of_N
        )
    return Retrieval(len(pairs), len(texts), rows)


def metrics_of(found: Retrieval, zero_shots: dict[str, Figures]) -> dict[str, float]:
    """Every figure under its full name, for the report."""
    figures = [*found.of_tiers.items(), *zero_shots.items()]
    metrics = {f"{name}.{key}": value for name, each in figures for key, value in each.items()}
    return metrics | {f"student_share.{way}_R@10": share for way, share in found.kept().items()}
