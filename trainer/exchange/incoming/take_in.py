"""A published checkpoint as a model that servers open: graphs, tables, tokenizer, manifest.

Its text side is the checkpoint's own, without training, or students that have learned its vectors (stage `imitate`).
Shapes: N texts, M images, E joint dimensions.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from contracts.constants import SCHEMA_VERSION
from contracts.types import Calibration, GoldenVector, ModelManifest, ModelManifestCalibration, Tier
from engine.folders.files import artefact
from exchange.becoming import becoming
from exchange.incoming.checkpoint import ImageSide
from exchange.incoming.read import read_checkpoint, read_image_side
from exchange.incoming.text_side import own_text, students
from exchange.names import FILE, write_names
from exchange.refusal import CannotExpress
from towers.exported_files import MIN_GOLDEN_COSINE, write_manifest
from towers.onnx_export import export_image_tower, session, space_id
from towers.preprocess import by_shape, keeps_shape, preprocess
from towers.quantisation import quantisation_of
from towers.served_text import EmbedTexts, served_tiers

OPSET = 18
MIN_IMAGE_COSINE = 0.9999
MIN_TEXT_COSINE = 0.98  # in the mean; below it int8 has cost more than any student of the trainer
TEMPLATES = ("a photo of a {}.", "a small {}", "there is a {} in the picture, seen from the side")
GOLDEN = ("A dog runs through the snow.", "a man in a red jacket climbing a rock", "dog\U0001f44d \u72ac")


@dataclass(frozen=True)
class ImportOptions:
    """What a person says of a checkpoint. `photos`: a folder with pictures of different things, named after them.

    `students`: a finished run of `imitate`, whose tiers are served in place of the checkpoint's own text tower.
    """

    name: str
    version: str
    photos: Path
    source: str
    licence: str
    image_weights: str = "float16"
    architecture: str | None = None
    students: Path | None = None


def take_in(source: Path, out: Path, options: ImportOptions) -> ModelManifest:
    """Write the folder of a model. Raises CannotExpress where the checkpoint cannot be served, with the number or the part."""
    if options.students is None:
        side = read_checkpoint(source, options.architecture)
        text = own_text(out, side, OPSET)
    else:
        side = read_image_side(source, options.architecture)
        text = students(out, options.students, OPSET)
    size = side.preprocess["size"]
    read = (size, size) if keeps_shape(side.preprocess) else size
    export_image_tower(side.image, read, out / "image.onnx", OPSET, options.image_weights)
    image: Any = {"preprocess": side.preprocess, "graph": {"file": artefact(out, "image.onnx"), "opset": OPSET}}
    write_names(side.published, out / "image.onnx", out / FILE)
    image["names"] = artefact(out, FILE)
    described: Any = {"name": options.name, **text.described, "image": image}
    images_ME, image_parity = image_vectors(side, out, options.photos)
    names = [file.stem.replace("-", " ") for file in pictures_in(options.photos)]
    texts = [template.format(name) for template in TEMPLATES for name in names]
    tiers = served_tiers(out, cast(ModelManifest, described))
    served = {tier: embed(texts) for tier, embed in tiers.items()}
    texts_NE, embed_dim = served["student"], images_ME.shape[1]
    if texts_NE.shape[1] != embed_dim:
        raise CannotExpress(
            f"vectors of the students have {texts_NE.shape[1]} numbers, those of pictures {embed_dim}: they learned another checkpoint"
        )
    metrics = {"parity.image.worst": float(image_parity.min())}
    for tier, floats in text.floats.items():
        parity = (served[tier] * floats(texts)).sum(1)
        name = "text" if tier == "student" else tier
        metrics |= {f"parity.{name}.mean": float(parity.mean()), f"parity.{name}.worst": float(parity.min())}
    metrics |= {name: round(value, 1) if name.endswith("_mib") else value for name, value in text.metrics.items()}
    check_parity(metrics)
    parent = {"name": options.name, "source": options.source, "licence": options.licence}
    manifest: Any = {
        "schema_version": SCHEMA_VERSION,
        "name": options.name,
        "version": options.version,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "space_id": space_id(out / "image.onnx", side.preprocess, embed_dim),
        "embed_dim": embed_dim,
        "matryoshka_dims": [embed_dim],
        **text.described,
        "image": image,
        "quantisation": quantisation_of([images_ME, *served.values()], [embed_dim]),
        "calibration": calibration_of(side, texts_NE[: len(names)], images_ME),
        "golden": [row for tier, embed in tiers.items() for row in golden_of(tier, embed)],
        "metrics": metrics,
        "lineage": {
            "recipe": text.recipe,
            "code": f"sha256:{hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}",
            "parents": [parent, *text.parents],
        },
    }
    write_manifest(out, manifest)
    return cast(ModelManifest, manifest)


def check_parity(metrics: dict[str, float]) -> None:
    """Refuse graphs that stray from the checkpoint."""
    least_of = {
        "parity.image.worst": MIN_IMAGE_COSINE,
        "parity.text.mean": MIN_TEXT_COSINE,
        "parity.tiny.mean": MIN_TEXT_COSINE,
    }
    for figure, least in least_of.items():
        if metrics.get(figure, 1.0) < least:
            raise CannotExpress(
                f"the served graphs stray from the checkpoint: {figure} is {metrics[figure]:.5f}, at least {least}"
            )


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, by name."""
    found = sorted(folder.glob("*.jpg"))
    if len(found) < 2:
        raise ValueError(
            f"{folder} holds {len(found)} .jpg pictures: at least two different ones are needed to measure with"
        )
    return found


