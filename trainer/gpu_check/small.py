"""A small recipe with everything it needs: drawn pictures, tiny random weights, and the jobs of its stages in order."""

import json
import tarfile
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from bench.job import write_job
from bench.small_models import (
    COLOURS,
    SHAPES,
    byte_level_tokenizer,
    drawing,
    write_clip,
    write_efficientnet,
    write_llama,
)

RECIPES = Path(__file__).parents[1] / "recipes"
# Three of ImageNet's, so that a classifier of 1,000 rows knows them, with a hypernym each.
CLASSES = {"tench": "cyprinid", "goldfish": "carp", "hammer": "tool"}
STEPS = 4

# The folders that a stage reads. `data` is the user's.
INPUTS: dict[str, tuple[str, ...]] = {
    "prepare": ("data",),
    "mntp": ("prepare",),
    "contrastive": ("prepare", "mntp"),
    "embed_captions": ("prepare", "contrastive"),
    "inherit": ("prepare", "embed_captions"),
    "embed_images": ("prepare",),
    "clip": ("prepare", "embed_captions", "inherit", "embed_images"),
    "vocabulary": ("prepare", "embed_captions"),
    "distill": ("prepare", "embed_captions", "vocabulary", "clip"),
    "imitate": ("data",),
}
TRAINED = ("mntp", "contrastive", "inherit", "clip", "distill", "imitate")

Config = dict[str, Any]


class Small:
    """The recipe in a folder: `write` draws and makes what it starts from, `job` writes the job of a stage."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        self.language_model, self.tower, self.clip = folder / "language_model", folder / "tower", folder / "published"

    def write(self) -> None:
        """Data and weights."""
        write_data(self.data)
        write_language_model(self.language_model)
        write_tower(self.tower)
        torch.manual_seed(0)
        write_clip(self.clip, small_tokenizer())

    def config(self, stage: str) -> Config:
        """The block of a stage: that of recipes/smoke.json with what is made here, dropout, and every term of a loss."""
        recipe: Config = json.loads((RECIPES / "smoke.json").read_text(encoding="utf-8"))
        config = imitation(recipe["vocabulary"] | recipe["distill"], self.clip) if stage == "imitate" else recipe[stage]
        for schedule in schedules_of(config):
            schedule["steps"] = STEPS
        if "backbone" in config:
            config["backbone"] = {"name": f"local-dir:{self.tower}", "size": 64}
        if stage == "prepare":
            labelled = {"split": "train", "format": "labelled", "path": "labelled.jsonl", "templates": ["a {}.", "{}"]}
            config["pairs"].append({**labelled, "hold_out_labels": 0.3})
            config["texts"].append({"split": "train", "kind": "concepts", "path": "concepts.jsonl"})
        if stage == "mntp":
            config["language_model"] = {"source": "directory", "name": str(self.language_model)}
        if "lora" in config:
            config["lora"]["dropout"] = 0.1
        if stage == "contrastive":
            config["micro_batch"] = 5  # several a step: the gradient cache is at work
        if stage in ("contrastive", "embed_captions"):
            config["packing"] = True
        if stage == "embed_captions":
            config["limits"]["concepts"] = 8
        if stage == "embed_images":
            config["first_trainable_block"] = 2
        if stage == "clip":
            config |= {"micro_batch": 6, "evaluate_every": 3, "hypernyms_softmax_weight": 0.5}
        return config

    def job(self, stage: str, name: str, inputs: dict[str, Path], **changes: Any) -> Path:
        """Write the job of a stage into the folder `name`, with some settings changed; returns its path."""
        config = {"stage": stage, **self.config(stage), **changes}
        folders = {role: self.data if role == "data" else inputs[role] for role in INPUTS[stage]}
        return write_job(self.folder / name, config, folders, recipe="gpu-check", seed=0)


def imitation(students: Config, checkpoint: Path) -> Config:
    """The block of `imitate`: pieces and students as those of `vocabulary` and `distill`, without what it decides itself."""
    own = {name: value for name, value in students.items() if name not in ("matryoshka_dims", "image_weight", "mix")}
    files = {"checkpoint": str(checkpoint), "captions": ["groups.jsonl"], "features": None}
    return files | {"most_captions": 1000, "dev_captions": 8, "student": own}


def schedules_of(config: Config) -> list[Config]:
    """Every schedule in a stage's block."""
    students = config.get("student", config)
    parts = [config, students.get("static", {}), *students.get("tiers", [])]
    return [part["schedule"] for part in parts if "schedule" in part]


def write_data(folder: Path) -> None:
    """Captioned pictures, labelled ones, texts and classes, in the formats that `prepare` reads."""
    rows = draw_images(folder / "train", 0, 24)
    draw_images(folder / "dev", 24, 12)
    groups = [{"id": f"g{n}", "source": "drawn", "captions": row["captions"]} for n, row in enumerate(rows)]
    plain = [{"source": "drawn", "title": "shapes", "text": "\n".join(row["captions"][0] for row in rows)}]
    concepts = [{"name": name, "names": [name], "hypernyms": [kind]} for name, kind in CLASSES.items()]
    for name, lines in {"groups": groups, "plain": plain, "concepts": concepts}.items():
        write_lines(folder / f"{name}.jsonl", lines)
    classes = [{"index": number, "name": name} for number, name in enumerate(CLASSES)]
    described = {"classes": classes, "templates": ["a photo of a {}."]}
    (folder / "classes.json").write_text(json.dumps(described), encoding="utf-8")
    labelled = draw_images(folder / "labelled", 36, 12)
    with tarfile.open(folder / "labelled.tar", "w") as archive:
        for row in labelled:
            archive.add(folder / "labelled" / f"{row['key']}.jpg", f"{row['key']}.jpg")
    labels = [{"key": row["key"], "label": f"thing {number // 2}"} for number, row in enumerate(labelled)]
    write_lines(folder / "labelled.jsonl", labels)


def write_lines(file: Path, rows: list[Config]) -> None:
    """JSON lines."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def draw_images(folder: Path, first: int, count: int) -> list[Config]:
    """Pictures KEY.jpg with captions that describe them in KEY.txt; returns {key, captions}."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(first, first + count):
        image, colour, shape = drawing(number, (52, 40))
        key = f"drawn{number:03d}"
        image.save(folder / f"{key}.jpg", quality=90)
        captions = [f"A {colour} {shape} number {number} .", f"there is a {shape} that is {colour} {number}"]
        (folder / f"{key}.txt").write_text("\n".join(captions), encoding="utf-8")
        rows.append({"key": key, "captions": captions})
    return rows


def small_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level vocabulary of 300 pieces."""
    return byte_level_tokenizer(
        [f"a {colour} {shape} number there is that" for colour in COLOURS for shape in SHAPES], 300
    )


def write_language_model(folder: Path) -> None:
    """A random Llama of two layers; 16 numbers a head, which is the least that attention kernels of GPUs take."""
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    write_llama(folder, small_tokenizer(), **shape, **heads, max_position_embeddings=512)


def write_tower(folder: Path) -> None:
    """A random EfficientNet, always the same one."""
    torch.manual_seed(0)
    write_efficientnet(folder)
