"""The text paths of a model as servers run them, from the files that `export` wrote.

N texts, T tokens, V pieces, K columns of the static table, E joint dimension.
"""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from contracts.types import ModelManifest, ModelManifestText, QuantizedTable, StaticTable, TextTower, Tier
from towers.clip_bpe import ClipBpe
from towers.exported_files import text_towers
from towers.onnx_export import embed_static, read_table, session
from towers.sentencepiece_text import SentencePiece
from towers.wordpiece import WordPiece

EmbedTexts = Callable[[Sequence[str]], np.ndarray]


def served_tiers(folder: Path, manifest: ModelManifest) -> dict[Tier, EmbedTexts]:
    """Texts to unit vectors [N, E], by tier, for every tier of an exported model."""
    tokenizer, context_length = tokenizer_in(folder, manifest), manifest["text"]["context_length"]
    static = ServedStatic(folder, manifest["static"]) if "static" in manifest else None
    tiers: dict[Tier, EmbedTexts] = {
        tier: ServedTier(folder, tower, tokenizer, static, context_length).embed
        for tier, tower in text_towers(manifest).items()
    }
    if static is not None:
        tiers["static"] = lambda texts: static.embed([ids[:context_length] for ids in tokenizer.tokens(texts)])
    return tiers


TextTokenizer = WordPiece | ClipBpe | SentencePiece
CountTokens = Callable[[Sequence[str]], list[int]]


def token_counts(folder: Path, manifest: ModelManifest) -> dict[Tier, CountTokens]:
    """Tokens of texts as receipts of each tier count them, up to the context length: transformers read special ones, too."""
    tokenizer, most = tokenizer_in(folder, manifest), manifest["text"]["context_length"]
    counts: dict[Tier, CountTokens] = {
        tier: lambda texts: [len(ids) for ids in tokenizer.encode(texts, most)] for tier in text_towers(manifest)
    }
    if "static" in manifest:
        counts["static"] = lambda texts: [min(len(ids), most) for ids in tokenizer.tokens(texts)]
    return counts


def tokenizer_in(folder: Path, manifest: ModelManifest) -> TextTokenizer:
    """The tokenizer of a model."""
    tokenizer = manifest["text"]["tokenizer"]
    vocabulary = folder / tokenizer["vocabulary"]["path"]
    if tokenizer["type"] == "clip_bpe":
        return ClipBpe.read(vocabulary, folder / tokenizer["merges"]["path"])
    if tokenizer["type"] == "sentencepiece":
        model, cleaning = vocabulary.read_bytes(), tokenizer.get("cleaning")
        return SentencePiece(model, tokenizer["sep_id"], tokenizer["pad_id"], cleaning)
    return WordPiece.read(vocabulary)


class ServedTier:
    """A transformer of a model with its tokenizer, and the static tier's vector added where it has a weight for that."""

    def __init__(
        self,
        folder: Path,
        tower: TextTower | ModelManifestText,
        tokenizer: TextTokenizer,
        static: "ServedStatic | None",
        context_length: int,
    ) -> None:
        self.served = ServedText(folder, tower)
        self.tokenizer, self.static, self.context_length = tokenizer, static, context_length
        self.static_weight = tower.get("static_weight", 0)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors [N, E]."""
        whole_NE = self.served.embed(self.tokenizer.encode(texts, self.context_length))
        if not self.static_weight:
            return whole_NE
        assert self.static is not None, "a tower that adds the static tier's vector comes with that tier"
        ids = [row[: self.context_length - 2] for row in self.tokenizer.tokens(texts)]
        sum_NE = whole_NE + np.float32(self.static_weight) * self.static.embed(ids)
        return sum_NE / np.linalg.norm(sum_NE, axis=1, keepdims=True)


class ServedStatic:
    """The static tier as a server runs it."""

    def __init__(self, folder: Path, static: StaticTable) -> None:
        self.table_VE = table_of(folder, static["table"])
        if "projection" in static:
            self.table_VE = self.table_VE @ table_of(folder, static["projection"])

    def embed(self, ids: list[list[int]]) -> np.ndarray:
        """Unit vectors [N, E] of ids without special tokens; zeros where a text has no known token."""
        return embed_static(self.table_VE, ids)


def table_of(folder: Path, table: QuantizedTable) -> np.ndarray:
    """float32 [rows, width] of a table that a manifest names."""
    return read_table(folder / table["file"]["path"], table["rows"], table["width"])


class ServedText:
    """A transformer as a server runs it: int8 table outside, int8 graphs, one text at a time.

    `text` is the manifest's tower. Activations are rounded by the range of a run, so that texts must not share one.
    """

    def __init__(self, folder: Path, text: TextTower | ModelManifestText) -> None:
        self.table_VD = table_of(folder, text["table"])
        self.partition = text.get("partition")
        if self.partition is None:
            self.sessions = [session(folder / text["graph"]["file"]["path"])]
        else:
            file = folder / self.partition["file"]["path"]
            # A run takes a fraction of a millisecond: threads that share it only wait for each other, ten times as long
            # beside other work.
            self.sessions = [session(graph, 1, folder) for graph in split_bytes(file, self.partition["sizes"])]

    def embed(self, ids: list[list[int]]) -> np.ndarray:
        """Unit vectors [N, E]."""
        embed_one = self.whole if self.partition is None else self.in_parts
        return np.stack([embed_one(self.table_VD[row][None]) for row in ids])

    def whole(self, rows_1TD: np.ndarray) -> np.ndarray:
        """One run."""
        feed = {"inputs_embeds": rows_1TD, "attention_mask": np.ones(rows_1TD.shape[:2], np.int64)}
        return outputs_of(self.sessions[0], feed)[0][0]

    def in_parts(self, rows_1TD: np.ndarray) -> np.ndarray:
        """Layer by layer, each in chunks of rows; a layer's keys and values are complete before its first chunk."""
        assert self.partition is not None
        first, *layers, head = self.sessions
        step = self.partition["rows"]
        starts = range(0, rows_1TD.shape[1], step)
        chunks = [
            outputs_of(first, {"inputs_embeds": rows_1TD[:, at : at + step], "start": np.array([at], np.int64)})
            for at in starts
        ]
        for layer in layers:
            keys, values = (np.concatenate([chunk[part] for chunk in chunks], 1) for part in (2, 3))
            chunks = [outputs_of(layer, {"x": y, "q": q, "keys": keys, "values": values}) for y, q, *_ in chunks]
        total = np.asarray(np.sum([chunk[0] for chunk in chunks], 0, dtype=np.float32))
        return outputs_of(head, {"pooled": np.asarray(total / np.float32(rows_1TD.shape[1]))})[0][0]


def outputs_of(graph: onnxruntime.InferenceSession, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    """All outputs."""
    return [np.asarray(output) for output in graph.run(None, feed)]


def split_bytes(file: Path, sizes: list[int]) -> list[bytes]:
    """The graphs of a partition."""
    data, starts = file.read_bytes(), np.cumsum([0, *sizes])
    return [data[start:stop] for start, stop in itertools.pairwise(starts)]
