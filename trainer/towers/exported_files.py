"""The files of an exported model: its manifest, the text files and what it says of them, how large they may be."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from contracts import load
from contracts.constants import FILE_MANIFEST
from contracts.types import (
    Artefact,
    ExportConfigMaxMib,
    ModelManifest,
    ModelManifestText,
    StaticTable,
    TextTower,
    Tier,
    WordPieceTokenizer,
)
from engine.folders.files import artefact, write_atomically
from towers.graph_partition import partition_student
from towers.onnx_export import export_student, write_table
from towers.preprocess import check_recipe
from towers.student.files import load_static, load_student
from towers.student.model import StaticStudent, TextStudent
from towers.wordpiece import CLS, PAD, SEP, UNK, WordPiece

FILE_OF: dict[Tier, str] = {"student": "text", "tiny": "tiny"}  # the beginning of a transformer's file names
MIB = 2**20
MIN_GOLDEN_COSINE = 0.99  # of what a server computes to a golden vector


def read_manifest(folder: Path) -> ModelManifest:
    """The manifest of an exported model, checked, with its preprocessing recipe: else each picture would be blamed for that."""
    manifest = cast(ModelManifest, load("ModelManifest", (folder / FILE_MANIFEST).read_text(encoding="utf-8")))
    check_recipe(manifest["image"]["preprocess"])
    return manifest


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Check a manifest and write it, the last file of an exported model."""
    text = json.dumps(manifest, indent=2, ensure_ascii=False)
    load("ModelManifest", text)
    write_atomically(folder / FILE_MANIFEST, text + "\n")


def text_towers(manifest: ModelManifest) -> dict[Tier, TextTower | ModelManifestText]:
    """What a manifest says of its transformers, by tier."""
    towers: dict[Tier, TextTower | ModelManifestText] = {"student": manifest["text"]}
    if "tiny" in manifest:
        towers["tiny"] = manifest["tiny"]
    return towers


def static_weights_in(manifest: ModelManifest) -> dict[Tier, float]:
    """What the static tier's vector weighs in that of each transformer; 0: it is not added."""
    return {tier: tower.get("static_weight", 0.0) for tier, tower in text_towers(manifest).items()}


def load_tiers(distilled: Path, static_weights: Mapping[Tier, float] | None = None) -> dict[Tier, TextStudent]:
    """The transformers of a run of `distill`; `static_weights`: by tier, in place of those of training."""
    students: dict[Tier, TextStudent] = {
        tier: load_student(distilled, tier)[0] for tier in FILE_OF if (distilled / f"{tier}.json").exists()
    }
    weights = static_weights or {}
    for tier, student in students.items():
        weight = weights.get(tier, student.shape.static_weight)
        if weight and not student.static:
            student.add_static(load_static(distilled))
        student.shape = replace(student.shape, static_weight=weight)
    unknown = sorted(set(weights) - set(students))
    if unknown:
        raise SystemExit(
            f"export.static_weights names {', '.join(unknown)}, and the run of distill has {', '.join(students)}"
        )
    return students


def write_tower(out: Path, student: TextStudent, name: str, opset: int) -> TextTower:
    """Write a transformer's files; returns what the manifest says of it."""
    export_student(student, out, opset, name)
    write_table(student.table.weight, out / f"{name}.table.bin")
    shape = student.shape
    tower: TextTower = {
        "table": {
            "file": artefact(out, f"{name}.table.bin"), "rows": shape.vocabulary_size,
            "width": student.table.embedding_dim,
        },
        "graph": {
            "file": artefact(out, f"{name}.onnx"),
            "weights": {"name": f"{name}.weights.bin", "file": artefact(out, f"{name}.weights.bin")},
            "opset": opset,
        },
        "partition": partition_student(out, name=name),
    }  # fmt: skip
    if student.table.embedding_dim != shape.width:
        tower["width"] = shape.width
    if shape.static_weight:
        tower["static_weight"] = shape.static_weight
    return tower


def write_static(out: Path, static: StaticStudent) -> StaticTable:
    """Write the static tier's files; returns what the manifest says of it."""
    rows_VK = static.rows.weight
    write_table(rows_VK, out / "static.table.bin")
    table: StaticTable = {
        "table": {"file": artefact(out, "static.table.bin"), "rows": rows_VK.shape[0], "width": rows_VK.shape[1]}
    }
    if static.projection is not None:
        rows, width = static.projection.shape
        write_table(static.projection, out / "static.projection.bin")
        table["projection"] = {"file": artefact(out, "static.projection.bin"), "rows": rows, "width": width}
    return table


def tokenizer_of(out: Path, wordpiece: WordPiece) -> WordPieceTokenizer:
    """What the manifest says of the vocabulary."""
    tokenizer: WordPieceTokenizer = {
        "type": "wordpiece", "vocabulary": artefact(out, "vocabulary.txt"), "vocabulary_size": len(wordpiece.pieces),
        "pad_id": PAD, "unk_id": UNK, "cls_id": CLS, "sep_id": SEP,
    }  # fmt: skip
    if wordpiece.spells:
        tokenizer["fallback"] = "bytes"
    return tokenizer


def artefacts_in(value: Any) -> list[Artefact]:
    """Every descriptor of a file in a document."""
    if not isinstance(value, dict):
        return []
    if {"path", "digest", "size"} <= value.keys():
        return [cast(Artefact, value)]
    return [found for item in value.values() for found in artefacts_in(item)]


def check_sizes(described: dict[str, Any], most: ExportConfigMaxMib) -> dict[str, int]:
    """Bytes of every tier and of all together; ends where one is larger than the recipe allows, in MiB."""
    tower = {name: value for name, value in described["text"].items() if name != "tokenizer"}
    parts = {"student": tower, "tiny": described.get("tiny"), "static": described["static"], "all": described}
    sizes = {name: sum(file["size"] for file in artefacts_in(part)) for name, part in parts.items() if part}
    limits = cast(dict[str, int], most)
    for name, size in sizes.items():
        if size > limits[name] * MIB:
            raise SystemExit(
                f"{'all files together' if name == 'all' else f'the {name} tier'}: {size / MIB:.2f} MiB, and the recipe "
                f"allows {limits[name]} (export.max_mib.{name}). A smaller vocabulary, width or number of layers of "
                f"`distill` saves some; so does a narrower table (table_width, static.width)."
            )
    return sizes
