"""Random crops of every train image, run once through the frozen part of the image tower and kept on disk.

Below the first trainable block nothing changes during training, so its output is computed once per crop. The cache is
named by what decides its content and shared by every run that agrees: three seeds and two arms pay for it once.
"""

import hashlib
import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from towers.data import Row, read_images
from towers.preprocess import decode, preprocess
from towers.run import Run
from towers.vision import ImageTower

BATCH = 64


class CropCache:
    """Memory-mapped activations: `train` [images, crops, ...] float16, `dev` [images, ...] of the plain view."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.train: np.ndarray = np.load(folder / "train.npy", mmap_mode="r")
        self.dev: np.ndarray = np.load(folder / "dev.npy", mmap_mode="r")
        self.plain: np.ndarray = np.load(folder / "plain.npy", mmap_mode="r")


def cached_crops(
    run: Run, tower: ImageTower, splits: dict[str, list[Row]], recipe: dict[str, Any], config: dict[str, Any]
) -> CropCache:
    """Read the cache that fits, or make it: resumable image by image, complete once `done.json` is there."""
    block, crops = config["first_trainable_block"], config["crops"]
    identity = {
        "backbone": config["backbone"],
        "block": block,
        "crops": crops,
        "scale": config["crop_scale"],
        "flip": config["flip"],
        "recipe": recipe,
        "dtype": str(run.amp_dtype),
        "keys": hashlib.sha256("\n".join(row["key"] for rows in splits.values() for row in rows).encode()).hexdigest(),
    }
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    folder = run.output.parent / f"crops-{name}"
    if (folder / "done.json").exists():
        return CropCache(folder)
    folder.mkdir(exist_ok=True)
    tower = tower.placed(run.device, run.amp_dtype).eval()
    total = sum(len(rows) * (2 if split == "train" else 1) for split, rows in splits.items())
    done = 0
    for split, name, views in (("dev", "dev", 0), ("train", "plain", 0), ("train", "train", crops)):
        done = fill(run, tower, splits[split], folder / f"{name}.npy", views, recipe, config, done, total)
    temporary = folder / "done.json.tmp"
    temporary.write_text(json.dumps(identity))
    os.replace(temporary, folder / "done.json")
    tower.float()
    return CropCache(folder)


def fill(
    run: Run,
    tower: ImageTower,
    rows: list[Row],
    file: Path,
    views: int,
    recipe: dict[str, Any],
    config: dict[str, Any],
    done: int,
    total: int,
) -> int:
    """Activations of every row: of the plain view where `views` is 0, else of that many random crops."""
    marker = file.with_suffix(".rows")
    start = int(marker.read_text()) if marker.exists() else 0
    block, per_row = config["first_trainable_block"], max(1, views)
    array: np.memmap | None = np.load(file, mmap_mode="r+") if start else None
    images = read_images(run.input("prepare"), rows[start:])
    for first in range(start, len(rows), BATCH):
        part = [decode(data) for _, (_, data) in zip(range(min(BATCH, len(rows) - first)), images, strict=False)]
        pixels = [
            preprocess(image if not views else random_crop(image, config, f"{rows[first + i]['key']}/{view}"), recipe)
            for i, image in enumerate(part)
            for view in range(per_row)
        ]
        outputs = []
        with torch.inference_mode():
            for batch in torch.from_numpy(np.stack(pixels)).split(BATCH):
                batch = batch.to(run.device, run.amp_dtype, memory_format=torch.channels_last)
                outputs.append(tower.below(batch, block).float().cpu().numpy().astype(np.float16))
        x = np.concatenate(outputs)
        if views:
            x = x.reshape(len(part), views, *x.shape[1:])
        if array is None:
            array = np.lib.format.open_memmap(file, "w+", np.float16, (len(rows), *x.shape[1:]))
        array[first : first + len(part)] = x
        array.flush()
        marker.write_text(str(first + len(part)))
        run.tick(done + first + len(part), total + 1, dict, "checkpoint-crops")
    return done + len(rows)


def random_crop(image: Image.Image, config: dict[str, Any], seed: str) -> Image.Image:
    """A crop of a random share of the area with aspect 3:4 to 4:3, mirrored half of the time where the recipe says so."""
    rng = random.Random(seed)
    low, high = config["crop_scale"]
    scale, aspect = rng.uniform(low, high), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    width = min(image.width, round(image.width * (scale * aspect) ** 0.5))
    height = min(image.height, round(image.height * (scale / aspect) ** 0.5))
    left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
    cropped = image.crop((left, top, left + width, top + height))
    if config["flip"] and rng.random() < 0.5:
        return cropped.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return cropped
