"""What the frozen tower makes of images, shard by shard: crops, activations before the first trainable block, features.

Writes `train.npy` (random crops) and `features.npy` (of the same crops at full resolution; not where they are the activations
themselves), `plain.npy`, `dev.npy` and, where the data has them, `unseen.npy` and `classes.npy` (whole images). Of train images
that are streamed there is nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from contracts.types import EmbedImagesConfig, PreprocessRecipe
from data.manifest import is_large
from engine.run import Run
from towers.crops import Streamed, random_crop, shrunk
from towers.data import Row, read_class_images, read_images, read_pairs
from towers.image.tower import ImageTower
from towers.preprocess import decode, preprocess

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


@dataclass(frozen=True)
class Arrays:
    """The rows of every output array, and the shards that its work is cut into."""

    rows: dict[str, list[Row]]
    shards: list[Shard]
    is_cached: bool

    @property
    def total(self) -> int:
        """Images of all shards."""
        return sum(len(shard.rows) for shard in self.shards)


def arrays_of(prepared: Path, config: EmbedImagesConfig) -> Arrays:
    """What is embedded of a run of `prepare`: whole images, and crops of the train images."""
    whole = {"dev": read_pairs(prepared, "dev"), "unseen": read_pairs(prepared, "unseen")}
    is_cached = config.get("images", "streamed" if is_large(prepared) else "cached") == "cached"
    whole |= {"classes": read_class_images(prepared), "plain": read_pairs(prepared, "train") if is_cached else []}
    arrays: dict[str, list[Row]] = {name: rows for name, rows in whole.items() if rows or name == "dev"}
    shards = [shard for name, rows in arrays.items() for shard in shards_of(name, rows, None)]
    if is_cached:
        shards += shards_of("train", whole["plain"], config["crops"])
        arrays["train"] = whole["plain"]
    return Arrays(arrays, shards, is_cached)


def streamed_crops(config: EmbedImagesConfig) -> Streamed:
    """How `clip` makes the crops of train images that are streamed."""
    (low, high), (least, largest) = config["crop_scale"], config["low_resolution_side"]
    return {
        "crop_scale": (low, high),
        "flip": config["flip"],
        "low_resolution": config["low_resolution"],
        "low_resolution_side": (least, largest),
    }


def shards_of(array: str, rows: list[Row], crops: int | None) -> list[Shard]:
    """The rows of one output array in shards."""
    firsts = range(0, len(rows), SHARD_IMAGES)
    return [Shard(array, rows[first : first + SHARD_IMAGES], first, crops) for first in firsts]


def check_weights(tower: ImageTower) -> None:
    """Raises ValueError for a backbone whose weights are not all finite, which `frozen_activations` would hide."""
    if not all(bool(weight.isfinite().all()) for weight in tower.backbone.state_dict().values()):
        raise ValueError("embed_images: a weight of this backbone is infinite or not a number: name another backbone")


def embed_shard(
    run: Run[EmbedImagesConfig], tower: ImageTower, recipe: PreprocessRecipe, shard: Shard
) -> Iterator[int]:
    """Compute a shard and write it; gives the number of images after each batch."""
    config, block = run.config, run.config["first_trainable_block"]
    parts, features = [], []
    for pixels, low, places in batches_of_pixels(run.input("prepare"), shard, config, recipe):
        x, features_NF = frozen_activations(tower, pixels, block)
        if len(places):
            x[places] = frozen_activations(tower, low, block)[0]
        parts.append(x)
        features.append(features_NF)
        yield len(pixels) // (shard.crops or 1)
    save_shard(run.output / shard.file, parts, shard.crops)
    if shard.array == "train":
        save_shard(run.output / features_file(shard), features, shard.crops)


def assemble_all(out: Path, arrays: Arrays, config: EmbedImagesConfig) -> dict[str, str]:
    """Write the shards of every array into one file; the files by name."""
    files = {}
    for name, rows in arrays.rows.items():
        own = [shard for shard in arrays.shards if shard.array == name]
        assemble(out, name, [(shard.first, shard.file) for shard in own], len(rows))
        files[name] = f"{name}.npy"
    if arrays.is_cached and (config["first_trainable_block"] is not None or low_count(config) > 0):
        own = [(shard.first, features_file(shard)) for shard in arrays.shards if shard.array == "train"]
        assemble(out, "features", own, len(arrays.rows["train"]))
        files["features"] = "features.npy"
    return files


def features_file(shard: Shard) -> str:
    """The file of a shard's pooled features."""
    return shard.file.replace("shard-", "shard-features-")


