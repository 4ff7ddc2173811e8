"""The mean of the weights of several runs of `clip` from one start (model soups, 2203.05482), in the place of training.

Each run has turned the joint space to axes of its own in the end, in which weights of two runs have nothing to do with each
other: the turn is undone before they are averaged. `write` turns the mean to its own axes again.
"""

from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file
from torch import nn

from contracts.constants import FILE_JOB
from contracts.types import ClipConfig, TrainingJob
from engine.folders.inputs import job_of
from engine.folders.weights import placed
from tasks.clip_data.build import Training
from towers.two_towers import ROTATION, TowersShape, read_shape

HEADS = {"image_tower": "head", "text_tower": "projection"}  # the linear maps that end in the joint space
SAME = ("text_tower", "llm_width", "embed_dim", "adapter", "backbone")  # of clip.json, in all runs


@torch.no_grad()
def average(training: Training, soup: list[str]) -> None:
    """Load the mean of the runs' towers and logit scales. Runs that cannot be averaged are refused with the reason."""
    folders = [Path(placed(path)) for path in soup]
    refuse_others(folders, {**training.shape, "text_tower": training.task.run.config["text_tower"]})
    objective = training.task.objective
    for name, tower in (("image_tower", objective.tower), ("text_tower", objective.text_tower)):
        tower.load_state_dict(mean([unturned(folder, name) for folder in folders], tower))
    shapes = [read_shape(folder) for folder in folders]
    objective.scales.captions.fill_(sum(shape.get("logit_scale", 0.0) for shape in shapes) / len(shapes))
    if objective.scales.bias is not None:
        objective.scales.bias.fill_(sum(shape.get("logit_bias", 0.0) for shape in shapes) / len(shapes))


def refuse_others(folders: list[Path], shape: TowersShape) -> None:
    """Every run is finished, says how it turned its space, has towers of this shape and started where the first one did."""
    starts: list[str] = []
    for folder in folders:
        missing = next((file for file in ("clip.json", ROTATION, FILE_JOB) if not (folder / file).exists()), None)
        if missing is not None:
            raise ValueError(f"clip.soup: {folder} has no {missing}: name folders of finished runs of clip")
        found = read_shape(folder)
        for key in SAME:
            if found[key] != shape[key]:
                raise ValueError(
                    f"clip.soup: {key} of {folder} is {found[key]}, not {shape[key]}: averaging needs equal towers"
                )
        starts.append(start_of(cast(TrainingJob, job_of(folder))))
    if len(set(starts)) > 1:
        raise ValueError(f"clip.soup: weights of different starts do not average: {', '.join(sorted(set(starts)))}")


def start_of(job: TrainingJob) -> str:
    """Where a run's weights started: what `inherit` left and, where the text tower began at random, the seed."""
    config = cast(ClipConfig, job["config"])
    is_random = config["text_tower"] == "scratch" or config.get("adapter_start") == "new"
    return Path(job["inputs"]["inherit"]).name + (f" with seed {job['seed']}" if is_random else "")


def unturned(folder: Path, name: str) -> dict[str, torch.Tensor]:
    """The weights of a run's tower, float32 on the CPU, before the run turned the joint space."""
    weights = {
        key: value.float() if value.is_floating_point() else value
        for key, value in load_file(folder / f"{name}.safetensors").items()
    }
    back_EE = load_file(folder / ROTATION)["rotation"].double().T
    for key in (f"{HEADS[name]}.weight", f"{HEADS[name]}.bias", "own_axes_EE"):
        if key in weights:
            weights[key] = (back_EE @ weights[key].double()).float()
    return weights


def mean(runs: list[dict[str, torch.Tensor]], tower: nn.Module) -> dict[str, torch.Tensor]:
    """Every tensor's mean over the runs, in the type that the tower has; counters are those of the first run."""
    own = tower.state_dict()
    return {
        key: (
            torch.stack([run[key].double() for run in runs]).mean(0) if value.is_floating_point() else runs[0][key]
        ).to(value.dtype)
        for key, value in own.items()
    }
