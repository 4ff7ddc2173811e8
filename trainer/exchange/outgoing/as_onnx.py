"""Whole ONNX graphs: from token ids to unit vectors, and from pixels, with a tokenizer and an image processor's settings beside.

    TIER/model.onnx        float32, standard operators: `input_ids`, `attention_mask` int64 [B, T] -> `embedding` [B, E]
    TIER/model_int8.onnx   what servers run, with the token table inside; exact for one text a run, without padding
    static/model.onnx      the same inputs, of ids without special tokens
    image/model.onnx       what servers run: `pixels` [B, 3, S, S] -> `embedding` [B, E]; where pictures keep their shape [B, 3, H, W], and
                           how they are prepared is in preprocess.json, as manifest.json has it

Shapes: B texts, T tokens, V pieces, K width of a token row, E joint dimensions.
"""

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional as F

from contracts.types import ModelManifest, Tier
from exchange.outgoing.floats import FloatModel, static_rows
from exchange.outgoing.preprocessor import write_preprocessor
from exchange.outgoing.tokenizer_files import write_json, write_tokenizer
from towers.exported_files import text_towers
from towers.onnx_export import IR_VERSION
from towers.preprocess import keeps_shape
from towers.student.model import StaticStudent, TextStudent
from towers.student.rounding import quantize_rows
from towers.wordpiece import SPECIAL_TOKENS

OUTPUT = "embedding"


class StaticTexts(nn.Module):
    """The static tier over padded ids: rows of special tokens are zero, padding is one of them."""

    def __init__(self, static: StaticStudent) -> None:
        super().__init__()
        self.rows_VE = nn.Parameter(static_rows(static, len(SPECIAL_TOKENS)))

    def forward(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """Unit vectors [B, E]."""
        return F.normalize((F.embedding(ids_BT, self.rows_VE) * mask_BT[..., None]).sum(1), dim=-1)


class StudentTexts(nn.Module):
    """A student with the static tier inside it, where its vectors are sums: its own list hides that from a tracer."""

    def __init__(self, student: TextStudent) -> None:
        super().__init__()
        self.student, self.static = student, nn.ModuleList(student.static)

    def forward(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """Unit vectors [B, E]."""
        return self.student(ids_BT, mask_BT)


def write(model: FloatModel, out: Path, tiers: list[Tier]) -> list[str]:
    """Write text tiers and the image tower; returns the folders."""
    opset = model.manifest["text"]["graph"]["opset"]
    for tier in tiers:
        folder = out / tier
        folder.mkdir(parents=True)
        student = None if tier == "static" else model.students[tier]
        module = StaticTexts(model.static) if student is None else StudentTexts(student)
        export_floats(module.eval(), folder / "model.onnx", opset)
        if student is not None:
            served = with_table(model.folder, model.manifest, tier, model.static)
            onnx.save_model(served, str(folder / "model_int8.onnx"))
        write_tokenizer(folder, model.wordpiece, model.context_length)
    write_image(model.folder, model.manifest, out / "image")
    return [*tiers, "image"]


def write_image(folder: Path, manifest: ModelManifest, out: Path) -> None:
    """The served graph of the image tower, and how pixels are prepared for it."""
    out.mkdir(parents=True)
    image = manifest["image"]
    shutil.copyfile(folder / image["graph"]["file"]["path"], out / "model.onnx")
    weights = image["graph"].get("weights")
    if weights is not None:
        shutil.copyfile(folder / weights["file"]["path"], out / weights["name"])
    if keeps_shape(image["preprocess"]):  # the graph cuts the patches that transformers' processor makes
        write_json(out / "preprocess.json", image["preprocess"])
    else:
        write_preprocessor(out, image["preprocess"])


def own_shapes(manifest: ModelManifest) -> list[str]:
    """A paragraph on the graph's pixels, where pictures keep their shape and no file says so in a library's words."""
    recipe = manifest["image"]["preprocess"]
    side, patch = recipe["size"], recipe.get("patch")
    if patch is None:
        return []
    return [
        f"`image/model.onnx` reads pixels [B, 3, height, width] of any shape whose sides are multiples of {patch}: a picture is scaled, both sides "
        f"alike, to as many pixels as fit into {side} x {side} and each side is rounded up to such a multiple (`image/preprocess.json`; "
        f"transformers' Siglip2ImageProcessor with max_num_patches {(side // patch) ** 2} finds the same sides). Pictures of one run have one shape."
    ]


def export_floats(module: nn.Module, file: Path, opset: int) -> None:
    """A text module as float32 ONNX with standard operators."""
    ids_BT = torch.tensor([[2, 7, 8, 3], [2, 9, 3, 0]])
    # Traced with padding: without it the student leaves the mask out.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (ids_BT, (ids_BT != 0).long()),
            str(file),
            input_names=["input_ids", "attention_mask"],
            output_names=[OUTPUT],
            opset_version=opset,
            dynamic_axes={"input_ids": {0: "B", 1: "T"}, "attention_mask": {0: "B", 1: "T"}, OUTPUT: {0: "B"}},
            dynamo=False,
        )


def with_table(
    folder: Path, manifest: ModelManifest, tier: Tier, static: StaticStudent | None = None
) -> onnx.ModelProto:
    """The served graph of a tier with the rows of its int8 table in front, and the static tier's vector added behind."""
    tower = text_towers(manifest)[tier]
    served = onnx.load(str(folder / tower["graph"]["file"]["path"]))
    rows, width = tower["table"]["rows"], tower["table"]["width"]
    data = (folder / tower["table"]["file"]["path"]).read_bytes()
    values_VK = np.frombuffer(data, np.int8, rows * width).reshape(rows, width)
    nodes, weights = gather_rows("inputs_embeds", values_VK, np.frombuffer(data, "<f4", rows, rows * width))
    nodes += served.graph.node
    weight = tower.get("static_weight", 0.0)
    if weight and static is not None:
        nodes[-1].output[0] = "own"
        more_nodes, more_weights = add_static(static, weight)
        nodes, weights = nodes + more_nodes, weights + more_weights
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["B", "T"]) for name in ("input_ids", "attention_mask")
    ]
    graph = helper.make_graph(nodes, "text", inputs, served.graph.output, [*weights, *served.graph.initializer])
    made = helper.make_model(graph, opset_imports=served.opset_import, ir_version=IR_VERSION, producer_name="trainer")
    onnx.checker.check_model(made)
    return made


