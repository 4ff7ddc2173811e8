"""Runs the stages of the small recipe for a system, each stage once for equal configurations over equal inputs."""

import copy
import json
from pathlib import Path
from typing import Any

from bench.job import write_job
from columns.system import Failed, System
from columns.towers import SPACE
from contracts.constants import EXIT_OK, FILE_REPORT
from gpu_check.runs import Processes, last_line
from gpu_check.small import INPUTS, Small

# Beyond what the check of a GPU runs.
READS = INPUTS | {
    "export": ("prepare", "distill", "clip"),
    "evaluate": ("prepare", "embed_captions", "clip", "distill", "export"),
}
# Pictures with captions by role, which `write_roles` puts into the small recipe's data.
LONG_PAIRS = [
    {
        "split": "train",
        "format": "jsonl",
        "path": "roles.jsonl",
        "image_column": "image",
        "caption_fields": {"short": ["short"], "long": ["long"]},
    },
    {"split": "dev", "format": "folder", "path": "dev"},
]
TUNING = ("mntp", "contrastive")
Config = dict[str, Any]


class Pipeline:
    """The stages that were run so far, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.small = Small(folder)
        self.small.write()
        write_roles(self.small.data)
        self.processes = Processes("cpu")
        self.done: dict[str, Path] = {}

    def run(self, config: Config, inputs: dict[str, Path]) -> Path:
        """The folder of a stage's run; raises `Failed` with what it printed last."""
        key = json.dumps([config, {role: str(path) for role, path in inputs.items()}], sort_keys=True)
        if key not in self.done:
            stage = config["stage"]
            job = write_job(self.folder / f"{stage}-{len(self.done)}", config, inputs, recipe="systems", seed=0)
            if self.processes.stage(stage, job) != EXIT_OK:
                raise Failed(f"{stage}: {last_line(job)}")
            self.done[key] = job.parent
        return self.done[key]


def write_roles(data: Path) -> None:
    """The train pictures with a short caption and one of more than 77 tokens each, a negative, and what is in the middle of them."""
    rows = []
    for picture in sorted((data / "train").glob("*.jpg")):
        short, other = picture.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
        long = " ".join(f"{other}, as seen {number} times in the picture ." for number in range(20))
        phrase = " ".join(short.split()[:3])
        middle = {"box": [0.1, 0.1, 0.9, 0.9], "text": phrase, "negatives": [f"{phrase} with a hole"]}
        about = {"negatives": [f"{short} upside down"], "regions": [middle]}
        rows.append({"image": f"train/{picture.name}", "short": short, "long": long} | about)
    (data / "roles.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


class Training:
    """The stages of one system, which ask for each other. `backbone`: the twin's name; `language_model`: the twin in a recipe."""

    def __init__(self, pipeline: Pipeline, system: System, backbone: str, language_model: Config) -> None:
        self.pipeline, self.system = pipeline, system
        self.backbone, self.language_model = backbone, language_model

    def of(self, stage: str) -> Path:
        """The run of a stage, after those that it reads."""
        folders = {role: self.pipeline.small.data if role == "data" else self.of(role) for role in self.reads(stage)}
        return self.pipeline.run(self.config(stage), folders)

    def report(self, stage: str) -> dict[str, Any]:
        """What a stage reports."""
        return json.loads((self.of(stage) / FILE_REPORT).read_text(encoding="utf-8"))

    def reads(self, stage: str) -> list[str]:
        """The stages that a stage reads in this recipe."""
        tuned = self.system.language.stages
        return [role for role in READS[stage] if role not in TUNING or role in tuned]

    def config(self, stage: str) -> Config:
        """The block of a stage: the small recipe's with the system's towers, and what the system changes."""
        config: Config = {"stage": stage, **self.pipeline.small.config(stage)}
        system, first = self.system, (*self.system.language.stages, "embed_captions")[0]
        if "backbone" in config:
            config["backbone"] = {"name": self.backbone, "size": system.tower.size}
        if "embed_dim" in config:
            config["embed_dim"] = SPACE
        if stage == "inherit":
            config["target"] = system.tower.target
        if stage == "embed_captions" and first == stage:
            config["teachers"] = [{"type": "language_model", "language_model": self.language_model}]
        elif stage in TUNING:
            config.pop("language_model", None)
            if first == stage:
                config["language_model"] = self.language_model
        if stage == "embed_captions" and system.own_texts:
            config["teachers"] = [*config["teachers"], {"type": "clip_text", "checkpoint": self.backbone}]
        if stage == "clip" and system.tower.target == "features":
            config |= WITHOUT_CLASSES
        if stage == "clip" and system.tower.loss == "sigmoid":
            config |= {"loss": "sigmoid"}
        return merged(config, system.changes.get(stage, {}))


# What `clip` learns from the classes that a tower knows, left out where it knows none.
WITHOUT_CLASSES: Config = {
    "rows_weight": 0, "softmax_weight": 0, "hypernyms_weight": 0, "hypernyms_softmax_weight": 0
}  # fmt: skip


def merged(config: Config, changes: Any) -> Config:
    """`changes` over a block, key by key."""
    result = copy.deepcopy(config)
    for name, value in changes.items():
        result[name] = merged(result[name], value) if isinstance(value, dict) and name in result else value
    return result
