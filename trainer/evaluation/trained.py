"""A run of `clip` before distillation: its text teachers (or the control) and its image tower in PyTorch.

What the teachers were is read from the jobs of the runs behind it. Shapes: N texts, D features, E dimensions, B images.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from engine.folders.files import digest_of_file
from engine.folders.inputs import job_of, path_of
from evaluation.bench import TextTier
from towers.image.of_run import load_image_tower
from towers.preprocess import preprocess
from towers.quantisation import WITHOUT_MANIFEST
from towers.teachers import Teacher, read_teacher, teacher_files, text_features
from towers.token_batches import padded
from towers.two_towers import load_adapter, load_preprocess, load_scratch_tower, read_shape
from towers.wordpiece import WordPiece


class TrainedModel:
    """One tier, `teacher` or `control`, in the space of the run's own image tower. `inputs` are as of `TeacherTier`."""

    def __init__(self, folder: Path, inputs: Mapping[str, Path] | None = None) -> None:
        shape = read_shape(folder)
        self.title = folder.name
        self.space = f"{digest_of_file(folder / 'image_tower.safetensors')} {json.dumps(shape['preprocess'])}"
        self.preprocess = load_preprocess(folder)
        self.dims = [shape["embed_dim"]]
        self.quantisation = WITHOUT_MANIFEST
        self.image_tower = load_image_tower(folder)
        is_control = shape["text_tower"] == "scratch"
        self.tiers: Mapping[str, TextTier] = (
            {"control": ControlTier(folder)} if is_control else {"teacher": TeacherTier(folder, inputs or {})}
        )

    def pixels(self, image: bytes | Image.Image) -> np.ndarray:
        """float32 [3, S, S]."""
        return preprocess(image, self.preprocess)

    def embed_pixels(self, pixels_B3SS: np.ndarray) -> np.ndarray:
        """Unit vectors [B, E]."""
        with torch.inference_mode():
            return self.image_tower(torch.from_numpy(pixels_B3SS)).numpy()


class TeacherTier:
    """Features of the frozen teachers, then the adapter. `inputs`: folders of earlier runs that are not where jobs say."""

    def __init__(self, folder: Path, inputs: Mapping[str, Path]) -> None:
        embedded = inputs.get("embed_captions") or input_of(folder, "embed_captions")
        job = job_of(embedded)
        self.config = job["config"]
        tuned = "contrastive" if "contrastive" in job["inputs"] else "mntp"
        self.adapter = load_adapter(folder)
        self.teachers: list[Teacher] = []
        parts = [json.dumps(self.config, sort_keys=True)]
        for source in self.config["teachers"]:
            model = None
            if source["type"] == "language_model" and "language_model" not in source:
                model = inputs.get(tuned) or input_of(embedded, tuned)
            parts += [digest_of_file(file) for file in teacher_files(source, model)]
            self.teachers.append(read_teacher(source, model, torch.float32))
        self.features_key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        self.key = f"{digest_of_file(folder / 'text_tower.safetensors')} {self.features_key}"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors [N, E]."""
        return self.of_features(self.features(texts))

    def features(self, texts: Sequence[str]) -> np.ndarray:
        """What the teachers give, float32 [N, D]: the same for every run of `clip` over them."""
        with torch.inference_mode():
            parts = [text_features(teacher, texts, self.config) for teacher in self.teachers]
            return torch.cat(parts, 1).float().numpy()

    def of_features(self, features_ND: np.ndarray) -> np.ndarray:
        """Unit vectors [N, E] by the run's adapter."""
        with torch.inference_mode():
            return self.adapter(torch.from_numpy(features_ND)).numpy()


class ControlTier:
    """The text transformer that was trained from scratch beside the image tower."""

    def __init__(self, folder: Path) -> None:
        self.key = f"{digest_of_file(folder / 'text_tower.safetensors')} {digest_of_file(folder / 'vocabulary.txt')}"
        self.tower, self.context_length = load_scratch_tower(folder)
        self.wordpiece = WordPiece.read(folder / "vocabulary.txt")

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors [N, E]."""
        ids_BT, _ = padded(self.wordpiece.encode(texts, self.context_length), torch.device("cpu"))
        with torch.inference_mode():
            return self.tower(ids_BT).numpy()


def input_of(folder: Path, role: str) -> Path:
    """The run that another one read; beside it where runs have been moved together."""
    named = path_of(job_of(folder)["inputs"][role])
    return named if named.exists() else folder.parent / named.name
