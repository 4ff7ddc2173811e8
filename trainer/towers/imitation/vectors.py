"""Text vectors of a published checkpoint: of its own text tower, or of features that a language model gave elsewhere.

Shapes: N texts, B of a batch, D width of the features, E joint dimensions.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch.nn import functional as F

from contracts.types import ImitateConfig
from data.features import WholeFeatures, save_tensors
from engine.run import Run
from towers.imitation.captions import Captions
from towers.text.checkpoint import read_checkpoint_text
from towers.text.published_adapter import read_published_adapter
from towers.two_towers import Adapter

BATCH = 256

Vectors = Callable[[list[str], list[int]], torch.Tensor]  # texts and their numbers to unit vectors [B, E], on the CPU


def read_vectors(run: Run[ImitateConfig], data: Path) -> Vectors:
    """How the checkpoint of the recipe puts texts into its joint space."""
    config = run.config
    if config["features"] is None:
        return of_checkpoint(config["checkpoint"], run.device)
    return of_features(data / config["features"], Path(config["checkpoint"]), run.device)


def of_checkpoint(source: str, device: torch.device) -> Vectors:
    """By its own text tower, with its own tokenizer."""
    tower = read_checkpoint_text(source)
    tower.model.to(device)

    @torch.inference_mode()
    def vectors(texts: list[str], _: list[int]) -> torch.Tensor:
        return tower.features(tower.tokens(texts, 0), "mean").cpu()

    return vectors


def of_features(file: Path, checkpoint: Path, device: torch.device) -> Vectors:
    """By LLM2CLIP's adapter, where the features have its width; else they are vectors of the joint space already."""
    features = safe_open(file, "pt").get_slice("features")
    _, width = features.get_shape()
    adapter = published_adapter(checkpoint, device, width)

    @torch.inference_mode()
    def vectors(_: list[str], numbers: list[int]) -> torch.Tensor:
        rows_BD = torch.cat([features[number : number + 1] for number in numbers]).float()
        if adapter is None:
            return F.normalize(rows_BD, dim=-1)
        return adapter(F.normalize(rows_BD.to(device), dim=-1)).float().cpu()

    return vectors


def published_adapter(checkpoint: Path, device: torch.device, width: int) -> Adapter | None:
    """LLM2CLIP's adapter of a checkpoint for features of this width; None for features of the joint space."""
    found = read_published_adapter(checkpoint)
    if width == found.embed_dim != found.width:
        return None
    if width != found.width:
        raise ValueError(
            f"features have {width} numbers: the adapter of {checkpoint.name} reads {found.width}, and its joint space has {found.embed_dim}"
        )
    adapter = Adapter(found.width, found.embed_dim, found.blocks, found.expansion, input_length="one")
    adapter.load_state_dict({name: tensor.float() for name, tensor in found.weights.items()})
    return adapter.to(device).eval()


def embed(run: Run[Any], vectors: Vectors, captions: Captions, name: str) -> WholeFeatures:
    """Unit vectors [N, E] of a set of captions, mapped from a file; a stopped attempt goes on where it was."""
    file = run.output / f"{name}.safetensors"
    if not file.exists():
        _write(run, vectors, captions, file)
    return WholeFeatures(file)


def _write(run: Run[Any], vectors: Vectors, captions: Captions, file: Path) -> None:
    partial, checkpoint = file.with_suffix(".partial"), f"checkpoint-{file.stem}"
    total, done = len(captions.texts), (run.resume(checkpoint) or {"done": 0})["done"]
    mode = "r+b" if done else "w+b"
    with partial.open(mode) as out:
        width = 0 if not done else os.path.getsize(partial) // (4 * total)
        while done < total:
            part = slice(done, done + BATCH)
            found_BE = vectors(captions.texts[part], captions.numbers[part]).numpy().astype("<f4")
            if not width:
                width = found_BE.shape[1]
                out.truncate(4 * width * total)
            out.seek(4 * width * done)
            out.write(found_BE.tobytes())
            done += len(found_BE)
            out.flush()
            run.tick(done, total, lambda done=done: {"done": done}, checkpoint)
    whole_NE = np.memmap(partial, "<f4", "r+", shape=(total, width))
    save_tensors(file, {"features": torch.from_numpy(whole_NE)})
    partial.unlink()
