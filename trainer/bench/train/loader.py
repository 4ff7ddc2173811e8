"""How many random crops a second a core makes of JPEGs, by decoder, and the whole loader of training from shards."""

import importlib
import io
import json
import math
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageFilter

from bench.rounds import Row, in_turns
from contracts.constants import FILE_SHARDS
from data.batches import PairLoader, PairOptions
from data.copies import LocalShards
from data.image import CropOptions, channels_first, crop_pixels
from data.manifest import read_manifest, shards_of, write_document
from data.order import OrderOptions
from data.stream import Share, Stream
from engine.folders.files import artefact
from towers.crops import crop_window
from towers.data import write_rows
from towers.shards import ShardWriter

CPU = torch.device("cpu")
SIZES, QUALITY = ((512, 384), (1024, 768)), 90  # of the JPEGs
CROP = (0.4, 1.0)  # least and most of the area
GOAL, GPUS, CORES = 900, 8, 48  # images a second and GPU, GPUs, and cores beside them
WANTED = GOAL * GPUS / CORES  # images a second and core
RECIPE = {"resize_mode": "squash", "size": 224, "interpolation": "bicubic", "crop": "none", "mean": [0.5] * 3, "std": [0.5] * 3, "color": "rgb"}  # fmt: skip
Decoder = Callable[[bytes, str], np.ndarray]  # JPEG and the name of the crop to uint8 [3, S, S]


class Sizes(NamedTuple):
    """How much is decoded: images, rounds of them, batches of the whole loader."""

    images: int
    rounds: int
    batches: int


FULL, QUICK = Sizes(32, 9, 12), Sizes(4, 2, 2)


def measure(sizes: Sizes) -> Iterator[Row]:
    """A row for every decoder that is installed and size of picture, one for the loader in this process, one in all cores."""
    for size in SIZES:
        yield from decoders([photograph(number, size) for number in range(sizes.images)], sizes, size)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        write_shards(Path(folder), [photograph(number, SIZES[0]) for number in range(sizes.images)], 8)
        one, cores = streamed(Path(folder), sizes, 0), os.cpu_count() or 1
        note = "shards read, a caption drawn, crops decoded smaller where they can be, batches of uint8"
        yield {
            "what": "whole loader, images a second, one process",
            "value": one,
            "unit": "",
            "least": WANTED,
            "note": note,
        }
        many, note = streamed(Path(folder), sizes, cores), "this process takes the batches and does nothing else"
        yield {"what": f"whole loader, images a second, {cores} workers", "value": many, "unit": "", "note": note}


def decoders(jpegs: list[bytes], sizes: Sizes, size: tuple[int, int]) -> Iterator[Row]:
    """Crops of these pictures by every decoder, on one core."""
    ways, threads, said = {}, torch.get_num_threads(), f"of {size[0]} x {size[1]}"
    torch.set_num_threads(1)
    try:
        for name, make in DECODERS.items():
            try:
                decode = make()
                decode(jpegs[0], "0")
            except (ImportError, OSError, RuntimeError) as error:
                if size == SIZES[0]:
                    yield {"what": f"crops a second and core, {name}", "unit": "", "left_out": reason(error)}
                continue
            ways[name] = lambda number, decode=decode: [decode(data, f"{number}/{i}") for i, data in enumerate(jpegs)]
        times = in_turns(ways, sizes.rounds, CPU)
    finally:
        torch.set_num_threads(threads)
    for name in times.seconds:
        rate = len(jpegs) / times.median(name)
        note = f"{times.ratio('Pillow', name):.2f} x Pillow; {GPUS} x {GOAL} images/s take {math.ceil(GPUS * GOAL / rate)} cores"
        row: Row = {"what": f"crops a second and core {said}, {name}", "value": rate, "unit": "", "note": note}
        if size == SIZES[0]:
            row["least"] = WANTED
        yield row


def reason(error: Exception) -> str:
    """Why a decoder is not measured."""
    if isinstance(error, ModuleNotFoundError) and error.name == "simplejpeg":
        return "not installed: trainer/pyproject.toml pins it in group `bench`"
    return str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__


# ---- decoders ----------------------------------------------------------------------------------------------------------


def pillow(*, reduced: bool) -> Decoder:
    """What training uses: as serving decodes, or decoded smaller by libjpeg where the crop allows it."""
    options = CropOptions(CROP, reduced=reduced)
    return lambda data, name: crop_pixels(data, RECIPE, options, name)