def gather_rows(name: str, values_VK: np.ndarray, scale_V: np.ndarray) -> tuple[list[Any], list[onnx.TensorProto]]:
    """Nodes from `input_ids` to float rows `name` [B, T, K]."""
    table, scale = f"{name}.table", f"{name}.scales"
    nodes = [
        helper.make_node("Gather", [table, "input_ids"], [f"{name}.int8"]),
        helper.make_node("Cast", [f"{name}.int8"], [f"{name}.whole"], to=TensorProto.FLOAT),
        helper.make_node("Gather", [scale, "input_ids"], [f"{name}.scale"]),
        helper.make_node("Mul", [f"{name}.whole", f"{name}.scale"], [name]),
    ]
    column_V1 = np.ascontiguousarray(scale_V.astype(np.float32)[:, None])
    return nodes, [numpy_helper.from_array(values_VK, table), numpy_helper.from_array(column_V1, scale)]


def add_static(static: StaticStudent, weight: float) -> tuple[list[Any], list[onnx.TensorProto]]:
    """Nodes from `own` [B, E] to `embedding`: both at unit length, weighted, added, at unit length again."""
    rows_VK = static.rows.weight.detach().clone().float()
    rows_VK[: len(SPECIAL_TOKENS)] = 0
    quantized, scale_V = quantize_rows(rows_VK)
    nodes, weights = gather_rows("static.rows", quantized.numpy(), scale_V.numpy())
    axis, least, factor, whole = "static.axis", "static.least", "static.factor", "static.sum"
    # The rows of padding are zero, as those of all special tokens are: no mask is needed.
    nodes.append(helper.make_node("ReduceSum", ["static.rows", axis], [whole], keepdims=0))
    if static.projection is not None:
        nodes.append(helper.make_node("MatMul", [whole, "static.projection"], ["static.projected"]))
        weights.append(numpy_helper.from_array(static.projection.detach().float().numpy(), "static.projection"))
        whole = "static.projected"
    nodes += [
        helper.make_node("ReduceL2", [whole, axis], ["static.length"], keepdims=1),
        helper.make_node("Max", ["static.length", least], ["static.divisor"]),
        helper.make_node("Div", [whole, "static.divisor"], ["static.unit"]),
        helper.make_node("Mul", ["static.unit", factor], ["static.weighted"]),
        helper.make_node("Add", ["own", "static.weighted"], ["sum"]),
        helper.make_node("ReduceL2", ["sum", axis], ["sum.length"], keepdims=1),
        helper.make_node("Div", ["sum", "sum.length"], [OUTPUT]),
    ]
    weights += [
        numpy_helper.from_array(np.array([1], np.int64), axis),
        numpy_helper.from_array(np.array(1e-12, np.float32), least),
        numpy_helper.from_array(np.array(weight, np.float32), factor),
    ]
    return nodes, weights
