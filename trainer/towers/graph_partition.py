"""The student's graph cut into short runs, so that a long text does not hold a thread that other requests wait for.

One run of the whole graph over 512 tokens is a single block of some 400 ms. Attention needs keys and values of all rows, and
everything else of a transformer works row by row: a layer over `rows` rows is a run of its own. Graphs, in this order:

    first   inputs_embeds [1, N, D], start [1]                    -> y, q, k, v [1, N, D]   positions, norm, first projection
    layer i x, q [1, N, D], keys, values [1, T, D]                -> y, q, k, v [1, N, D]   layer i, projection of layer i + 1
    last    x, q [1, N, D], keys, values [1, T, D]                -> total [1, D]           last layer, sum over its rows
    head    pooled [1, D]                                         -> embedding [1, E]

A text of at most `rows` tokens gets the vector of the whole graph up to float32 rounding. Of a longer one activations are
quantised by the range of `rows` rows instead of all.
"""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from contracts.types import TextPartition
from engine.folders.files import artefact

ROWS = 128  # a run takes some 20 ms then, and all runs together 5 % longer than the whole graph

_LAYER = ["out", "sum1", "norm1", "up", "gelu", "down", "sum2", "norm2"]


def partition_student(folder: Path, rows: int = ROWS, name: str = "text") -> TextPartition:
    """Write NAME.partition.bin from `export_student`'s NAME.onnx; its graphs read the same weights file."""
    model = onnx.load(str(folder / f"{name}.onnx"), load_external_data=False)
    parts = _Parts(model)
    graphs = [part.SerializeToString(deterministic=True) for part in parts.all()]
    file = f"{name}.partition.bin"
    (folder / file).write_bytes(b"".join(graphs))
    return {"file": artefact(folder, file), "rows": rows, "sizes": [len(graph) for graph in graphs]}


class _Parts:
    """Cuts the nodes that `export_student` named."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes = {node.output[0]: node for node in model.graph.node}
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self.layers = sum(name.endswith(".qkv") for name in self.nodes)
        self.table_width = model.graph.input[0].type.tensor_type.shape.dim[2].dim_value
        self.width = self.weights["norm.weight"].dims[0]
        self.embed_dim = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value

    def all(self) -> list[onnx.ModelProto]:
        """First, one per layer but the last, last, head."""
        rows = [self.rows("x"), self.rows("q"), self.rows("keys", "T"), self.rows("values", "T")]
        projected = [self.rows(name) for name in ("y", "q.out", "k.out", "v.out")]
        start = helper.make_tensor_value_info("start", TensorProto.INT64, [1])
        total = helper.make_node("ReduceSum", ["y", "one"], ["total"], keepdims=0)
        between = [
            self.part(self.layer(number) + self.projection(number + 1), rows, projected)
            for number in range(self.layers - 1)
        ]
        return [
            self.part(
                self.first() + self.projection(0),
                [self.rows("inputs_embeds", width=self.table_width), start],
                projected,
            ),
            *between,
            self.part([*self.layer(self.layers - 1), total], rows, [self.row("total", self.width)]),
            self.part(
                [self.node(name, {}) for name in ("projected", "norm.length", "embedding")],
                [self.row("pooled", self.width)],
                [self.row("embedding", self.embed_dim)],
            ),
        ]

    def first(self) -> list[onnx.NodeProto]:
        """Position rows from `start` on, added and normalised."""
        return [
            helper.make_node("Shape", ["inputs_embeds"], ["length"], start=1, end=2),
            helper.make_node("Add", ["start", "length"], ["stop"]),
            helper.make_node("Slice", ["positions.weight", "start", "stop", "zero"], ["positions"]),
            *([self.node("widened", {})] if "widened" in self.nodes else []),
            self.node("embedded", {}),
            self.node("norm", {"norm": "y"}),
        ]

    def projection(self, number: int) -> list[onnx.NodeProto]:
        """Query, key and value rows of a layer."""
        names = {f"block{number}.q": "q.out", f"block{number}.q.1": "k.out", f"block{number}.q.2": "v.out"}
        source = "norm" if number == 0 else f"block{number - 1}.norm2"
        return [self.node(f"block{number}.qkv", {source: "y"}), self.node(f"block{number}.q", names)]

    def layer(self, number: int) -> list[onnx.NodeProto]:
        """A layer of `x` after its projection. There is no mask: one text per run, without padding."""
        name, source = f"block{number}", "norm" if number == 0 else f"block{number - 1}.norm2"
        attended = self.node(f"{name}.attended", {})
        del attended.input[:]
        attended.input.extend(["q", "keys", "values"])
        names = {source: "x", f"{name}.norm2": "y"}
        return [attended, *(self.node(f"{name}.{step}", names) for step in _LAYER)]

    def node(self, output: str, names: dict[str, str]) -> onnx.NodeProto:
        """A copy with inputs and outputs renamed."""
        copy = onnx.NodeProto()
        copy.CopyFrom(self.nodes[output])
        for field in (copy.input, copy.output):
            for index, name in enumerate(field):
                field[index] = names.get(name, name)
        return copy

    def part(
        self, nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """A model of these nodes with the weights that they read."""
        read = {name for node in nodes for name in node.input}
        weights = [tensor for name, tensor in self.weights.items() if name in read]
        graph = helper.make_graph(nodes, "text", inputs, outputs, weights)
        whole = self.model
        part = helper.make_model(graph, opset_imports=whole.opset_import, ir_version=whole.ir_version)
        part.producer_name = whole.producer_name
        return part

    def rows(self, name: str, count: str = "N", width: int | None = None) -> onnx.ValueInfoProto:
        """[1, count, D], or of another width."""
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, count, width or self.width])

    def row(self, name: str, width: int) -> onnx.ValueInfoProto:
        """[1, width]."""
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width])
