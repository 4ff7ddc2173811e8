"""The int8 scale of a space: so large that the range is used, so small that hardly any number is clamped.

`python -m towers.quantisation MODEL PHOTOS` prints what an exported model's scale does to the dev photos and captions (a
.tar of flickr8k); with `--write` it puts the scale that follows from them into the model's manifest.
"""

import argparse
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from contracts.types import ModelManifest, ModelManifestQuantisation
from engine.failure import words_given
from towers.exported_files import read_manifest, write_manifest
from towers.onnx_export import session
from towers.preprocess import preprocess
from towers.served_text import served_tiers

INT8_MAX = 127
PERCENTILE = 99.99  # of the absolute values: the rare larger ones are clamped
DEFAULT_SCALE = 127.0  # of manifests that state none
# Of models that have no manifest: the default scale, and bits as every new manifest states them.
WITHOUT_MANIFEST: ModelManifestQuantisation = {"int8_scale": DEFAULT_SCALE, "bits": "rotated"}


def int8_scale(vectors: Sequence[np.ndarray], lengths: Sequence[int]) -> float:
    """Scale for unit vectors [N, E] that may be cut to `lengths`, as a whole number.

    A cut vector is brought to unit length again, which makes its numbers larger: the shortest length decides.
    """
    sizes = np.concatenate([np.abs(cut(vectors_NE, min(lengths))).ravel() for vectors_NE in vectors])
    return float(max(1, np.floor(INT8_MAX / np.percentile(sizes, PERCENTILE))))


def quantisation_of(vectors: Sequence[np.ndarray], lengths: Sequence[int]) -> ModelManifestQuantisation:
    """How a new space of these unit vectors is written: its scale, and bits that tell as much at every length."""
    return {"int8_scale": int8_scale(vectors, lengths), "bits": "rotated"}


def cut(vectors_NE: np.ndarray, length: int) -> np.ndarray:
    """The first numbers at unit length."""
    first_NL = vectors_NE[:, :length].astype(np.float64)
    return first_NL / np.maximum(np.linalg.norm(first_NL, axis=1, keepdims=True), 1e-12)


def damage(vectors_NE: np.ndarray, length: int, scale: float) -> tuple[float, float, float, int]:
    """Mean and least cosine of int8 to float, share of clamped numbers, and how many of the 256 values occur."""
    first_NL = cut(vectors_NE, length)
    rounded_NL = np.rint(first_NL * scale)
    int8_NL = np.clip(rounded_NL, -INT8_MAX - 1, INT8_MAX)
    cosine_N = (first_NL * int8_NL).sum(1) / np.linalg.norm(int8_NL, axis=1)
    clamped = float((int8_NL != rounded_NL).mean())
    return float(cosine_N.mean()), float(cosine_N.min()), clamped, len(np.unique(int8_NL))


def dev_vectors(folder: Path, manifest: ModelManifest, photos: Path) -> dict[str, np.ndarray]:
    """Served vectors of the photos and captions in a .tar, by tier."""
    captions: list[str] = []
    images: list[np.ndarray] = []
    tower, recipe = session(folder / "image.onnx"), manifest["image"]["preprocess"]
    with tarfile.open(photos) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is None:
                continue
            if member.name.endswith(".json"):
                captions += json.loads(file.read())["captions"]
            else:
                pixels_13HW = preprocess(file.read(), recipe)[None]
                images.append(np.asarray(tower.run(["embedding"], {"pixels": pixels_13HW})[0])[0])
    tiers = served_tiers(folder, manifest)
    return {"image": np.stack(images), **{tier: embed(captions) for tier, embed in tiers.items()}}


def main() -> None:
    """Print the figures of a model; write its scale where asked to."""
    parser = argparse.ArgumentParser(prog="python -m towers.quantisation")
    parser.add_argument("model", type=Path, help="folder that `export` wrote")
    parser.add_argument("photos", type=Path, help="a .tar of photos and captions: KEY.jpg and KEY.json")
    parser.add_argument("--write", action="store_true", help="put the scale into the manifest")
    asked = parser.parse_args(words_given())
    manifest = read_manifest(asked.model)
    vectors = dev_vectors(asked.model, manifest, asked.photos)
    lengths = manifest["matryoshka_dims"]
    scale = int8_scale(list(vectors.values()), lengths)
    print(f"int8_scale {scale:g}")
    print("| scale | vectors | length | cosine | least | clamped | values used |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for each in (DEFAULT_SCALE, scale):
        for name, vectors_NE in vectors.items():
            for length in lengths:
                mean, least, clamped, used = damage(vectors_NE, length, each)
                print(f"| {each:g} | {name} | {length} | {mean:.5f} | {least:.5f} | {clamped:.4%} | {used} |")
    if asked.write:
        rest = {name: value for name, value in manifest.items() if name not in ("golden", "metrics", "lineage")}
        kept = manifest.get("quantisation", {})  # bits that are stored stay what they are
        last = {name: manifest[name] for name in ("golden", "metrics", "lineage")}
        write_manifest(asked.model, {**rest, "quantisation": {**kept, "int8_scale": scale}, **last})


if __name__ == "__main__":
    main()