def torchvision() -> Decoder:
    """libjpeg-turbo and torch's own resizing with antialiasing."""
    io_module: Any = importlib.import_module("torchvision.io")
    transforms: Any = importlib.import_module("torchvision.transforms.v2.functional")
    size = int(RECIPE["size"])

    def decode(data: bytes, name: str) -> np.ndarray:
        pixels = io_module.decode_jpeg(
            torch.frombuffer(bytearray(data), dtype=torch.uint8), io_module.ImageReadMode.RGB
        )
        left, top, width, height = crop_window(pixels.shape[2], pixels.shape[1], CROP, random.Random(name))
        bicubic = transforms.InterpolationMode.BICUBIC
        return transforms.resized_crop(pixels, top, left, height, width, [size, size], bicubic, antialias=True).numpy()

    return decode


def simplejpeg() -> Decoder:
    """libjpeg-turbo at the smallest eighth of the size that the crop allows, resized by Pillow."""
    library: Any = importlib.import_module("simplejpeg")
    size = int(RECIPE["size"])

    def decode(data: bytes, name: str) -> np.ndarray:
        height, width, *_ = library.decode_jpeg_header(data)
        left, top, crop_width, crop_height = crop_window(width, height, CROP, random.Random(name))
        least = (math.ceil(height * size / crop_height), math.ceil(width * size / crop_width))
        pixels = library.decode_jpeg(data, "RGB", min_height=min(least[0], height), min_width=min(least[1], width))
        x, y = pixels.shape[1] / width, pixels.shape[0] / height
        box = (left * x, top * y, (left + crop_width) * x, (top + crop_height) * y)
        cropped = Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC, box=box)
        return channels_first(np.asarray(cropped))

    return decode


DECODERS: dict[str, Callable[[], Decoder]] = {
    "Pillow": lambda: pillow(reduced=False),
    "Pillow, decoded smaller": lambda: pillow(reduced=True),
    "torchvision": torchvision,
    "simplejpeg, decoded smaller": simplejpeg,
}


# ---- data --------------------------------------------------------------------------------------------------------------


def photograph(seed: int, size: tuple[int, int]) -> bytes:
    """A JPEG with large smooth shapes, edges and some grain, of about the size that photographs have."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    edges = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize(size, Image.Resampling.NEAREST)
    mixed = np.asarray(Image.blend(coarse, edges.filter(ImageFilter.GaussianBlur(1)), 0.3), dtype=np.float32)
    grainy = np.clip(mixed + rng.normal(0, 6, mixed.shape), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grainy).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def write_shards(folder: Path, jpegs: list[bytes], times: int) -> None:
    """`prepare`'s layout with every JPEG that often, in two shards."""
    shards = []
    for place in range(2):
        writer = ShardWriter(folder / f"pairs.train-{place:05d}.tar")
        rows = []
        for number in range(times * len(jpegs) // 2):
            key = f"{place}-{number}"
            row = {"key": key, "shard": writer.file.name, "place": writer.add(key, jpegs[number % len(jpegs)])}
            rows.append(row | {"captions": [f"the first caption of {key}", f"the second one of {key}"]})
        writer.close()
        write_rows(folder / f"pairs.train-{place:05d}.jsonl", rows)
        files = {"rows": "jsonl", "images": "tar"}
        described = {name: artefact(folder, f"pairs.train-{place:05d}.{end}") for name, end in files.items()}
        kind = {"kind": "pairs", "split": "train", "source": "bench"}
        shards.append(kind | described | {"count": len(rows), "captions": 2 * len(rows), "labelled": 0})
    write_document(folder / FILE_SHARDS, "PreparedManifest", json.dumps({"shards": shards, "drops": []}))


def streamed(folder: Path, sizes: Sizes, workers: int) -> float:
    """Images a second of the loader after its first batches; 0 workers: in this process."""
    manifest = read_manifest(folder)
    assert manifest is not None
    options = PairOptions(0, RECIPE, CropOptions(CROP, reduced=True))
    loader = PairLoader(LocalShards(folder), shards_of(manifest, "pairs", "train"), options)
    batch = sizes.images
    ready = 2 * max(1, workers)  # as many as are made ahead: they are not counted
    stream = Stream(loader, OrderOptions(batch=batch, seed=0, window=2 * batch), Share(workers=workers))
    batches = iter(stream)
    for _ in range(ready + 1):
        next(batches)
    started = time.perf_counter()
    for _ in range(ready + sizes.batches):
        next(batches)
    seconds = time.perf_counter() - started
    batches.close()  # pyright: ignore[reportAttributeAccessIssue] - a generator
    return (ready + sizes.batches) * batch / seconds
