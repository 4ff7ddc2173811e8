"""A published checkpoint as a model that servers open, without training: graphs, tables, tokenizer, manifest.

Shapes: N texts, M images, E joint dimensions.
"""

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from contracts.constants import SCHEMA_VERSION
from contracts.types import Calibration, GoldenVector, ModelManifest, ModelManifestCalibration
from engine.run import artefact
from exchange.incoming.checkpoint import Checkpoint
from exchange.incoming.clip_text import TextTokenizer, write_clip_text
from exchange.incoming.read import read_checkpoint
from exchange.refusal import CannotExpress
from towers.clip_bpe import ClipBpe
from towers.exported_files import MIB, MIN_GOLDEN_COSINE, write_manifest
from towers.onnx_export import export_image_tower, session, space_id
from towers.preprocess import preprocess
from towers.quantisation import int8_scale
from towers.sentencepiece_text import SentencePiece
from towers.served_text import served_tiers

OPSET = 18
MIN_IMAGE_COSINE = 0.9999
MIN_TEXT_COSINE = 0.98  # in the mean; below it int8 has cost more than any student of the trainer
TEMPLATES = ("a photo of a {}.", "a small {}", "there is a {} in the picture, seen from the side")
GOLDEN = ("A dog runs through the snow.", "a man in a red jacket climbing a rock", "dog\U0001f44d \u72ac")

# An isolate of Workers has 128 MiB for everything. Beside the model that is opened there are the runtime's WebAssembly memory
# before any model, a run's activations (both: docs/results.md), the JavaScript heap, and the embedded model, which answers
# until the new one is verified. A table stays as it is; weights are there twice while a session copies them.
ISOLATE_MIB = 128.0
OTHERS_MIB = {"runtime": 11.0, "run": 8.0, "heap": 20.0, "embedded model": 26.0}


@dataclass(frozen=True)
class ImportOptions:
    """What a person says of a checkpoint. `photos`: a folder with pictures of different things, named after them."""

    name: str
    version: str
    photos: Path
    source: str
    licence: str
    image_weights: str = "float16"
    architecture: str | None = None


def take_in(source: Path, out: Path, options: ImportOptions) -> ModelManifest:
    """Write the folder of a model. Raises CannotExpress where the checkpoint cannot be served, with the number or the part."""
    checkpoint = read_checkpoint(source, options.architecture)
    memory = check_isolate(checkpoint)
    size = checkpoint.preprocess["size"]
    export_image_tower(checkpoint.image, size, out / "image.onnx", OPSET, options.image_weights)
    text = write_clip_text(out, checkpoint.text, tokenizer_of(out, checkpoint.tokenizer), OPSET)
    described: dict[str, Any] = {
        "name": options.name,
        "text": text,
        "image": {
            "preprocess": checkpoint.preprocess,
            "graph": {"file": artefact(out, "image.onnx"), "opset": OPSET},
        },
    }
    images_ME, image_parity = image_vectors(checkpoint, out, options.photos)
    names = [file.stem.replace("-", " ") for file in pictures_in(options.photos)]
    texts = [template.format(name) for template in TEMPLATES for name in names]
    embed = served_tiers(out, described)["student"]  # pyright: ignore[reportArgumentType] - the parts that it reads are there
    texts_NE = embed(texts)
    floats_NE = np.stack(
        [checkpoint.text.embed(ids).numpy() for ids in checkpoint.tokenizer.encode(texts, text["context_length"])]
    )
    text_parity = (texts_NE * floats_NE).sum(1)
    metrics = {
        "parity.image.worst": float(image_parity.min()),
        "parity.text.mean": float(text_parity.mean()),
        "parity.text.worst": float(text_parity.min()),
        **{name: round(mib, 1) for name, mib in memory.items()},
    }
    check_parity(metrics)
    embed_dim = images_ME.shape[1]
    manifest: ModelManifest = {
        "schema_version": SCHEMA_VERSION,
        "name": options.name,
        "version": options.version,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "space_id": space_id(out / "image.onnx", checkpoint.preprocess, embed_dim),
        "embed_dim": embed_dim,
        "matryoshka_dims": [embed_dim],
        "text": text,
        "image": described["image"],
        "quantisation": {"int8_scale": int8_scale([images_ME, texts_NE], [embed_dim])},
        "calibration": calibration_of(checkpoint, texts_NE[: len(names)], images_ME),
        "golden": golden_of(embed),
        "metrics": metrics,
        "lineage": {
            "recipe": "imported",
            "code": f"sha256:{hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}",
            "parents": [{"name": options.name, "source": options.source, "licence": options.licence}],
        },
    }
    write_manifest(out, manifest)
    return manifest


