"""The jobs of a set: the smallest settings of prepare, embed_captions, inherit, embed_images and clip that are real ones."""

from pathlib import Path
from typing import Any

from bench import job
from bench.million.pairs import PAIRS_PER_TAR, tar_names
from contracts.constants import LARGE_SET

STEPS = 200
BATCH = 256
INPUTS = {
    "prepare": ("data",),
    "embed_captions": ("prepare",),
    "inherit": ("prepare", "embed_captions"),
    "embed_images": ("prepare",),
    "clip": ("prepare", "embed_captions", "inherit", "embed_images"),
}


def schedule(steps: int) -> dict[str, Any]:
    """A short one."""
    return {
        "steps": steps,
        "warmup_steps": 10,
        "lr": 1e-3,
        "weight_decay": 0.01,
        "grad_clip": 1.0,
        "decay": "cosine",
    }


def configs(pairs: int, weights: Path) -> dict[str, dict[str, Any]]:
    """The configuration of every stage."""
    last = len(tar_names(pairs)) - 1
    backbone = {"name": f"local-dir:{weights / 'tower'}", "size": 32}
    adapter = {"blocks": 1, "expansion": 1}
    # A small set is treated as a large one only where its recipe asks for it.
    explicit = pairs <= LARGE_SET
    nothing = ("groups", "long", "translations", "fragments", "concepts")
    off = ("rows", "softmax", "hypernyms", "labels")
    return {
        "prepare": {
            "pairs": [
                {"split": "train", "format": "webdataset", "path": f"train/{{00000..{last:05d}}}.tar"},
                {"split": "dev", "format": "webdataset", "path": "dev/00000.tar"},
            ],
            "texts": [],
            "max_side": 64,
            "min_side": 8,
            "max_pixels": 10_000,
            "shard_size": PAIRS_PER_TAR,
            "min_caption_chars": 1,
            "max_caption_chars": 1000,
            "fragments": 0,
            "classes": None,
            "class_images": None,
        },
        "embed_captions": {
            "teachers": [
                {
                    "type": "language_model",
                    "language_model": {"source": "directory", "name": str(weights / "language_model")},
                }
            ],
            "pooling": "mean",
            "max_tokens": 48,
            "batch_tokens": 8192,
            "shard_size": 4096,
            "limits": dict.fromkeys(nothing, 0),
            "concept_texts": {"templates": [], "synonyms": 0, "gloss": False, "hypernyms": 0, "descriptions": 0},
            "prompt_templates": [],
            **({"cut": "shards"} if explicit else {}),
        },
        "inherit": {
            "backbone": backbone,
            "adapter": adapter,
            "embed_dim": 32,
            "target": "features",
            "struct_weight": 1.0,
            "batch_size": BATCH,
            "schedule": schedule(20),
        },
        "embed_images": {
            "backbone": backbone,
            "first_trainable_block": 2,
            "crops": 1,
            "crop_scale": [0.6, 1.0],
            "flip": True,
            "low_resolution": 0.25,
            "low_resolution_side": [12, 24],
            **({"images": "streamed"} if explicit else {}),
        },
        "clip": {
            "text_tower": "llm",
            "scratch": {"layers": 1, "width": 32, "heads": 2, "context_length": 16, "vocabulary_size": 500},
            "adapter": adapter,
            "embed_dim": 32,
            "layer_decay": 0.7,
            "backbone_lr": 1e-4,
            "regulariser_weight": 0.05,
            "rows_mixin": 0.0,
            "hypernyms_batch": 1,
            "label_fraction": 0.0,
            **{f"{name}_weight": 0.0 for name in off},
            # Dropout is drawn on every rank for itself: without it other numbers of ranks can be compared.
            "dropout": 0.0,
            "batch_size": BATCH,
            "ema_decay": 0.9,
            "evaluate_every": 10 * STEPS,
            "schedule": schedule(STEPS),
        },
    }


def write_job(folder: Path, stage: str, name: str, places: dict[str, Path], config: dict[str, Any]) -> Path:
    """The job of a stage in the folder `name`; returns its path."""
    inputs = {role: places[role] for role in INPUTS[stage]}
    return job.write_job(folder / name, {"stage": stage, **config}, inputs, recipe="bench-million", seed=1)
