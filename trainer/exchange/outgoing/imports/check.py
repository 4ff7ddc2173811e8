"""Whether a library's model of an export gives the vectors of the model that was exported. Shapes: N texts, B images, E dimensions."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch.nn import functional as F

from contracts.types import ModelManifest
from exchange.outgoing.imports.read import ImportedModel
from exchange.refusal import CannotExpress
from towers.onnx_export import session

MIN_COSINE = 0.9999
TEXTS = ("a photo of a dog", "Two MEN, 27 cats & an Ünïcode word!", "")


class Served(Protocol):
    """A model whose image tower was imported, whatever reads its texts."""

    @property
    def folder(self) -> Path:
        """With its manifest."""
        ...

    @property
    def manifest(self) -> ModelManifest:
        """Of the model."""
        ...


@torch.no_grad()
def check_images(
    model: Served, embed: Callable[[torch.Tensor], torch.Tensor], patch: int = 0, *, size: int | None = None
) -> float:
    """The largest difference of a number in unit vectors to those of the served graph, on drawn pixels.

    `patch`: its side, in pixels, of a library's tower that reads pictures of any shape: they are a row of patches less high than wide.
    `size`: the side that the library's tower reads, where it may be another than the graph's largest.
    """
    size = size or model.manifest["image"]["preprocess"]["size"]
    pixels = torch.randn(2, 3, max(size - patch, patch), size, generator=torch.Generator().manual_seed(0))
    graph = model.folder / model.manifest["image"]["graph"]["file"]["path"]
    served = np.asarray(session(graph).run(["embedding"], {"pixels": pixels.numpy()})[0])
    return furthest(F.normalize(embed(pixels).float(), dim=-1).numpy(), served, "pictures", model.manifest["name"])


@torch.no_grad()
def check_texts(model: ImportedModel, embed: Callable[[list[list[int]]], torch.Tensor]) -> float:
    """The same of texts, to the text tower with float layers. `embed` takes ids with their special tokens."""
    ids = model.tokenizer.encode(TEXTS, model.text.shape.context_length)
    own = torch.stack([model.text.embed(row) for row in ids])
    return furthest(F.normalize(embed(ids).float(), dim=-1).numpy(), own.numpy(), "texts", model.name)


def furthest(theirs_NE: np.ndarray, own_NE: np.ndarray, what: str, name: str) -> float:
    """The largest difference; raises CannotExpress where vectors are others."""
    worst = float((theirs_NE * own_NE).sum(1).min())
    if worst < MIN_COSINE:
        raise CannotExpress(
            f"the library's model of {name} gives {what} other vectors (a cosine of {worst:.5f} to the served ones): nothing is written"
        )
    return float(np.abs(theirs_NE - own_NE).max())