def tokenizer_of(out: Path, tokenizer: ClipBpe | SentencePiece) -> TextTokenizer:
    """Write the vocabulary; returns what the manifest says of it."""
    tokenizer.write(out)
    if isinstance(tokenizer, SentencePiece):
        described: TextTokenizer = {
            "type": "sentencepiece",
            "vocabulary": artefact(out, "sentencepiece.model"),
            "vocabulary_size": tokenizer.size,
            "pad_id": tokenizer.pad,
            "unk_id": tokenizer.unknown,
            "sep_id": tokenizer.end,
        }
        if tokenizer.cleaning is not None:
            described["cleaning"] = tokenizer.cleaning
        return described
    return {
        "type": "clip_bpe",
        "vocabulary": artefact(out, "vocabulary.txt"),
        "merges": artefact(out, "merges.txt"),
        "vocabulary_size": len(tokenizer.pieces),
        "pad_id": tokenizer.end,
        "unk_id": tokenizer.end,
        "cls_id": tokenizer.start,
        "sep_id": tokenizer.end,
    }


def check_isolate(checkpoint: Checkpoint) -> dict[str, float]:
    """MiB of a text tower's table and weights, and of an isolate with it. Refuses one that a Worker's isolate cannot open."""
    shape = checkpoint.text.shape
    table = shape.vocabulary_size * shape.width / MIB
    blocks = shape.layers * (4 * shape.width**2 + 2 * shape.width * shape.hidden) / MIB
    filling = 0 if shape.padding is None else shape.context_length
    floats = 4 * shape.width * (shape.context_length + filling + shape.embed_dim) / MIB
    own = table + 2 * (blocks + floats)
    needed = own + sum(OTHERS_MIB.values())
    if needed <= ISOLATE_MIB:
        return {"text.table_mib": table, "text.weights_mib": blocks + floats, "text.isolate_mib": needed}
    others = ", ".join(f"{name} {size:g}" for name, size in OTHERS_MIB.items())
    raise CannotExpress(
        f"the text tower has a table of {table:.1f} MiB and {blocks + floats:.1f} MiB of weights in int8. Opened in a Worker it takes "
        f"{own:.1f} MiB (weights twice while they are copied), with the others ({others}) {needed:.0f} of the {ISOLATE_MIB:g} MiB "
        "of an isolate: it cannot be served there. A checkpoint with a narrower or shallower text tower can (TinyCLIP's), and the "
        "image tower can be a recipe's backbone, from which a small text student is trained (docs/towers.md)"
    )


def check_parity(metrics: dict[str, float]) -> None:
    """Refuse graphs that stray from the checkpoint."""
    for figure, least in {"parity.image.worst": MIN_IMAGE_COSINE, "parity.text.mean": MIN_TEXT_COSINE}.items():
        if metrics[figure] < least:
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
def image_vectors(checkpoint: Checkpoint, out: Path, photos: Path) -> tuple[np.ndarray, np.ndarray]:
    """Served vectors of the pictures [M, E], and their cosines to PyTorch's."""
    pixels = np.stack([preprocess(file.read_bytes(), checkpoint.preprocess) for file in pictures_in(photos)])
    served_ME = np.asarray(session(out / "image.onnx").run(["embedding"], {"pixels": pixels})[0])
    own_ME = checkpoint.image(torch.from_numpy(pixels)).numpy()
    return served_ME, (served_ME * own_ME).sum(1)


def calibration_of(checkpoint: Checkpoint, texts_ME: np.ndarray, images_ME: np.ndarray) -> ModelManifestCalibration:
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


def golden_of(embed: Any) -> list[GoldenVector]:
    """Vectors that every server has to reproduce."""
    return [
        {"text": text, "tier": "student", "embedding": [float(x) for x in vector], "min_cosine": MIN_GOLDEN_COSINE}
        for text, vector in zip(GOLDEN, embed(GOLDEN), strict=True)
    ]


def import_into(source: Path, to: Path, options: ImportOptions) -> ModelManifest:
    """`take_in` into a folder that is there when everything is written, or not at all."""
    to.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{to.name}-", dir=to.parent))
    try:
        manifest = take_in(source, making, options)
        if to.exists():
            to.rmdir()
        making.chmod(0o755)
        making.rename(to)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return manifest
