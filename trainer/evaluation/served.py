"""An exported model folder as servers run it: int8 text graphs and tables, the ONNX image graph."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from contracts.types import ModelManifest, ModelManifestQuantisation, SearchVerdicts
from evaluation.bench import TextTier
from towers.exported_files import read_manifest
from towers.onnx_export import session
from towers.preprocess import preprocess
from towers.quantisation import DEFAULT_SCALE
from towers.served_text import CountTokens, EmbedTexts, served_tiers, token_counts
from towers.verdict import called_absent


@dataclass(frozen=True)
class ServedTier:
    """A text tier; `key` is the digest of what decides its vectors."""

    key: str
    embed: EmbedTexts
    tokens: CountTokens
    verdicts: SearchVerdicts | None

    def called_absent(self, texts: Sequence[str], top_N: np.ndarray, count: int) -> np.ndarray | None:
        """As the service tells it; None where the model has no verdict."""
        return None if self.verdicts is None else called_absent(top_N, self.tokens(texts), count, self.verdicts)


class ServedModel:
    """Reads `manifest.json` and what it names. `threads` of the image graph: 0 for as many as torch has."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        self.manifest = read_manifest(folder)
        self.title = f"{self.manifest['name']} {self.manifest['version']}"
        self.space = self.manifest["space_id"]
        self.preprocess = self.manifest["image"]["preprocess"]
        self.dims = self.manifest["matryoshka_dims"]
        self.quantisation: ModelManifestQuantisation = self.manifest.get("quantisation", {"int8_scale": DEFAULT_SCALE})
        self.image_session = session(folder / self.manifest["image"]["graph"]["file"]["path"], threads)
        # The first tier is called "student" in requests and "base" where tiers are compared.
        tokens, verdicts = token_counts(folder, self.manifest), self.manifest.get("search_verdicts", {})
        self.tiers: Mapping[str, TextTier] = {
            "base" if name == "student" else name: ServedTier(
                f"{name} {text_digest(self.manifest)}", embed, tokens[name], verdicts.get(name)
            )
            for name, embed in served_tiers(folder, self.manifest).items()
        }

    def pixels(self, image: bytes | Image.Image) -> np.ndarray:
        """float32 [3, H, W]."""
        return preprocess(image, self.preprocess)

    def embed_pixels(self, pixels_B3HW: np.ndarray) -> np.ndarray:
        """Unit vectors [B, E]."""
        return np.asarray(self.image_session.run(["embedding"], {"pixels": pixels_B3HW})[0])


def text_digest(manifest: ModelManifest) -> str:
    """Of everything that decides a text's vector: the manifest holds the digests of its files."""
    parts = [manifest.get(part) for part in ("text", "tiny", "static")]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
