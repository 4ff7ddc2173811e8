"""Served graphs and tables: the student as int8 ONNX with its weights beside it, int8 tables, the image tower.

The text graph is built node by node: inputs `inputs_embeds` float32 [B, T, D] and `attention_mask` int64 [B, T], output
`embedding` [B, E]. Weights are uint8 with zero point 128, one scale per column: signed weights lose precision on x86
processors without VNNI, where sums of byte products saturate.
"""

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from contracts.types import PreprocessRecipe
from towers.student.model import EPS, Block, TextStudent
from towers.student.rounding import quantize_rows
from towers.wordpiece import UNK

CONTRIB = "com.microsoft"
IR_VERSION = 10  # the newest that onnxruntime-web reads
ZERO_POINT = 128  # of uint8 weights
MIN_EXTERNAL_BYTES = 1024  # smaller tensors stay inside the graph


class GraphBuilder:
    """Collects nodes and weights under unique names."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, name: str, array: np.ndarray) -> str:
        """Store an array; returns its name."""
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, op: str, inputs: list[str], name: str, domain: str = "", outputs: int = 1, **attributes: Any) -> str:
        """Append a node; returns its (first) output, `name`, the others are `name.1`, `name.2` ..."""
        names = [name, *(f"{name}.{number}" for number in range(1, outputs))]
        self.nodes.append(helper.make_node(op, inputs, names, name, domain=domain, **attributes))
        return name

    def linear(self, x: str, layer: nn.Linear, name: str) -> str:
        """x @ W^T + b with uint8 weights and activations quantised dynamically."""
        quantized, scale = quantize_rows(layer.weight.detach().float())
        columns = (quantized.to(torch.int16) + ZERO_POINT).to(torch.uint8).T.numpy()
        inputs = [
            x,
            self.weight(f"{name}.weight", columns),
            self.weight(f"{name}.scale", scale.numpy()),
            self.weight(f"{name}.zero", np.full(columns.shape[1], ZERO_POINT, np.uint8)),
            self.weight(f"{name}.bias", array_of(layer.bias)),
        ]
        return self.add("DynamicQuantizeMatMul", inputs, name, CONTRIB)

    def norm(self, x: str, layer: nn.LayerNorm, name: str) -> str:
        """Layer normalisation over the last axis."""
        parts = [
            self.weight(f"{name}.weight", array_of(layer.weight)),
            self.weight(f"{name}.bias", array_of(layer.bias)),
        ]
        return self.add("LayerNormalization", [x, *parts], name, axis=-1, epsilon=EPS)


def export_student(student: TextStudent, folder: Path, opset: int, name: str = "text") -> None:
    """Write NAME.onnx and NAME.weights.bin."""
    shape = student.shape
    graph = GraphBuilder()
    length = graph.add("Shape", ["inputs_embeds"], "length", start=1, end=2)
    graph.weight("zero", np.array([0], np.int64))
    graph.weight("one", np.array([1], np.int64))
    graph.weight("positions.weight", array_of(student.positions.weight))
    positions = graph.add("Slice", ["positions.weight", "zero", length, "zero"], "positions")
    rows = "inputs_embeds"
    if isinstance(student.widen, nn.Linear):
        rows = graph.add("MatMul", [rows, graph.weight("widen.weight", array_of(student.widen.weight.T))], "widened")
    x = graph.norm(graph.add("Add", [rows, positions], "embedded"), student.norm, "norm")
    mask = graph.add("Cast", ["attention_mask"], "mask", to=TensorProto.INT32)
    for number, block in enumerate(student.blocks):
        assert isinstance(block, Block)
        x = add_block(graph, block, x, mask, f"block{number}")
    weight = graph.add("Cast", ["attention_mask"], "weight", to=TensorProto.FLOAT)
    weight_BT1 = graph.add("Unsqueeze", [weight, graph.weight("last", np.array([-1], np.int64))], "weight.column")
    total = graph.add("ReduceSum", [graph.add("Mul", [x, weight_BT1], "kept"), "one"], "total", keepdims=0)
    mean = graph.add("Div", [total, graph.add("ReduceSum", [weight, "one"], "count", keepdims=1)], "pooled")
    # The projection decides the last digits of every vector and is small: it stays float32.
    parts = [graph.weight("projection.weight", array_of(student.projection.weight.T)),
             graph.weight("projection.bias", array_of(student.projection.bias))]  # fmt: skip
    projected = graph.add("Gemm", [mean, *parts], "projected")
    norm = graph.add("ReduceL2", [projected, "one"], "norm.length", keepdims=1)
    graph.add("Div", [projected, norm], "embedding")
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "text",
            [
                helper.make_tensor_value_info(
                    "inputs_embeds", TensorProto.FLOAT, ["B", "T", student.table.embedding_dim]
                ),
                helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["B", "T"]),
            ],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", shape.embed_dim])],
            graph.weights,
        ),
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(CONTRIB, 1)],
        ir_version=IR_VERSION,
        producer_name="trainer",
    )
    save_with_weights(model, folder / f"{name}.onnx", f"{name}.weights.bin")


def add_block(graph: GraphBuilder, block: Block, x: str, mask: str, name: str) -> str:
    """One transformer layer; returns its output's name."""
    qkv = graph.linear(x, block.qkv, f"{name}.qkv")
    q = graph.add("Split", [qkv], f"{name}.q", outputs=3, axis=-1, num_outputs=3)
    attended = graph.add(
        "MultiHeadAttention", [q, f"{q}.1", f"{q}.2", "", mask], f"{name}.attended", CONTRIB, num_heads=block.heads
    )
    out = graph.linear(attended, block.out, f"{name}.out")
    x = graph.norm(graph.add("Add", [x, out], f"{name}.sum1"), block.norm_attention, f"{name}.norm1")
    up = graph.add("Gelu", [graph.linear(x, block.up, f"{name}.up")], f"{name}.gelu", CONTRIB)
    down = graph.linear(up, block.down, f"{name}.down")
    return graph.norm(graph.add("Add", [x, down], f"{name}.sum2"), block.norm_feed_forward, f"{name}.norm2")


