"""Writes the graphs and tables of all tiers and of the image tower, and says what they are."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import nn

from contracts.types import ExportConfig, ModelManifestText, PreprocessRecipe, Tier
from engine.folders.files import artefact
from engine.run import Run
from towers.exported_files import FILE_OF, MIB, check_sizes, load_tiers, tokenizer_of, write_static, write_tower
from towers.image.of_run import load_image_tower
from towers.onnx_export import export_image_tower
from towers.student.files import load_static
from towers.student.model import StaticStudent, TextStudent
from towers.two_towers import load_preprocess
from towers.wordpiece import WordPiece


@dataclass(frozen=True)
class Exported:
    """The towers in PyTorch, what the manifest says of their files (`described`), and bytes by tier."""

    students: dict[Tier, TextStudent]
    static: StaticStudent
    wordpiece: WordPiece
    tower: nn.Module
    recipe: PreprocessRecipe
    described: dict[str, Any]
    sizes: dict[str, int]

    def said_sizes(self) -> str:
        """As people read them."""
        return ", ".join(f"{name} {size / MIB:.2f} MiB" for name, size in self.sizes.items())


def write_graphs(run: Run[ExportConfig], distilled: Path, clip: Path) -> Exported:
    """Write them; ends where a tier is larger than the recipe allows."""
    config, out = run.config, run.output
    students = load_tiers(distilled, cast(dict[Tier, float], config.get("static_weights")))
    wordpiece = WordPiece.read(distilled / "vocabulary.txt")
    static, shape = load_static(distilled), students["student"].shape
    recipe = load_preprocess(clip)
    tower = load_image_tower(clip).cpu().float().eval()
    shutil.copyfile(distilled / "vocabulary.txt", out / "vocabulary.txt")
    towers = {tier: write_tower(out, each, FILE_OF[tier], config["opset"]) for tier, each in students.items()}
    static_table = write_static(out, static)
    export_image_tower(tower, recipe["size"], out / "image.onnx", config["opset"], config["image_weights"])
    text_model: ModelManifestText = {
        "tokenizer": tokenizer_of(out, wordpiece),
        "context_length": shape.context_length,
        **towers["student"],
    }  # fmt: skip
    described: dict[str, Any] = {
        "text": text_model,
        **({"tiny": towers["tiny"]} if "tiny" in towers else {}),
        "static": static_table,
        "image": {
            "preprocess": recipe,
            "graph": {"file": artefact(out, "image.onnx"), "opset": config["opset"]},
        },
    }
    return Exported(students, static, wordpiece, tower, recipe, described, check_sizes(described, config["max_mib"]))
