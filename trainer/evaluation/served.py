"""An exported model folder as servers run it: int8 text graph and tables, the ONNX image graph."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from contracts import load
from contracts.constants import FILE_MANIFEST
from contracts.types import ModelManifest
from evaluation.bench import TextTier
from towers.onnx_export import embed_static, read_table, session
from towers.served_text import ServedText
from towers.wordpiece import WordPiece


class ServedModel:
    """Reads `manifest.json` and what it names. `threads` of the image graph: 0 leaves the choice to onnxruntime."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        self.manifest = cast(ModelManifest, load("ModelManifest", (folder / FILE_MANIFEST).read_text(encoding="utf-8")))
        self.title = f"{self.manifest['name']} {self.manifest['version']}"
        self.space = self.manifest["space_id"]
        self.preprocess = self.manifest["image"]["preprocess"]
        self.image_session = session(folder / self.manifest["image"]["graph"]["file"]["path"], threads)
        self.tiers: dict[str, TextTier] = {
            "base": TransformerTier(folder, self.manifest),
            "static": StaticTier(folder, self.manifest),
        }

    def embed_pixels(self, pixels_B3SS: np.ndarray) -> np.ndarray:
        """Unit vectors [B, E]."""
        return np.asarray(self.image_session.run(["embedding"], {"pixels": pixels_B3SS})[0])


class TransformerTier:
    """The student: one text a run, as servers do it."""

    def __init__(self, folder: Path, manifest: ModelManifest) -> None:
        text = manifest["text"]
        self.key = digest_of(text)
        self.wordpiece = WordPiece.read(folder / text["tokenizer"]["vocabulary"]["path"])
        self.context_length = text["context_length"]
        self.served = ServedText(folder, text)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors [N, E]."""
        return self.served.embed(self.wordpiece.encode(texts, self.context_length))


class StaticTier:
    """The token table."""

    def __init__(self, folder: Path, manifest: ModelManifest) -> None:
        tokenizer, table = manifest["text"]["tokenizer"], manifest["static"]["table"]
        self.key = digest_of({"tokenizer": tokenizer, "table": table})
        self.wordpiece = WordPiece.read(folder / tokenizer["vocabulary"]["path"])
        self.table_VE = read_table(folder / table["file"]["path"], table["rows"], table["width"])

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors [N, E]; zeros where no piece is known."""
        return embed_static(self.table_VE, self.wordpiece.tokens(texts))


def digest_of(document: Any) -> str:
    """Of a part of the manifest, which holds the digests of its files."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