def save_with_weights(model: onnx.ModelProto, file: Path, weights_name: str) -> None:
    """Save a model with its large tensors in one file beside it; an old one is replaced, not appended to."""
    (file.parent / weights_name).unlink(missing_ok=True)
    onnx.save_model(
        model,
        str(file),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=weights_name,
        size_threshold=MIN_EXTERNAL_BYTES,
        convert_attribute=False,
    )
    (file.parent / weights_name).chmod(0o644)  # onnx makes it private to its owner
    onnx.checker.check_model(str(file))


# ---- tables --------------------------------------------------------------------------------------


def write_table(rows_VD: torch.Tensor, file: Path) -> None:
    """int8 rows, then one little-endian float32 scale per row."""
    quantized, scale_V = quantize_rows(rows_VD.detach().float().cpu())
    file.write_bytes(quantized.numpy().tobytes() + scale_V.numpy().astype("<f4").tobytes())


def read_table(file: Path, rows: int, width: int) -> np.ndarray:
    """float32 [rows, width] from `write_table`'s file; a wrong size is an error."""
    data = file.read_bytes()
    if len(data) != rows * width + rows * 4:
        raise ValueError(f"{file.name} holds {len(data)} bytes, {rows} rows of {width} need {rows * width + rows * 4}")
    values_VD = np.frombuffer(data, np.int8, rows * width).reshape(rows, width).astype(np.float32)
    return values_VD * np.frombuffer(data, "<f4", rows, rows * width)[:, None]


# ---- image tower ---------------------------------------------------------------------------------


def export_image_tower(tower: nn.Module, size: int | tuple[int, int], file: Path, opset: int, weights: str) -> None:
    """Write image.onnx: input `pixels` float32 [B, 3, size, size], output `embedding` [B, E].

    Of a tower that reads any shape `size` is one that it reads, (height, width), and both sides stay open in the graph.
    Weights are stored as float16 or as int8 with one scale per output channel, and widened to float32 when a session
    opens, so that any processor computes in float32.
    """
    tower = tower.cpu().float().eval()
    temporary = file.with_suffix(".float32.onnx")
    sides, open_sides = ((size, size), {}) if isinstance(size, int) else (size, {2: "H", 3: "W"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            tower,
            (torch.zeros(2, 3, *sides),),
            str(temporary),
            input_names=["pixels"],
            output_names=["embedding"],
            opset_version=opset,
            dynamic_axes={"pixels": {0: "B", **open_sides}, "embedding": {0: "B"}},
            dynamo=False,
        )
    model = onnx.load(str(temporary))
    temporary.unlink()
    model.ir_version = IR_VERSION
    narrow_weights(model, weights)
    onnx.checker.check_model(model)
    file.write_bytes(model.SerializeToString(deterministic=True))


def narrow_weights(model: onnx.ModelProto, weights: str) -> None:
    """Store float32 matrices and kernels as float16 + Cast or int8 + DequantizeLinear; vectors stay as they are."""
    stored: list[onnx.TensorProto] = []
    widening: list[onnx.NodeProto] = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            stored.append(tensor)
            continue
        values, short = numpy_helper.to_array(tensor), f"{tensor.name}.stored"
        if weights == "float16":
            stored.append(numpy_helper.from_array(values.astype(np.float16), short))
            widening.append(helper.make_node("Cast", [short], [tensor.name], short, to=TensorProto.FLOAT))
            continue
        quantized, scale = quantize_rows(torch.from_numpy(values.reshape(len(values), -1).copy()))
        stored.append(numpy_helper.from_array(quantized.numpy().reshape(values.shape), short))
        stored.append(numpy_helper.from_array(scale.numpy(), f"{short}.scale"))
        stored.append(numpy_helper.from_array(np.zeros(len(values), np.int8), f"{short}.zero"))
        inputs = [short, f"{short}.scale", f"{short}.zero"]
        widening.append(helper.make_node("DequantizeLinear", inputs, [tensor.name], short, axis=0))
    nodes = [*widening, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(stored)
    model.graph.node.extend(nodes)


# ---- running what was exported -------------------------------------------------------------------


def session(graph: Path | bytes, threads: int = 0, weights: Path | None = None) -> onnxruntime.InferenceSession:
    """A CPU session; `threads` 0: as many as torch has (OMP_NUM_THREADS). `weights`: the folder of a graph's file of weights."""
    options = onnxruntime.SessionOptions()
    # By itself it takes every core, whatever this process was given, and threads that share a core spin while they wait.
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3
    if weights is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights))
    source = graph if isinstance(graph, bytes) else str(graph)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def embed_static(table_VE: np.ndarray, ids: list[list[int]]) -> np.ndarray:
    """Unit vectors [N, E] of the static tier; zeros where a text has no known token."""
    sums = np.stack([table_VE[[i for i in row if i != UNK]].sum(0) for row in ids])
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def space_id(image_graph: Path, preprocess: PreprocessRecipe, embed_dim: int) -> str:
    """Digest of everything that decides an image's vector: the graph (projection inside), the preprocessing, the dimension."""
    graph = hashlib.sha256(image_graph.read_bytes()).hexdigest()
    document = {"image_graph": f"sha256:{graph}", "preprocess": preprocess, "embed_dim": embed_dim}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def array_of(tensor: torch.Tensor) -> np.ndarray:
    """float32 on the CPU."""
    return tensor.detach().float().cpu().numpy()
