"""The text tiers of an exported model as modules that train, and the files they become again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from contracts.types import ModelManifest, Tier
from towers.from_model import student_from_graph
from towers.graph_partition import partition_student
from towers.onnx_export import embed_static, export_student, read_table, write_table
from towers.run import artefact
from towers.served_text import ServedText
from towers.student import StaticStudent, TextStudent
from towers.token_batches import padded
from towers.wordpiece import WordPiece, with_special_tokens

STATIC_SCRATCH_STD = 0.02


class TextSide:
    """Student and static table of a model over one vocabulary. Texts go in as tokens without special ones."""

    def __init__(self, folder: Path, manifest: ModelManifest) -> None:
        self.wordpiece = WordPiece.read(folder / manifest["text"]["tokenizer"]["vocabulary"]["path"])
        self.context_length = manifest["text"]["context_length"]
        text, static = manifest["text"], manifest["static"]["table"]
        rows_VD = read_table(folder / text["table"]["file"]["path"], text["table"]["rows"], text["table"]["width"])
        dims = manifest["matryoshka_dims"]
        self.student: TextStudent = student_from_graph(folder, text["graph"]["file"]["path"], rows_VD, dims)
        rows_VE = read_table(folder / static["file"]["path"], static["rows"], static["width"])
        self.static = StaticStudent(torch.from_numpy(rows_VE))
        self.opset = text["graph"]["opset"]

    def start_from_scratch(self) -> None:
        """The control: the same shapes with random weights."""
        self.student = TextStudent(self.student.shape)
        rows_VE = torch.randn_like(self.static.rows.weight) * STATIC_SCRATCH_STD
        self.static = StaticStudent(rows_VE)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids without special tokens."""
        return self.wordpiece.tokens(texts)

    def vectors(
        self, tokens: Sequence[list[int]], device: torch.device, dtype: torch.dtype
    ) -> dict[Tier, torch.Tensor]:
        """Unit vectors [T, E] of every tier, with gradients; matrices are multiplied in `dtype`."""
        ids = [with_special_tokens(row, self.context_length) for row in tokens]
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            student_TE = self.student(*padded(ids, device))
        return {"student": student_TE.float(), "static": self.static(tokens)}

    @torch.no_grad()
    def fixed_vectors(self, tokens: Sequence[list[int]]) -> dict[Tier, torch.Tensor]:
        """The same without gradients, for any number of texts."""
        ids = [with_special_tokens(row, self.context_length) for row in tokens]
        return {"student": self.student.embed(ids), "static": self.static(tokens).cpu()}

    def modules(self) -> dict[Tier, nn.Module]:
        """By tier."""
        return {"student": self.student, "static": self.static}

    def write(self, out: Path) -> dict[str, Any]:
        """Write graphs and tables; returns what the manifest says of them, by its keys `text` and `static`."""
        self.student.cpu().eval()
        self.static.cpu().eval()
        export_student(self.student, out, self.opset)
        write_table(self.student.table.weight, out / "text.table.bin")
        write_table(self.static.rows.weight, out / "static.table.bin")
        shape = self.student.shape
        return {
            "text": {
                "table": {"file": artefact(out, "text.table.bin"), "rows": shape.vocabulary_size, "width": shape.width},
                "graph": {
                    "file": artefact(out, "text.onnx"),
                    "weights": {"name": "text.weights.bin", "file": artefact(out, "text.weights.bin")},
                    "opset": self.opset,
                },
                "partition": partition_student(out),
            },
            "static": {
                "table": {
                    "file": artefact(out, "static.table.bin"),
                    "rows": shape.vocabulary_size,
                    "width": shape.embed_dim,
                }
            },
        }


class ServedTexts:
    """Vectors of texts as a server computes them from the files of a model."""

    def __init__(self, folder: Path, manifest: ModelManifest) -> None:
        self.wordpiece = WordPiece.read(folder / manifest["text"]["tokenizer"]["vocabulary"]["path"])
        self.context_length = manifest["text"]["context_length"]
        self.student = ServedText(folder, manifest["text"])
        table = manifest["static"]["table"]
        self.static_VE = read_table(folder / table["file"]["path"], table["rows"], table["width"])

    def vectors(self, texts: Sequence[str]) -> dict[Tier, np.ndarray]:
        """Unit vectors [T, E] by tier."""
        return {
            "student": self.student.embed(self.wordpiece.encode(texts, self.context_length)),
            "static": embed_static(self.static_VE, self.wordpiece.tokens(texts)),
        }
