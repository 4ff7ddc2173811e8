"""Makes prepared sets for tests of shards: a manifest with small images whose pixels say which they are."""

import io
import json

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from data.manifest import read_manifest, shards_of, write_document
from engine.folders.files import artefact
from towers.data import write_rows
from towers.shards import ShardWriter

RECIPE = {"resize_mode": "squash", "size": 8, "interpolation": "bicubic", "crop": "none",
          "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "color": "rgb"}  # fmt: skip


CAPTIONS = 2  # of an image


def png(number):
    """A picture of one colour: its red and green are its number."""
    buffer = io.BytesIO()
    Image.new("RGB", (12, 10), (number % 256, number // 256, 7)).save(buffer, "PNG")
    return buffer.getvalue()


def numbered(number):
    """The captions of image n: `n.0`, `n.1` and so on."""
    return [f"{number}.{text}" for text in range(CAPTIONS)]


def write_shards(folder, counts, split="train", before=(), **texts):
    """`prepare`'s layout with `counts` images a shard. `before`: shards that the manifest has already.

    Of `texts`, `captions` are the `CAPTIONS` of an image by its number, `labels` by the number of a shard a label from that of an image,
    `details` negatives and regions of an image by its number.
    """
    captions, labels = texts.pop("captions", numbered), texts.pop("labels", None)
    details = texts.pop("details", lambda _: {})
    assert not texts
    folder.mkdir(parents=True, exist_ok=True)
    shards, number = list(before), 0
    for place, count in enumerate(counts):
        writer = ShardWriter(folder / f"pairs.{split}-{place:05d}.tar")
        rows = []
        for _ in range(count):
            row = {"key": f"k{number}", "shard": writer.file.name, "place": writer.add(f"k{number}", png(number))}
            about = {"label": labels[place](number), "prompted": True} if labels and place in labels else {}
            about = {key: value for key, value in about.items() if about["label"]}
            rows.append(row | {"captions": captions(number)} | about | details(number) | {"size": [12, 10]})
            number += 1
        writer.close()
        write_rows(folder / f"pairs.{split}-{place:05d}.jsonl", rows)
        rows_file, tar = (artefact(folder, f"pairs.{split}-{place:05d}.{end}") for end in ("jsonl", "tar"))
        regions = sum(len(row.get("regions", ())) for row in rows)
        shards.append({"kind": "pairs", "split": split, "source": "test", "rows": rows_file, "images": tar,
                       "count": count, "captions": CAPTIONS * count, "labelled": sum("label" in row for row in rows),
                       **({"regions": regions} if regions else {})})  # fmt: skip
    write_document(folder / "shards.json", "PreparedManifest", json.dumps({"shards": shards, "drops": []}))
    manifest = read_manifest(folder)
    assert manifest is not None
    return shards_of(manifest, "pairs", split)


def numbers_of(pixels):
    """Which images uint8 pixels [B, 3, S, S] are."""
    return (pixels[:, 0, 0, 0].to(int) + 256 * pixels[:, 1, 0, 0].to(int)).tolist()


def feature_of(number, caption, width):
    """A vector that says which caption of which image it belongs to."""
    return np.random.default_rng((number, caption)).standard_normal(width).astype(np.float32)


def vector_of_text(text, width):
    """A vector that says which text it belongs to."""
    return np.random.default_rng([*text.encode()]).standard_normal(width).astype(np.float32)


def text_set(folder, name, rows, width=12):
    """A set of `embed_captions` with features that depend on nothing but its number of texts."""
    write_rows(folder / f"captions.{name}.jsonl", rows)
    features = torch.randn(len(rows), width, generator=torch.Generator().manual_seed(len(rows)))
    save_file({"features": features.bfloat16()}, folder / f"features.{name}.safetensors")
