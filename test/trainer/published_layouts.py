"""A small checkpoint with random weights in each public layout that is imported, and its library's own vectors."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from published_open_clip import TEXT, published
from torch.nn import functional as F

import published_siglip
from published_clip import image_vectors, text_vectors, write_clip


@dataclass(frozen=True)
class Library:
    """How a checkpoint's own library embeds: texts [N, E], and pixels [B, 3, S, S] to [B, E], as unit vectors."""

    texts: Callable[[list[str]], torch.Tensor]
    images: Callable[[torch.Tensor], torch.Tensor]


def clip(folder: Path) -> Library:
    """transformers' CLIP."""
    model = write_clip(folder)
    return Library(lambda texts: text_vectors(model, texts), lambda pixels: image_vectors(model, pixels))


def siglip(write: Callable[[Path], Any]) -> Callable[[Path], Library]:
    """transformers' SigLIP or SigLIP 2."""

    def written(folder: Path) -> Library:
        model, tokenizer = write(folder)
        return Library(
            lambda texts: published_siglip.siglip_text_vectors(model, tokenizer, texts),
            lambda pixels: unit(published_siglip.image_features(model, pixels)),
        )

    return written


def of_open_clip(name: str) -> Callable[[Path], Library]:
    """open_clip's folder of one of its small models."""

    def written(folder: Path) -> Library:
        folder.mkdir(parents=True)
        model = published(folder, name)
        tokenizer = open_clip.get_tokenizer("ViT-B-32", context_length=TEXT["context_length"])
        return two_towers(model, tokenizer)

    return written


def open_clip_siglip(folder: Path) -> Library:
    """open_clip's folder of a SigLIP 2."""
    folder.mkdir(parents=True)
    return two_towers(*published_siglip.write_open_clip_siglip(folder))


def two_towers(model: Any, tokenizer: Any) -> Library:
    """By open_clip's model and tokenizer."""

    @torch.no_grad()
    def texts(rows: list[str]) -> torch.Tensor:
        return unit(model.encode_text(tokenizer(rows)))

    @torch.no_grad()
    def images(pixels: torch.Tensor) -> torch.Tensor:
        return unit(model.encode_image(pixels))

    return Library(texts, images)


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """At unit length."""
    return F.normalize(vectors, dim=-1)


# Each writes its folder, which must not be there yet.
LAYOUTS: dict[str, Callable[[Path], Library]] = {
    "clip": clip,
    "siglip": siglip(published_siglip.write_siglip),
    "siglip2": siglip(published_siglip.write_siglip2),
    "open-clip": of_open_clip("CLIP"),
    "open-clip-siglip2": open_clip_siglip,
    "eva-clip": of_open_clip("EVA-CLIP"),
    "mobileclip": of_open_clip("MobileCLIP2"),
}
# What each format has of a layout: folders that a library opens, or what it is refused with.
NO_TIMM = "timm has none of 2 layers of width 32 for pictures of 64 pixels"
EXPORTS: dict[str, dict[str, tuple[str, ...] | str]] = {
    "clip": {"hf": (".",), "open_clip": (".",)},
    "siglip": {"hf": (".",), "open_clip": NO_TIMM},
    "siglip2": {"hf": (".",), "open_clip": NO_TIMM},
    "open-clip": {"hf": (".",), "open_clip": (".",)},
    "open-clip-siglip2": {"hf": ("image",), "open_clip": (".",)},
    "eva-clip": {"hf": ("student", "image"), "open_clip": (".",)},
    "mobileclip": {"hf": ("image",), "open_clip": (".",)},
}
