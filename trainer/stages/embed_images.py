"""Stage `embed_images`: runs every image once through the frozen part of the image tower and stores the activations.

Below the first trainable block nothing changes during training, so its output is computed once per crop. It depends on
neither seed nor text tower: all runs of `clip` in a recipe share it. Work is cut into shards; a finished shard is never
computed again. Writes `train.npy` (random crops), `plain.npy` and `dev.npy` (whole images), and `crops.json`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from contracts.types import EmbedImagesConfig, PreprocessRecipe
from towers.crops import CropsShape, random_crop
from towers.data import Row, read_images, read_pairs
from towers.preprocess import decode, preprocess
from towers.run import Run, write_atomically
from towers.vision import ImageTower, create_backbone, preprocess_recipe

BATCH = 64  # images, and crops in one forward pass
SHARD_IMAGES = 4 * BATCH


@dataclass(frozen=True)
class Shard:
    """Consecutive rows of one output array; `crops` is None for the whole image."""

    array: str
    rows: list[Row]
    first: int
    crops: int | None

    @property
    def file(self) -> str:
        """Its name in the output folder."""
        return f"shard-{self.array}-{self.first:07d}.npy"


def main() -> None:
    """Run the stage."""
    run = Run.start(EmbedImagesConfig)
    config = run.config
    prepared = run.input("prepare")
    train, dev = read_pairs(prepared, "train"), read_pairs(prepared, "dev")
    shards = [
        *shards_of("dev", dev, None),
        *shards_of("plain", train, None),
        *shards_of("train", train, config["crops"]),
    ]
    backbone = create_backbone(config["backbone"]["name"])
    recipe = preprocess_recipe(backbone, config["backbone"]["size"])
    shape: CropsShape = {
        "backbone": config["backbone"],
        "first_trainable_block": config["first_trainable_block"],
        "crops": config["crops"],
    }
    tower = ImageTower(backbone, 1).to_device(run.device, run.amp_dtype).eval()

    # ---- shards ------------------------------------------------------------------------------------------------------
    state = run.resume() or {"shards": 0}
    total = sum(len(shard.rows) for shard in shards)
    done = sum(len(shard.rows) for shard in shards[: state["shards"]])
    for number in range(state["shards"], len(shards)):
        shard = shards[number]
        parts = []
        for pixels in batches_of_pixels(prepared, shard, config, recipe):
            parts.append(frozen_activations(tower, pixels, config["first_trainable_block"]))
            done += len(pixels) // (shard.crops or 1)
            run.tick(done, total, lambda number=number: {"shards": number})
        x = np.concatenate(parts)
        np.save(run.output / shard.file, x if shard.crops is None else x.reshape(-1, shard.crops, *x.shape[1:]))
        run.save({"shards": number + 1})

    # ---- assemble ----------------------------------------------------------------------------------------------------
    for name, rows in (("dev", dev), ("plain", train), ("train", train)):
        assemble([shard for shard in shards if shard.array == name], run.output, len(rows))
    write_atomically(run.output / "crops.json", json.dumps(shape, indent=2))
    files = {"dev": "dev.npy", "plain": "plain.npy", "train": "train.npy", "crops": "crops.json"}
    run.finish({"images.train": len(train), "images.dev": len(dev), "crops": config["crops"]}, files)
    for shard in shards:
        (run.output / shard.file).unlink()


def shards_of(array: str, rows: list[Row], crops: int | None) -> list[Shard]:
    """The rows of one output array in shards."""
    firsts = range(0, len(rows), SHARD_IMAGES)
    return [Shard(array, rows[first : first + SHARD_IMAGES], first, crops) for first in firsts]


def batches_of_pixels(
    prepared: Path, shard: Shard, config: EmbedImagesConfig, recipe: PreprocessRecipe
) -> Iterator[np.ndarray]:
    """float32 [images * crops, 3, S, S] of `BATCH` images at a time, the crops of one image next to each other."""
    images = ((key, decode(data)) for key, data in read_images(prepared, shard.rows))
    low, high = config["crop_scale"]
    while batch := list(islice(images, BATCH)):
        if shard.crops is None:
            yield np.stack([preprocess(image, recipe) for _, image in batch])
            continue
        crops = [
            # The key names the crop, whatever the seed of the recipe: a seed changes training and not its data.
            random_crop(image, (low, high), f"{key}/{number}", flip=config["flip"])
            for key, image in batch
            for number in range(shard.crops)
        ]
        yield np.stack([preprocess(crop, recipe) for crop in crops])


@torch.inference_mode()
def frozen_activations(tower: ImageTower, pixels: np.ndarray, block: int) -> np.ndarray:
    """float16 inputs of block `block`."""
    outputs = []
    for part in torch.from_numpy(pixels).split(BATCH):
        x = part.to(tower.head.weight, memory_format=torch.channels_last)
        outputs.append(tower.forward_frozen(x, block).float().cpu().numpy().astype(np.float16))
    return np.concatenate(outputs)


def assemble(shards: list[Shard], folder: Path, count: int) -> None:
    """Write the shards of one output array into one file, without holding all of it in memory."""
    first = np.load(folder / shards[0].file, mmap_mode="r")
    file = folder / f"{shards[0].array}.npy"
    array = np.lib.format.open_memmap(file, "w+", first.dtype, (count, *first.shape[1:]))
    for shard in shards:
        array[shard.first : shard.first + len(shard.rows)] = np.load(folder / shard.file, mmap_mode="r")
    array.flush()


if __name__ == "__main__":
    main()
