"""Vectors of images and captions at hand by a finished model, as servers compute them: what its scores are fitted on."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from contracts.types import ModelManifest
from towers.export.described import LEAST_DESCRIBED
from towers.export.parity import ServedImages, ServedTexts, see_images
from towers.formats.item import Item
from towers.onnx_export import session
from towers.served_text import served_tiers, token_counts

LEAST_IMAGES = 100  # with captions: a threshold is a tenth of them
TEXTS_AT_ONCE = 512

Tell = Callable[[str, int, int], None]  # what is being done, how many are, of how many


def lacking(items: Sequence[Item]) -> str | None:
    """Why scores cannot be fitted on these images, as the end of a sentence that they begin; None where they can be."""
    captioned = sum(len(item.captions) > 0 for item in items)
    if captioned < LEAST_IMAGES:
        return f"{captioned} images with captions, at least {LEAST_IMAGES} are needed"
    described = sum(len(item.captions) > 1 for item in items)
    if described < LEAST_DESCRIBED:
        return (
            f"{described} images with two captions or more, at least {LEAST_DESCRIBED} are needed: they show which scores two "
            "texts about one thing have"
        )
    return None


def serve_described(
    model: Path, manifest: ModelManifest, items: Sequence[Item], tell: Tell
) -> tuple[ServedTexts, ServedImages]:
    """Of the images that have captions."""
    captioned = [item for item in items if item.captions]
    served = images_at_hand(model, manifest, captioned, tell)
    return texts_at_hand(model, manifest, [list(item.captions) for item in captioned], tell), served


def images_at_hand(model: Path, manifest: ModelManifest, items: Sequence[Item], tell: Tell) -> ServedImages:
    """Vectors of the images, and of other pictures of the first ones."""
    image = manifest["image"]
    graph = session(model / image["graph"]["file"]["path"])
    files = ((item.key, item.load()) for item in items)
    images_ME, views_ME = see_images(
        files, graph, image["preprocess"], lambda done, *_: tell("images", done, len(items))
    )
    return ServedImages(images_ME, views_ME, np.empty(0))


def texts_at_hand(model: Path, manifest: ModelManifest, captions: list[list[str]], tell: Tell) -> ServedTexts:
    """Vectors of every caption by every tier."""
    texts = [caption for of_image in captions for caption in of_image]
    image_of_text = np.array([number for number, of_image in enumerate(captions) for _ in of_image])
    embed = served_tiers(model, manifest)
    vectors = {}
    for tier, embed_texts in embed.items():
        parts = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            parts.append(embed_texts(texts[start : start + TEXTS_AT_ONCE]))
            tell(f"captions, {tier}", min(start + TEXTS_AT_ONCE, len(texts)), len(texts))
        vectors[tier] = np.concatenate(parts)
    return ServedTexts(captions, embed, token_counts(model, manifest), vectors, image_of_text, {}, {})
