"""Digests of everything that decides a published model's vectors, so that those of another one are never taken for them.

Weights alone do not: an activation has none, and neither have a tokenizer and how pictures are prepared.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch

from engine.folders.files import digest_of_file

SETTINGS = (".json", ".txt", ".model")  # how files of tokenizers and configurations end


def identity(*parts: object) -> str:
    """One digest of several parts: strings, and what JSON can say."""
    words = [part if isinstance(part, str) else json.dumps(part, sort_keys=True, default=str) for part in parts]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


def digest_of_weights(weights: Mapping[str, torch.Tensor]) -> str:
    """Of all values with their names: the same weights have it, whatever file they came from."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def digests_of_settings(folder: Path) -> dict[str, str]:
    """By name, of the files beside the weights in a folder: the tokenizer's are among them."""
    files = sorted(file for file in folder.iterdir() if file.suffix in SETTINGS and file.is_file())
    return {file.name: digest_of_file(file) for file in files}
