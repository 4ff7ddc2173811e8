"""CLIP's and SigLIP's text tower: the float module that any published layout becomes, and its int8 graph for servers.

Pre-norm layers, a causal mask or none, the state of one place, LayerNorm, a projection. A server runs one text without padding, so
that the last token is the one at the end. A tower without the causal mask (MobileCLIP, SigLIP) was trained with padding that
every token sees: the graph brings it along. SigLIP's reads the last place of its context, which is padding in most texts.

Shapes: B texts, T tokens, V pieces, P positions, D width, E joint dimensions.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from onnx import TensorProto, helper
from torch import nn
from torch.nn import functional as F

from contracts.types import ClipBpeTokenizer, ModelManifestText, SentencePieceTokenizer
from engine.folders.files import artefact
from towers.onnx_export import CONTRIB, IR_VERSION, GraphBuilder, array_of, save_with_weights, write_table

QUICK_GELU = 1.702
TextTokenizer = ClipBpeTokenizer | SentencePieceTokenizer
Activation = Literal["gelu", "gelu_tanh", "quick_gelu"]
GRAPH_ACTIVATIONS: dict[Activation, str] = {"gelu": "Gelu", "gelu_tanh": "FastGelu", "quick_gelu": "QuickGelu"}


@dataclass(frozen=True)
class ClipTextShape:
    """What decides the weights and the computation. `padding`: the id that fills a text up; None: it changes nothing.

    `pooling`: the state of a text's last token, or of the last place of its `context`, padding included.
    """

    vocabulary_size: int
    context_length: int
    width: int
    heads: int
    layers: int
    hidden: int
    embed_dim: int
    activation: Activation
    eps: float
    padding: int | None
    pooling: Literal["end", "context"] = "end"
    projection_bias: bool = False


class ClipBlock(nn.Module):
    """A pre-norm layer."""

    def __init__(self, shape: ClipTextShape) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(shape.width, shape.eps)
        self.qkv, self.out = nn.Linear(shape.width, 3 * shape.width), nn.Linear(shape.width, shape.width)
        self.norm_feed_forward = nn.LayerNorm(shape.width, shape.eps)
        self.up, self.down = nn.Linear(shape.width, shape.hidden), nn.Linear(shape.hidden, shape.width)


class ClipText(nn.Module):
    """The tower with float weights. `embed` computes one text, as servers do; without the causal mask a text is filled up."""

    def __init__(self, shape: ClipTextShape) -> None:
        super().__init__()
        self.shape = shape
        self.table = nn.Embedding(shape.vocabulary_size, shape.width)
        self.positions = nn.Parameter(torch.zeros(shape.context_length, shape.width))
        self.blocks = nn.ModuleList(ClipBlock(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width, shape.eps)
        self.projection = nn.Linear(shape.width, shape.embed_dim, bias=shape.projection_bias)

    def forward(self, ids_BT: torch.Tensor, last_B: torch.Tensor) -> torch.Tensor:
        """Unit vectors [B, E] of texts with their special tokens, padded on the right; `last_B` is the place of the last token."""
        shape = self.shape
        B, T = ids_BT.shape
        x = self.table(ids_BT) + self.positions[:T]
        for block in self.blocks:
            assert isinstance(block, ClipBlock)
            heads = [
                part.view(B, T, shape.heads, -1).transpose(1, 2)
                for part in block.qkv(block.norm_attention(x)).chunk(3, -1)
            ]
            attended = F.scaled_dot_product_attention(*heads, is_causal=shape.padding is None)
            x = x + block.out(attended.transpose(1, 2).reshape(B, T, -1))
            x = x + block.down(activate(block.up(block.norm_feed_forward(x)), shape.activation))
        place_B = last_B if shape.pooling == "end" else torch.full_like(last_B, T - 1)
        state_BD = x.gather(1, place_B[:, None, None].expand(-1, 1, shape.width)).squeeze(1)
        return F.normalize(self.projection(self.norm(state_BD)), dim=-1)

    @torch.no_grad()
    def embed(self, ids: list[int]) -> torch.Tensor:
        """The unit vector [E] of one text with its special tokens."""
        filling = [] if self.shape.padding is None else [self.shape.padding] * (self.shape.context_length - len(ids))
        return self(torch.tensor([ids + filling]), torch.tensor([len(ids) - 1]))[0]


def activate(x: torch.Tensor, activation: Activation) -> torch.Tensor:
    """What stands between the two matrices of a layer."""
    if activation == "quick_gelu":
        return x * torch.sigmoid(QUICK_GELU * x)
    return F.gelu(x, approximate="tanh" if activation == "gelu_tanh" else "none")


def write_clip_text(folder: Path, tower: ClipText, tokenizer: TextTokenizer, opset: int) -> ModelManifestText:
    """Write text.onnx, text.weights.bin and text.table.bin; returns what the manifest says of them."""
    shape = tower.shape
    export_clip_text(tower, folder, opset)
    write_table(tower.table.weight, folder / "text.table.bin")
    return {
        "tokenizer": tokenizer,
        "context_length": shape.context_length,
        "table": {
            "file": artefact(folder, "text.table.bin"), "rows": shape.vocabulary_size, "width": shape.width,
        },
        "graph": {
            "file": artefact(folder, "text.onnx"),
            "weights": {"name": "text.weights.bin", "file": artefact(folder, "text.weights.bin")},
            "opset": opset,
        },
    }  # fmt: skip


def export_clip_text(tower: ClipText, folder: Path, opset: int) -> None:
    """The graph that towers/onnx_export.py describes: `inputs_embeds` [1, T, D] -> `embedding` [1, E], int8 matrices.

    `attention_mask` is an input that nothing reads: there is one text and no padding from outside.
    """
    shape, graph = tower.shape, GraphBuilder()
    length = graph.add("Shape", ["inputs_embeds"], "length", start=1, end=2)
    for name, value in {"zero": [0], "one": [1]}.items():
        graph.weight(name, np.array(value, np.int64))
    rows = "inputs_embeds"
    if shape.padding is not None:
        rows = add_padding(graph, tower, shape.padding, rows, length)
    graph.weight("positions.weight", array_of(tower.positions))
    whole = graph.add("Shape", [rows], "whole", start=1, end=2)
    positions = graph.add("Slice", ["positions.weight", "zero", whole, "zero"], "positions")
    x = graph.add("Add", [rows, positions], "embedded")
    for number, block in enumerate(tower.blocks):
        assert isinstance(block, ClipBlock)
        x = add_block(graph, block, shape, x, f"block{number}")
    last = graph.add("Sub", [length if shape.pooling == "end" else whole, "one"], "last")
    state = graph.add("Squeeze", [graph.add("Gather", [x, last], "gathered", axis=1), "one"], "state")
    weight = graph.weight("projection.weight", array_of(tower.projection.weight.T))
    projected = graph.add("MatMul", [norm(graph, state, tower.norm, "norm"), weight], "projected")
    if tower.projection.bias is not None:
        bias = graph.weight("projection.bias", array_of(tower.projection.bias))
        projected = graph.add("Add", [projected, bias], "moved")
    graph.add("Div", [projected, graph.add("ReduceL2", [projected, "one"], "norm.length", keepdims=1)], "embedding")
    inputs = [
        helper.make_tensor_value_info("inputs_embeds", TensorProto.FLOAT, ["B", "T", shape.width]),
        helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["B", "T"]),
    ]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", shape.embed_dim])]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "text", inputs, outputs, graph.weights),
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(CONTRIB, 1)],
        ir_version=IR_VERSION,
        producer_name="trainer",
    )
    save_with_weights(model, folder / "text.onnx", "text.weights.bin")


def add_padding(graph: GraphBuilder, tower: ClipText, padding: int, rows: str, length: str) -> str:
    """Rows of the padding token behind a text, up to the length that the tower was trained with."""
    whole = tower.shape.context_length
    row_11D = array_of(tower.table.weight[padding])[None, None]
    graph.weight("context", np.array([whole], np.int64))
    filling = graph.weight("padding.rows", np.repeat(row_11D, whole, 1))
    missing = graph.add("Slice", [filling, length, "context", "one"], "padding")
    return graph.add("Concat", [rows, missing], "padded", axis=1)


def add_block(graph: GraphBuilder, block: ClipBlock, shape: ClipTextShape, x: str, name: str) -> str:
    """One layer; returns its output's name."""
    qkv = graph.linear(norm(graph, x, block.norm_attention, f"{name}.norm1"), block.qkv, f"{name}.qkv")
    q = graph.add("Split", [qkv], f"{name}.q", outputs=3, axis=-1, num_outputs=3)
    causal = {} if shape.padding is not None else {"unidirectional": 1}
    attended = graph.add(
        "MultiHeadAttention", [q, f"{q}.1", f"{q}.2"], f"{name}.attended", CONTRIB, num_heads=shape.heads, **causal
    )
    x = graph.add("Add", [x, graph.linear(attended, block.out, f"{name}.out")], f"{name}.sum1")
    up = graph.linear(norm(graph, x, block.norm_feed_forward, f"{name}.norm2"), block.up, f"{name}.up")
    alpha: dict[str, Any] = {"alpha": QUICK_GELU} if shape.activation == "quick_gelu" else {}
    active = graph.add(GRAPH_ACTIVATIONS[shape.activation], [up], f"{name}.gelu", CONTRIB, **alpha)
    return graph.add("Add", [x, graph.linear(active, block.down, f"{name}.down")], f"{name}.sum2")


def norm(graph: GraphBuilder, x: str, layer: nn.LayerNorm, name: str) -> str:
    """Layer normalisation over the last axis."""
    parts = [graph.weight(f"{name}.weight", array_of(layer.weight)), graph.weight(f"{name}.bias", array_of(layer.bias))]
    return graph.add("LayerNormalization", [x, *parts], name, axis=-1, epsilon=layer.eps)
