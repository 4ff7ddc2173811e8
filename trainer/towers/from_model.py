"""Float modules from the files of an exported model, so that training can go on from what is served.

The text student is read back from its int8 graph under the names that `export_student` gives. The image tower may be of any
family: its ONNX graph is cut where one tensor holds everything, the part before runs in ONNX Runtime, the part behind is a
PyTorch module of the same nodes, and trained weights go back into the same graph.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper, numpy_helper
from torch import nn
from torch.nn import functional as F

from towers.onnx_export import ZERO_POINT, session
from towers.onnx_nodes import NODES, attributes_of
from towers.student.model import StudentShape, TextStudent
from towers.student.rounding import quantize_rows

OUTPUT, INPUT = "embedding", "pixels"


# ---- text ----------------------------------------------------------------------------------------


def student_from_graph(
    folder: Path, graph_file: str, table_VK: np.ndarray, dims: list[int], static_weight: float = 0.0
) -> TextStudent:
    """The student behind an exported text graph with float32 weights; `table_VK` holds its token rows."""
    graph = onnx.load(str(folder / graph_file)).graph
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    attention = [node for node in graph.node if node.op_type == "MultiHeadAttention"]
    if not attention or "projection.weight" not in held:
        raise ValueError(f"{folder / graph_file} is not a text graph that stage export wrote: nothing to train on from")
    shape = StudentShape(
        vocabulary_size=len(table_VK),
        layers=len(attention),
        width=len(held["norm.weight"]),
        heads=attributes_of(attention[0])["num_heads"],
        context_length=len(held["positions.weight"]),
        embed_dim=held["projection.weight"].shape[1],
        matryoshka_dims=dims,
        table_width=table_VK.shape[1],
        static_weight=static_weight,
    )
    state = {"table.weight": table_VK, "positions.weight": held["positions.weight"]}
    state |= {"projection.weight": held["projection.weight"].T, "projection.bias": held["projection.bias"]}
    if "widen.weight" in held:
        state["widen.weight"] = held["widen.weight"].T
    names = {"norm": "norm"}
    for number in range(shape.layers):
        names |= {
            f"blocks.{number}.norm_attention": f"block{number}.norm1",
            f"blocks.{number}.norm_feed_forward": f"block{number}.norm2",
        }
        for part in ("qkv", "out", "up", "down"):
            name = f"block{number}.{part}"
            columns = held[f"{name}.weight"].astype(np.float32) - ZERO_POINT
            state[f"blocks.{number}.{part}.weight"] = (columns * held[f"{name}.scale"]).T
            state[f"blocks.{number}.{part}.bias"] = held[f"{name}.bias"]
    for module, name in names.items():
        state |= {f"{module}.weight": held[f"{name}.weight"], f"{module}.bias": held[f"{name}.bias"]}
    student = TextStudent(shape)
    student.load_state_dict({name: torch.from_numpy(np.array(value, np.float32)) for name, value in state.items()})
    return student.eval()


# ---- image ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """A tensor of the graph that everything behind it is computed from, and what training from there on costs."""

    tensor: str
    weights: int
    values: int  # of the tensor, for one image


class ImageGraph:
    """An exported image tower: vectors of pixels, cuts, the trainable part behind a cut, and weights put back."""

    def __init__(self, file: Path) -> None:
        self.model = onnx.load(str(file))
        self.nodes = list(self.model.graph.node)
        self.producer = {name: node for node in self.nodes for name in node.output}
        self.stored = {tensor.name: tensor for tensor in self.model.graph.initializer}
        self.head = self.head_node()

    def head_node(self) -> onnx.NodeProto:
        """The linear map in front of the final normalisation."""
        node = self.producer[OUTPUT]
        while node.op_type in {"Div", "Mul", "Cast", "Identity"}:
            node = self.producer[node.input[0]]
        if node.op_type not in {"Gemm", "MatMul", "Add"}:
            raise ValueError(f"the image graph ends in {node.op_type}, not in a linear map and a normalisation")
        return node

    # -- weights ---------------------------------------------------------------------------------------------------

    def weight(self, name: str) -> np.ndarray | None:
        """A weight in float32, however it is stored; None for a tensor that is computed from pixels."""
        if name in self.stored:
            return numpy_helper.to_array(self.stored[name])
        node = self.producer.get(name)
        if node is None or not all(part in self.stored for part in node.input):
            return None
        values = [numpy_helper.to_array(self.stored[part]) for part in node.input]
        if node.op_type == "Cast":
            return values[0].astype(helper.tensor_dtype_to_np_dtype(attributes_of(node)["to"]))
        if node.op_type == "DequantizeLinear":
            scale = values[1].reshape([-1] + [1] * (values[0].ndim - 1))
            return values[0].astype(np.float32) * scale
        return None

    def put(self, name: str, values: np.ndarray) -> None:
        """Replace a weight, in the number format in which it is stored."""
        node = self.producer.get(name)
        if node is None:
            self.stored[name].CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))
        elif node.op_type == "Cast":
            old = self.stored[node.input[0]]
            kind = helper.tensor_dtype_to_np_dtype(old.data_type)
            old.CopyFrom(numpy_helper.from_array(values.astype(kind), old.name))
        else:
            flat = torch.from_numpy(values.reshape(len(values), -1).astype(np.float32))
            quantized, scale = quantize_rows(flat)
            for part, array in zip(node.input, [quantized.numpy().reshape(values.shape), scale.numpy()], strict=False):
                self.stored[part].CopyFrom(numpy_helper.from_array(array, part))

    def write(self, file: Path) -> None:
        """The graph with what was put."""
        onnx.checker.check_model(self.model)
        file.write_bytes(self.model.SerializeToString(deterministic=True))

    def size(self, node: onnx.NodeProto) -> int:
        """How many float32 weights a node reads."""
        arrays = [self.weight(name) for name in node.input[1:]]
        return sum(array.size for array in arrays if array is not None and array.dtype == np.float32)

    # -- cuts ------------------------------------------------------------------------------------------------------

    def cuts(self) -> list[Cut]:
        """Every possible cut, from the pixels to the input of the head, as far as the nodes behind it are known."""
        moving = self.depends_on(INPUT)
        shapes = self.shapes()
        last_use = {name: at for at, node in enumerate(self.nodes) for name in node.input}
        end = next(at for at, node in enumerate(self.nodes) if node.output[0] == self.head.output[0])
        live: dict[str, int] = {}
        found: list[tuple[int, str]] = []
        for at, node in enumerate(self.nodes[:end]):
            live = {name: until for name, until in live.items() if until > at}
            live |= {name: last_use[name] for name in node.output if name in moving and name in last_use}
            if len(live) == 1:
                found.append((at, next(iter(live))))
        cuts = []
        sizes = [self.size(node) for node in self.nodes]
        for at, name in found:
            behind = [n for n in range(at + 1, end + 1) if self.nodes[n].output[0] in moving]
            if all(self.nodes[n].op_type in NODES for n in behind):
                weights = sum(sizes[n] for n in behind)
                cuts.append(Cut(name, weights, int(np.prod(shapes[name][1:]))))
        return cuts

    def choose(self, fraction: float, most_values: int) -> Cut:
        """The cut that trains most, at most `fraction` of all weights, with at most `most_values` to keep of an image."""
        total = sum(self.size(node) for node in self.nodes)
        cuts = self.cuts()
        fitting = [cut for cut in cuts if cut.weights <= fraction * total and cut.values <= most_values]
        # Behind a pooling the tensor is smallest: of equal weights, the cheaper one to keep.
        return min(fitting or cuts[-1:], key=lambda cut: (-cut.weights, cut.values))

    def depends_on(self, start: str) -> set[str]:
        """Tensors computed from the values, not only from the shape, of `start`."""
        moving = {start}
        for node in self.nodes:
            if node.op_type != "Shape" and any(name in moving for name in node.input):
                moving |= set(node.output)
        return moving

    def shapes(self) -> dict[str, list[int]]:
        """The shape of every tensor for a batch of two."""
        names = [name for node in self.nodes for name in node.output]
        values = self.session(names).run(names, {INPUT: np.zeros((2, *self.pixels()), np.float32)})
        return {name: list(np.asarray(value).shape) for name, value in zip(names, values, strict=True)}

    def pixels(self) -> tuple[int, int, int]:
        """Shape of one image."""
        dims = self.model.graph.input[0].type.tensor_type.shape.dim
        return dims[1].dim_value, dims[2].dim_value, dims[3].dim_value

    def session(self, outputs: list[str]) -> onnxruntime.InferenceSession:
        """ONNX Runtime on the nodes that these outputs need."""
        needed, wanted = set(outputs), []
        for node in reversed(self.nodes):
            if any(name in needed for name in node.output):
                wanted.append(node)
                needed |= set(node.input)
        infos = [onnx.ValueInfoProto(name=name) for name in outputs]
        weights = [tensor for name, tensor in self.stored.items() if name in needed]
        graph = helper.make_graph(wanted[::-1], "part", self.model.graph.input, infos, weights)
        part = helper.make_model(graph, opset_imports=self.model.opset_import, ir_version=self.model.ir_version)
        return session(part.SerializeToString())

    def tail(self, cut: Cut) -> "GraphTail":
        """The nodes behind a cut, up to the head, as a module with float32 weights."""
        return GraphTail(self, cut.tensor)


class GraphTail(nn.Module):
    """Unit vectors [B, E] from the tensor at a cut. Its parameters are the graph's weights, by the graph's names."""

    def __init__(self, graph: ImageGraph, start: str) -> None:
        super().__init__()
        moving = graph.depends_on(start) - {start}
        self.start, self.end = start, graph.head.output[0]
        end = next(at for at, node in enumerate(graph.nodes) if node.output[0] == self.end)
        self.nodes = [node for node in graph.nodes[: end + 1] if any(name in moving for name in node.output)]
        self.attributes = [attributes_of(node) for node in self.nodes]
        self.names: dict[str, str] = {}
        self.constants: dict[str, torch.Tensor | None] = {"": None}
        folded: list[str] = []
        for node in self.nodes:
            for name in node.input:
                if name == start or name in moving or name in self.constants or name in self.names:
                    continue
                value = graph.weight(name)
                if value is None:
                    folded.append(name)
                elif node.op_type in {"Conv", "Gemm", "MatMul", "Add", "LayerNormalization"} and value.ndim > 0:
                    self.names[name] = f"weight{len(self.names)}"
                    self.register_parameter(self.names[name], nn.Parameter(torch.from_numpy(value.astype(np.float32))))
                else:
                    self.constants[name] = torch.from_numpy(np.array(value))
        for name, value in fold(graph, folded).items():
            self.constants[name] = torch.from_numpy(np.array(value))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Unit vectors [B, E], float32."""
        values: dict[str, Any] = {self.start: x}
        for node, attributes in zip(self.nodes, self.attributes, strict=True):
            inputs = [
                values[name]
                if name in values
                else (getattr(self, self.names[name]) if name in self.names else self.constants[name])
                for name in node.input
            ]
            values[node.output[0]] = NODES[node.op_type](inputs, attributes)
        return F.normalize(values[self.end].float(), dim=-1)

    def put_back(self, graph: ImageGraph) -> None:
        """Write the weights into the graph."""
        for name, own in self.names.items():
            graph.put(name, getattr(self, own).detach().float().cpu().numpy())


def fold(graph: ImageGraph, names: list[str]) -> dict[str, np.ndarray]:
    """Values that the graph computes from shapes alone. One that grows with the batch cannot be folded."""
    if not names:
        return {}
    session = graph.session(names)
    runs = [session.run(names, {INPUT: np.zeros((batch, *graph.pixels()), np.float32)}) for batch in (2, 3)]
    for name, two, three in zip(names, *runs, strict=True):
        if not np.array_equal(np.asarray(two), np.asarray(three)):
            raise ValueError(
                f"the image graph computes {name} from the size of the batch: it cannot be trained from there"
            )
    return {name: np.asarray(value) for name, value in zip(names, runs[0], strict=True)}