@torch.no_grad()
def image_vectors(checkpoint: ImageSide, out: Path, photos: Path) -> tuple[np.ndarray, np.ndarray]:
    """Served vectors of the pictures [M, E], and their cosines to PyTorch's."""
    pixels = [preprocess(file.read_bytes(), checkpoint.preprocess) for file in pictures_in(photos)]
    graph = session(out / "image.onnx")
    served_ME = by_shape(pixels, lambda some: np.asarray(graph.run(["embedding"], {"pixels": some})[0]))
    own_ME = by_shape(pixels, lambda some: checkpoint.image(torch.from_numpy(some)).numpy())
    return served_ME, (served_ME * own_ME).sum(1)


def calibration_of(checkpoint: ImageSide, texts_ME: np.ndarray, images_ME: np.ndarray) -> ModelManifestCalibration:
    """Probability of a pair: the checkpoint's own where it learned one (sigmoid), else its softmax over two.

    A softmax model says nothing of a single pair. Between a pair of cosine c and a random one of cosine r it says
    1 / (1 + exp(-(scale * c - scale * r))): r is the mean cosine of the pictures with texts about other ones, and of texts and
    pictures among themselves, for which the scale was not trained.
    """
    scale, others = checkpoint.logit_scale, ~np.eye(len(images_ME), dtype=bool)
    pairs = {
        "text_image": (texts_ME, images_ME),
        "text_text": (texts_ME, texts_ME),
        "image_image": (images_ME, images_ME),
    }
    found: dict[str, Calibration] = {
        name: {"scale": scale, "bias": -scale * float((a @ b.T)[others].mean())} for name, (a, b) in pairs.items()
    }
    if checkpoint.logit_bias is not None:
        found["text_image"] = {"scale": scale, "bias": checkpoint.logit_bias}
    return {"text_image": found["text_image"], "text_text": found["text_text"], "image_image": found["image_image"]}


def golden_of(tier: Tier, embed: EmbedTexts) -> list[GoldenVector]:
    """Vectors that every server has to reproduce."""
    return [
        {"text": text, "tier": tier, "embedding": [float(x) for x in vector], "min_cosine": MIN_GOLDEN_COSINE}
        for text, vector in zip(GOLDEN, embed(GOLDEN), strict=True)
    ]


def import_into(source: Path, to: Path, options: ImportOptions) -> ModelManifest:
    """`take_in` into a folder that is there when everything is written, or not at all."""
    with becoming(to) as making:
        return take_in(source, making, options)
