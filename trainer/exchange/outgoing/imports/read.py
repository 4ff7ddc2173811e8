"""An imported CLIP or SigLIP as it is exported: its text tower from the served graph, dequantised, its image tower by its names.

Shapes: D width, E joint dimensions.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from contracts.types import ModelManifest
from exchange.incoming.clip_text import GRAPH_ACTIVATIONS, ClipText, ClipTextShape
from exchange.names import Published, read_names
from towers.clip_bpe import ClipBpe
from towers.exported_files import read_manifest
from towers.onnx_export import ZERO_POINT
from towers.onnx_nodes import attributes_of
from towers.sentencepiece_text import SentencePiece
from towers.served_text import table_of, tokenizer_in
from towers.wordpiece import WordPiece

WEIGHTS = (
    "Text weights are those that servers multiply with: int8 times the scale of its row or column, as float32. Servers also round "
    "activations to 256 levels, which float layers do not."
)


@dataclass(frozen=True)
class ImportedModel:
    """A model of `folder` with its text tower as a float module. `image`: None where its import kept no names."""

    folder: Path
    manifest: ModelManifest
    tokenizer: ClipBpe | SentencePiece
    text: ClipText
    image: Published | None
    weights: str = WEIGHTS

    @property
    def name(self) -> str:
        """As the manifest has it."""
        return self.manifest["name"]


def is_imported(folder: Path) -> bool:
    """Whether the model of a folder has the text tower of a published checkpoint."""
    return read_manifest(folder)["text"]["tokenizer"]["type"] != "wordpiece"


def read_imported(folder: Path) -> ImportedModel:
    """The model of a folder that `import` wrote."""
    manifest = read_manifest(folder)
    tokenizer = tokenizer_in(folder, manifest)
    assert not isinstance(tokenizer, WordPiece)
    return ImportedModel(folder, manifest, tokenizer, text_from_graph(folder, manifest), read_names(folder, manifest))


def text_from_graph(folder: Path, manifest: ModelManifest) -> ClipText:
    """The text tower behind its int8 graph, with float32 weights."""
    graph = onnx.load(str(folder / manifest["text"]["graph"]["file"]["path"])).graph
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = {node.output[0]: node for node in graph.node}
    attention = [node for node in graph.node if node.op_type == "MultiHeadAttention"]
    rows_VD = table_of(folder, manifest["text"]["table"])
    padding = None
    if "padding.rows" in held:
        # The row was stored before it was rounded: the nearest of the table is its token.
        padding = int(np.square(rows_VD - held["padding.rows"][0, 0]).sum(1).argmin())
    shape = ClipTextShape(
        vocabulary_size=len(rows_VD),
        context_length=len(held["positions.weight"]),
        width=rows_VD.shape[1],
        heads=attributes_of(attention[0])["num_heads"],
        layers=len(attention),
        hidden=len(held["block0.up.bias"]),
        embed_dim=held["projection.weight"].shape[1],
        activation=next(name for name, op in GRAPH_ACTIVATIONS.items() if op == nodes["block0.gelu"].op_type),
        eps=round(attributes_of(nodes["norm"])["epsilon"], 9),
        padding=padding,
        pooling="end" if nodes["last"].input[0] == "length" else "context",
        projection_bias="projection.bias" in held,
    )
    state = {
        "table.weight": rows_VD,
        "positions": held["positions.weight"],
        "norm.weight": held["norm.weight"],
        "norm.bias": held["norm.bias"],
        "projection.weight": held["projection.weight"].T,
    }
    if shape.projection_bias:
        state["projection.bias"] = held["projection.bias"]
    for number in range(shape.layers):
        for own, name in {"norm_attention": "norm1", "norm_feed_forward": "norm2"}.items():
            state |= {
                f"blocks.{number}.{own}.{part}": held[f"block{number}.{name}.{part}"] for part in ("weight", "bias")
            }
        for part in ("qkv", "out", "up", "down"):
            name = f"block{number}.{part}"
            columns = held[f"{name}.weight"].astype(np.float32) - ZERO_POINT
            state[f"blocks.{number}.{part}.weight"] = (columns * held[f"{name}.scale"]).T
            state[f"blocks.{number}.{part}.bias"] = held[f"{name}.bias"]
    text = ClipText(shape)
    text.load_state_dict({name: torch.from_numpy(np.array(value, np.float32)) for name, value in state.items()})
    return text.eval()
