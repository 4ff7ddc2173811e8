"""What the joint space knows of classes before `clip`: the frozen image tower, and texts as `inherit` has taught the adapter.

Measured as `clip` measures its own towers, on the same pictures in the same order. I pictures, C classes, E dimensions.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from evaluation.claims.arms import Comparison, report_of, run_behind, start_of
from evaluation.claims.table import BASE
from evaluation.trained import input_of
from towers.crops import load_whole_images
from towers.data import read_class_images
from towers.image.backbone import create_backbone
from towers.image.tower import ImageTower, image_vectors
from towers.items import FILE, write_items
from towers.metrics import hits_at
from towers.text_sets import TextSet, group_vectors
from towers.two_towers import load_adapter, read_shape


def measure_starts(comparisons: list[Comparison]) -> Iterator[str]:
    """Measure what every run of the recipe itself started from; what has been measured is not measured again. A line for each."""
    runs = (run_behind(run, "clip") for found in comparisons for run in found.arms.get(BASE, {}).values())
    for run in dict.fromkeys(run for run in runs if run is not None and report_of(run)):
        folder = start_of(run)
        if (folder / FILE).exists():
            continue
        try:
            items = hits_before(run)
        except FileNotFoundError as error:
            yield f"what {run.name} started from was left out: {error}"
            continue
        folder.mkdir(parents=True, exist_ok=True)
        write_items(folder, items)
        yield f"{run.name} started from {100 * items['zero_shot_top1'].mean():.1f} % of class pictures"


@torch.inference_mode()
def hits_before(run: Path) -> dict[str, np.ndarray]:
    """1 for every class picture [I] whose own class is the nearest, or among the nearest five, by metric; else 0."""
    prepared, embedded, images, inherited = (
        input_of(run, role) for role in ("prepare", "embed_captions", "embed_images", "inherit")
    )
    shape, whole = read_shape(inherited), load_whole_images(images)
    if whole.classes is None:
        raise FileNotFoundError(f"{images} has no class pictures")
    tower = ImageTower(create_backbone(**shape["backbone"]), shape["embed_dim"])
    tower.head.load_state_dict(load_file(inherited / "head.safetensors"))
    prompts = TextSet(embedded, "prompts", torch.device("cpu")).with_features()
    classes_CE = group_vectors(load_adapter(inherited), prompts)
    images_IE = image_vectors(tower, whole.classes, whole.block)
    number_of = {key: number for number, key in enumerate(prompts.keys)}
    class_I = torch.tensor([number_of[str(row["index"])] for row in read_class_images(prepared)])
    return hits_at("zero_shot", images_IE, classes_CE, class_I)
