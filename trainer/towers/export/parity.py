"""Vectors of dev as they are served, and their cosines to PyTorch in float32: below the least nothing is exported."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
import torch
from onnxruntime import InferenceSession
from PIL import Image, ImageOps

from contracts.types import ExportConfig, ModelManifest, PreprocessRecipe, Tier
from engine.run import Run
from towers.data import read_images, read_pairs
from towers.export.described import few_described
from towers.export.graphs import Exported
from towers.exported_files import FILE_OF
from towers.onnx_export import session
from towers.preprocess import by_shape, decode, preprocess
from towers.served_text import CountTokens, EmbedTexts, served_tiers, token_counts
from towers.student.model import TextStudent

MIN_IMAGE_COSINE = 0.999
ROUNDED_TEXTS = 100  # of so many texts one may lie further from float32 than `min_worst_cosine`
IMAGE_BATCH = 16
VIEW_IMAGES = 500  # dev images of which a second view is embedded, for the calibration of image pairs
CROP_FRACTION = 0.8  # of an image's sides: the central crop that is its second view


@dataclass(frozen=True)
class ServedTexts:
    """Captions of every dev image, their vectors by every served tier [N, E], the image of each, and cosines of some to PyTorch by file name.

    `cosines` are to PyTorch with the rounding of the served graphs, `rounding` to float32: what rounding costs.
    """

    captions: list[list[str]]
    embed: dict[Tier, EmbedTexts]
    tokens: dict[Tier, CountTokens]
    vectors: dict[Tier, np.ndarray]
    image_of_text: np.ndarray
    cosines: dict[str, np.ndarray]
    rounding: dict[str, np.ndarray]


@dataclass(frozen=True)
class ServedImages:
    """Dev images as served [M, E], a second view of the first ones, and cosines of some to PyTorch."""

    vectors_ME: np.ndarray
    views_ME: np.ndarray
    cosines: np.ndarray


def refuse_few_described(prepared: Path) -> None:
    """Before anything is written: scores cannot be fitted on dev images of which too few have two captions."""
    pairs = read_pairs(prepared, "dev")
    lacking = few_described(sum(len(row["captions"]) > 1 for row in pairs), len(pairs))
    if lacking is not None:
        raise SystemExit(lacking)


def serve_texts(run: Run[ExportConfig], prepared: Path, exported: Exported) -> ServedTexts:
    """Embed all dev captions; every k-th is compared, so that the sample is of all images and not of the first ones."""
    pairs = read_pairs(prepared, "dev")
    texts = [caption for row in pairs for caption in row["captions"]]
    image_of_text = np.array([number for number, row in enumerate(pairs) for _ in row["captions"]])
    described = cast(ModelManifest, exported.described)
    embed_tier, tokens = served_tiers(run.output, described), token_counts(run.output, described)
    vectors: dict[Tier, np.ndarray] = {tier: embed(texts) for tier, embed in embed_tier.items()}
    sample = np.unique(np.linspace(0, len(texts) - 1, min(run.config["parity_samples"], len(texts))).astype(int))
    sampled = [texts[i] for i in sample]
    length = exported.students["student"].shape.context_length
    ids = exported.wordpiece.encode(sampled, length)
    cosines_of, rounding_of = {}, {}
    for tier, each in exported.students.items():
        cosines_of[FILE_OF[tier]] = row_cosines(vectors[tier][sample], rounded(each, ids))
        rounding_of[FILE_OF[tier]] = row_cosines(vectors[tier][sample], each.embed(ids).numpy())
    with torch.no_grad():
        static_NE = exported.static(exported.wordpiece.tokens(sampled)).numpy()
    cosines_of["static"] = row_cosines(vectors["static"][sample], static_NE)
    captions = [row["captions"] for row in pairs]
    return ServedTexts(captions, embed_tier, tokens, vectors, image_of_text, cosines_of, rounding_of)


def rounded(student: TextStudent, ids: list[list[int]]) -> np.ndarray:
    """Vectors [N, E] with the rounding of the served graph, whose range is that of a run: one text at a time."""
    student.fake_quantize(enabled=True)
    vectors = [student.embed([of_text]) for of_text in ids]
    student.fake_quantize(enabled=False)
    return torch.cat(vectors).numpy()


OnBatch = Callable[[int, list[np.ndarray], np.ndarray], None]


def serve_images(run: Run[ExportConfig], prepared: Path, exported: Exported) -> ServedImages:
    """Embed all dev images, a mirrored central crop of the first ones, and some in PyTorch."""
    pairs, graph = read_pairs(prepared, "dev"), session(run.output / "image.onnx")
    cosines: list[np.ndarray] = []
    limit = run.config["parity_samples"]

    def compare(done: int, pixels: list[np.ndarray], vectors_BE: np.ndarray) -> None:
        if done - len(pixels) < limit:
            with torch.no_grad():
                cosines.append(row_cosines(vectors_BE, exported.tower(torch.from_numpy(np.stack(pixels))).numpy()))

    images_ME, views_ME = see_images(read_images(prepared, pairs), graph, exported.recipe, compare)
    return ServedImages(images_ME, views_ME, np.concatenate(cosines))


def see_images(
    files: Iterable[tuple[str, bytes]], graph: InferenceSession, recipe: PreprocessRecipe, on_batch: OnBatch
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors [M, E] of image files (with their keys), and of a mirrored central crop of the first ones.

    `on_batch` is told how many were embedded, and the pixels and vectors of the last ones.
    """

    def embed(pixels_B3HW: np.ndarray) -> np.ndarray:
        return np.asarray(graph.run(["embedding"], {"pixels": pixels_B3HW})[0])

    images, views = [], []
    done = 0
    for some in in_batches(files):
        pixels, crops = [], []
        for _, data in some:
            image = decode(data)
            pixels.append(preprocess(image, recipe))
            if done + len(pixels) <= VIEW_IMAGES:
                crops.append(preprocess(mirrored_centre(image), recipe))
        images.append(by_shape(pixels, embed))
        if crops:
            views.append(by_shape(crops, embed))
        done += len(pixels)
        on_batch(done, pixels, images[-1])
    return np.concatenate(images), np.concatenate(views)


