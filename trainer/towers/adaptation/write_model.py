"""Writes the adapted model: a folder in the layout of the model it started from, which any server opens."""

import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np

from contracts.constants import FILE_MANIFEST
from contracts.types import AdaptConfig, GoldenVector, ModelManifest
from engine.folders.files import artefact
from engine.folders.weights import placed
from engine.run import Run
from towers.adaptation.figures import Measured, ServedTiers
from towers.adaptation.tiers import TextSide
from towers.exported_files import MIN_GOLDEN_COSINE, artefacts_in, read_manifest, write_manifest
from towers.from_model import ImageGraph
from towers.model_card import model_card
from towers.onnx_export import space_id
from towers.preprocess import keeps_shape
from towers.quantisation import quantisation_of

OWN_IMAGES = "own images"  # the source of a parent in a manifest


@dataclass(frozen=True)
class Base:
    """The model that was started from."""

    folder: Path
    manifest: ModelManifest


def read_base(data: Path, model: str) -> Base:
    """The model that a recipe names by its folder, relative to the data folder. Raises ValueError for one that cannot be taught."""
    folder = (data / placed(model)).resolve()
    manifest = read_manifest(folder)
    if keeps_shape(manifest["image"]["preprocess"]):
        raise ValueError(
            f"{manifest['name']} sees pictures in their own shape (SigLIP 2's NaFlex), which fine-tuning cannot: it learns from squares. "
            "Start from a model with square pictures"
        )
    return Base(folder, manifest)


def taught_before(base: Base) -> list[str]:
    """A sentence where the model itself comes from a fine-tuning: which images it learned from then is not known."""
    found = [each["name"] for each in base.manifest["lineage"]["parents"] if each["source"] == OWN_IMAGES]
    if not found:
        return []
    return [
        f"{base.manifest['name']} {base.manifest['version']} was taught own images before ({', '.join(dict.fromkeys(found))}). Where "
        "images that are measured on now were among them, figures before and after are too good: measure on others with --dev"
    ]


def has_room(out: Path, base: Base) -> None:
    """Ends before hours of training where the disk cannot hold what they would make: a model of the size of the base."""
    needed = sum((base.folder / each["path"]).stat().st_size for each in artefacts_in(base.manifest))
    free = shutil.disk_usage(out).free
    if free < needed:
        sys.exit(
            f"{out}: {free / 1e6:,.0f} MB are free on that disk and the model needs {needed / 1e6:,.0f} MB, beside checkpoints: "
            "free some space, or choose another disk with --runs"
        )


def write_files(out: Path, base: Base, text: TextSide, image: ImageGraph | None) -> ModelManifest:
    """Graphs and tables with a manifest that is still the base's in everything but them. `image` None: it stays."""
    vocabulary, graph = base.manifest["text"]["tokenizer"]["vocabulary"]["path"], base.manifest["image"]["graph"]
    shutil.copyfile(base.folder / vocabulary, out / vocabulary)
    written = text.write(out)
    if image is None:
        shutil.copyfile(base.folder / graph["file"]["path"], out / "image.onnx")
    else:
        image.write(out / "image.onnx")
    manifest: dict[str, Any] = {**base.manifest}
    kept = {name: value for name, value in base.manifest["text"].items() if name not in ("engine", "packed")}
    manifest["text"] = {**kept, **written["text"]}  # packed weights are made of a graph: this one is another
    manifest |= {name: described for name, described in written.items() if name != "text"}
    manifest["image"] = {**base.manifest["image"], "graph": {**graph, "file": artefact(out, "image.onnx")}}
    names = manifest["image"].pop("names", None)  # of an imported tower, with its values before it learned
    if names is not None and image is None:
        shutil.copyfile(base.folder / names["path"], out / names["path"])
        manifest["image"]["names"] = names
    if image is not None:
        recipe = base.manifest["image"]["preprocess"]
        manifest["space_id"] = space_id(out / "image.onnx", recipe, base.manifest["embed_dim"])
    return cast(ModelManifest, manifest)


@dataclass(frozen=True)
class Result:
    """The new model as it is served, and what was measured of it: vectors of own images [I, E], fields of its manifest on what
    scores mean, figures, sentences."""

    served: ServedTiers
    images_IE: np.ndarray
    measured: Measured
    scores: dict[str, Any]
    metrics: dict[str, float]
    notes: list[str]


def finish_manifest(run: Run[AdaptConfig], base: Base, manifest: ModelManifest, result: Result) -> list[str]:
    """Scores, golden vectors, figures, lineage; writes manifest and card, and returns the names of all files."""
    out, config, job = run.output, run.config, run.job
    changed: dict[str, Any] = {**manifest}
    changed |= {
        "name": config["name"],
        "version": config["version"],
        "created_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "golden": golden(base, result.served),
        "metrics": result.metrics,
        "lineage": {
            "recipe": job["recipe"],
            "code": job["code"],
            "parents": [
                *base.manifest["lineage"]["parents"],
                {
                    "name": f"{base.manifest['name']} {base.manifest['version']}",
                    "source": f"the model that was adapted, space {base.manifest['space_id']}",
                    "licence": "as its own card says",
                },
                {"name": Path(config["own"]["path"]).name, "source": OWN_IMAGES, "licence": "not stated"},
            ],
        },
    }
    for name in ("languages", "search_verdicts"):  # measured on the model before
        changed.pop(name, None)
    changed |= result.scores
    if config["space"] == "new":
        vectors = [result.images_IE, result.measured.texts_TE]
        changed["quantisation"] = quantisation_of(vectors, manifest["matryoshka_dims"])
    order = [*base.manifest, *changed]
    manifest = cast(ModelManifest, {name: changed[name] for name in dict.fromkeys(order) if name in changed})
    terms = (
        f"Made from {base.manifest['name']} {base.manifest['version']}, whose terms apply, and from own images, whose terms "
        "their owner knows."
    )
    limits = (
        "What the model that was adapted cannot do, this one cannot do either, except for what its own images show."
    )
    card = model_card(manifest, result.notes, terms, limits)
    (out / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    write_manifest(out, manifest)
    return [FILE_MANIFEST, "MODEL_CARD.md", *sorted({file["path"] for file in artefacts_in(manifest)})]


def golden(base: Base, served: ServedTiers) -> list[GoldenVector]:
    """The base's golden texts with the new vectors."""
    return [
        {**row, "embedding": [float(x) for x in served[row["tier"]]([row["text"]])[0]], "min_cosine": MIN_GOLDEN_COSINE}
        for row in base.manifest["golden"]
    ]
