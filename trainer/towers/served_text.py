"""The student's text path as servers run it, from the files that `export` wrote."""

import itertools
from pathlib import Path

import numpy as np
import onnxruntime

from contracts.types import ModelManifestText
from towers.onnx_export import read_table, session


class ServedText:
    """The student as a server runs it: int8 table outside, int8 graphs, one text at a time.

    `text` is the manifest's. Activations are rounded by the range of a run, so that texts must not share one.
    """

    def __init__(self, folder: Path, text: ModelManifestText) -> None:
        self.table_VD = read_table(folder / "text.table.bin", text["table"]["rows"], text["table"]["width"])
        self.partition = text.get("partition")
        if self.partition is None:
            self.sessions = [session(folder / "text.onnx")]
        else:
            file = folder / self.partition["file"]["path"]
            self.sessions = [part_session(graph, folder) for graph in split_bytes(file, self.partition["sizes"])]

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


def part_session(graph: bytes, weights_folder: Path) -> onnxruntime.InferenceSession:
    """A CPU session of a graph whose weights are in a file of that folder."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights_folder))
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