def in_batches(files: Iterable[tuple[str, bytes]]) -> Iterable[list[tuple[str, bytes]]]:
    """In lists of as many as the graph takes at once."""
    waiting = iter(files)
    while some := list(islice(waiting, IMAGE_BATCH)):
        yield some


def parity(config: ExportConfig, texts: ServedTexts, images: ServedImages) -> dict[str, float]:
    """Mean and worst cosine of every path, and of rounding.

    A single text may lie where one rounding decides what attention looks at, so that what rounding costs is the mean, and the
    cosine that 99 texts of 100 reach, which `min_worst_cosine` holds as well.
    """
    found = parity_of(texts.cosines, (config["min_mean_cosine"], config["min_worst_cosine"]))
    found |= parity_of({"image": images.cosines}, (MIN_IMAGE_COSINE, MIN_IMAGE_COSINE))
    nearly_all = {name: np.sort(cosines)[len(cosines) // ROUNDED_TEXTS :] for name, cosines in texts.rounding.items()}
    parity_of(nearly_all, (config["min_mean_cosine"], config["min_worst_cosine"]))
    rounding = parity_of(texts.rounding, (config["min_mean_cosine"], -1.0))
    return found | {name.replace("parity", "rounding", 1): value for name, value in rounding.items()}


def parity_of(cosines_of: dict[str, np.ndarray], least: tuple[float, float]) -> dict[str, float]:
    """Mean and worst cosine of each path to PyTorch; below the `least` of either nothing is exported."""
    parity: dict[str, float] = {}
    for name, cosines in cosines_of.items():
        parity |= {f"parity.{name}.mean": float(cosines.mean()), f"parity.{name}.worst": float(cosines.min())}
        if cosines.mean() < least[0] or cosines.min() < least[1]:
            raise SystemExit(
                f"the exported {name} path strays from PyTorch: cosine {cosines.mean():.4f} in the mean (at least "
                f"{least[0]}), {cosines.min():.4f} at worst (at least {least[1]}), over {len(cosines)} samples"
            )
    return parity


def row_cosines(a_NE: np.ndarray, b_NE: np.ndarray) -> np.ndarray:
    """Cosine of each row of a with the same row of b."""
    lengths_N = np.linalg.norm(a_NE, axis=1) * np.linalg.norm(b_NE, axis=1)
    return (a_NE * b_NE).sum(1) / np.maximum(lengths_N, 1e-12)


def mirrored_centre(image: Image.Image) -> Image.Image:
    """The central part of an image, mirrored: the same scene, other pixels."""
    width, height = round(image.width * CROP_FRACTION), round(image.height * CROP_FRACTION)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return ImageOps.mirror(image.crop((left, top, left + width, top + height)))