def save_shard(file: Path, parts: list[np.ndarray], crops: int | None) -> None:
    """Write the batches of a shard as one array, the crops of an image under it."""
    x = np.concatenate(parts)
    np.save(file, x if crops is None else x.reshape(-1, crops, *x.shape[1:]))


def low_count(config: EmbedImagesConfig) -> int:
    """How many of an image's crops, the last ones, are shrunk."""
    return round(config["low_resolution"] * config["crops"])


def batches_of_pixels(
    prepared: Path, shard: Shard, config: EmbedImagesConfig, recipe: PreprocessRecipe
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """`BATCH` images at a time: float32 [images * crops, 3, S, S], the crops of one image next to each other.

    With it the shrunk version of those crops that are learned from so, and their places among all.
    """
    images = ((key, decode(data)) for key, data in read_images(prepared, shard.rows))
    low, high = config["crop_scale"]
    least, largest = config["low_resolution_side"]
    none = np.zeros(0, dtype=np.int64)
    while batch := list(islice(images, BATCH)):
        if shard.crops is None:
            yield np.stack([preprocess(image, recipe) for _, image in batch]), np.zeros(0), none
            continue
        # The key names the crop, whatever the seed of the recipe: a seed changes training and not its data.
        names = [f"{key}/{number}" for key, _ in batch for number in range(shard.crops)]
        crops = [
            random_crop(image, (low, high), f"{key}/{number}", flip=config["flip"])
            for key, image in batch
            for number in range(shard.crops)
        ]
        places = [place for place in range(len(crops)) if place % shard.crops >= shard.crops - low_count(config)]
        small = [preprocess(shrunk(crops[p], (least, largest), f"{names[p]}/low"), recipe) for p in places]
        pixels = np.stack([preprocess(crop, recipe) for crop in crops])
        yield pixels, np.stack(small) if small else np.zeros(0), np.array(places, dtype=np.int64)


@torch.inference_mode()
def frozen_activations(tower: ImageTower, pixels: np.ndarray, block: int | None) -> tuple[np.ndarray, np.ndarray]:
    """float16 inputs of block `block`, and pooled features [N, F] of the whole frozen tower, whose weights are finite."""
    outputs, features = [], []
    with ClampedBits():
        for part in torch.from_numpy(pixels).split(BATCH):
            x = tower.forward_frozen(part.to(tower.head.weight, memory_format=torch.channels_last), block)
            outputs.append(as_float16(x, f"first_trainable_block {block}: the activations before this block"))
            features.append(as_float16(tower.pooled_features(x, block), "the pooled features of this backbone"))
    return np.concatenate(outputs), np.concatenate(features)


class ClampedBits(TorchFunctionMode):
    """Computes an in-place ReLU6 of bfloat16 on a CPU as a clamp of the same bits as int16, for every number the same.

    As int16 the numbers from 0 up keep their order and those below it are negative. PyTorch's own takes four times as long, close
    to half of what a frozen EfficientNet-Lite takes in all (trainer/LOG.md). What is not a number becomes 0 or 6.
    """

    SIX = int(torch.tensor(6, dtype=torch.bfloat16).view(torch.int16))

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """What `func` gives, which torch calls this in the place of."""
        if func is F.hardtanh and len(args) == 4 and args[1:] == (0, 6, True):
            x = args[0]
            if x.dtype is torch.bfloat16 and x.device.type == "cpu":
                x.view(torch.int16).clamp_(0, self.SIX)
                return x
        return func(*args, **(kwargs or {}))


def as_float16(x: torch.Tensor, what: str) -> np.ndarray:
    """Numbers as they are stored; the largest of some transformers lie beyond what float16 holds, which is an error."""
    with np.errstate(over="ignore"):
        stored = x.float().cpu().numpy().astype(np.float16)
    if not np.isfinite(stored).all():
        raise ValueError(
            f"embed_images: {what} reach {x.abs().max():.3g}, float16 holds 65504: set first_trainable_block to 0, which "
            "stores pixels, or name another backbone"
        )
    return stored


def assemble(folder: Path, name: str, shards: list[tuple[int, str]], count: int) -> None:
    """Write shards (first row, file) of one output array into one file, without holding all of it in memory."""
    first = np.load(folder / shards[0][1], mmap_mode="r")
    array = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", first.dtype, (count, *first.shape[1:]))
    for start, file in shards:
        part = np.load(folder / file, mmap_mode="r")
        array[start : start + len(part)] = part
    array.flush()
