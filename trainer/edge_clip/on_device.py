"""The served computation in PyTorch, for devices that ONNX Runtime is not built for here: many texts or images at a time.

Servers run one text after the other, because activations are rounded by the range of a run: `DynamicQuantizeMatMul` finds the
smallest and the largest value of at most `partition.rows` rows. Here the range is found for each text, and for each part of
it that is a run there, so that a text's vector does not depend on its neighbours either.

Shapes: B texts, T tokens, C runs of R tokens, D width, E joint dimensions.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn
from torch.nn import functional as F

from contracts.types import ModelManifest, Tier
from towers.exported_files import text_towers
from towers.from_model import INPUT, OUTPUT, GraphTail, ImageGraph, student_from_graph
from towers.onnx_nodes import NODES
from towers.served_text import EmbedTexts, ServedStatic, table_of
from towers.student.model import Block, Linear, TextStudent
from towers.student.rounding import quantize_rows
from towers.token_batches import padded
from towers.wordpiece import WordPiece, with_special_tokens

QUANTISED = ("qkv", "out", "up", "down")


class Runs:
    """Which tokens of the current batch are real, and how many of them a server computes in one run (None: all)."""

    def __init__(self, rows: int | None) -> None:
        self.rows = rows
        self.mask_BT = torch.ones(0, 0, dtype=torch.bool)

    def ranges(self, x_BTD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The smallest and largest value of the run of each token, 0 included: [B, T, 1] each."""
        B, T, _ = x_BTD.shape
        R = self.rows or T
        C = -(-T // R)
        # 0 belongs to every range, so that padding may stand for itself.
        known_BTD = x_BTD * self.mask_BT[..., None]
        low_BT, high_BT = known_BTD.amin(-1).clamp(max=0), known_BTD.amax(-1).clamp(min=0)
        parts = [F.pad(side_BT, (0, C * R - T)).view(B, C, R) for side_BT in (low_BT, high_BT)]
        ends = (parts[0].amin(-1), parts[1].amax(-1))
        low_BT1, high_BT1 = (end_BC.repeat_interleave(R, 1)[:, :T, None] for end_BC in ends)
        return low_BT1, high_BT1


class ServedLinear(nn.Module):
    """A linear layer as `DynamicQuantizeMatMul` computes it: activations in 256 levels of their run, int8 weights."""

    weight_OI: torch.Tensor
    bias_O: torch.Tensor

    def __init__(self, layer: Linear, runs: Runs) -> None:
        super().__init__()
        self.runs = runs
        quantized, scale_O = quantize_rows(layer.weight.detach().float())
        self.register_buffer("weight_OI", quantized * scale_O[:, None])
        self.register_buffer("bias_O", layer.bias.detach().clone())

    def forward(self, x_BTD: torch.Tensor) -> torch.Tensor:
        """[B, T, O] of [B, T, D]."""
        low, high = self.runs.ranges(x_BTD)
        scale = ((high - low) / 255).clamp(min=1e-12)
        zero = (-low / scale).round()
        rounded = (((x_BTD / scale).round() + zero).clamp(0, 255) - zero) * scale
        return F.linear(rounded, self.weight_OI, self.bias_O)


class TextsOnDevice:
    """A transformer of a model with the served rounding, on a device."""

    def __init__(self, student: TextStudent, rows: int | None, device: torch.device) -> None:
        self.runs = Runs(rows)
        for block in student.blocks:
            assert isinstance(block, Block)
            for name in QUANTISED:
                setattr(block, name, ServedLinear(getattr(block, name), self.runs))
        self.student, self.device = student.to(device).eval(), device

    @torch.no_grad()
    def embed(self, ids: Sequence[list[int]]) -> np.ndarray:
        """Unit vectors [N, E] of ids with special tokens, all at once."""
        ids_BT, mask_BT = padded(ids, self.device)
        self.runs.mask_BT = mask_BT.bool()
        return self.student(ids_BT, mask_BT).cpu().numpy()


def texts_on_device(
    folder: Path, manifest: ModelManifest, device: torch.device, served: dict[Tier, EmbedTexts]
) -> dict[Tier, EmbedTexts]:
    """The tiers of a model with their transformers on a device; the static tier stays as it is: it sums rows of a table.

    The text tower of an imported model stays in ONNX Runtime, too.
    """
    text = manifest["text"]
    if "static" not in manifest:
        return served  # an imported tower: its graph has other nodes than the student's
    wordpiece = WordPiece.read(folder / text["tokenizer"]["vocabulary"]["path"])
    static, context = ServedStatic(folder, manifest["static"]), text["context_length"]

    def opened(tier: Tier) -> EmbedTexts:
        tower = text_towers(manifest)[tier]
        partition, weight = tower.get("partition"), tower.get("static_weight", 0.0)
        # Without a static weight: the sum is made below, of vectors that both are rounded as servers round them.
        student = student_from_graph(folder, tower["graph"]["file"]["path"], table_of(folder, tower["table"]), [])
        transformer = TextsOnDevice(student, None if partition is None else partition["rows"], device)

        def embed(texts: Sequence[str]) -> np.ndarray:
            ids = [row[: context - 2] for row in wordpiece.tokens(texts)]
            whole_NE = transformer.embed([with_special_tokens(row, context) for row in ids])
            if not weight:
                return whole_NE
            sum_NE = whole_NE + np.float32(weight) * static.embed(ids)
            return sum_NE / np.linalg.norm(sum_NE, axis=1, keepdims=True)

        return embed

    return {tier: embed if tier == "static" else opened(tier) for tier, embed in served.items()}


class ImageOnDevice:
    """The image tower's graph as a PyTorch module on a device.

    A graph with nodes that `towers/onnx_nodes.py` does not have (transformers) runs in ONNX Runtime instead: on the GPU where its
    CUDA build is installed (`onnxruntime-gpu`), else on the CPU with a warning.
    """

    def __init__(self, file: Path, device: torch.device) -> None:
        self.device, self.session = device, None
        graph = ImageGraph(file)
        reason = unknown_nodes(graph)
        if reason == "":
            try:
                self.module = GraphTail(graph, INPUT).to(device).eval()
                # Constants of the graph are no parameters, which `to` would move.
                constants = self.module.constants
                for name, value in constants.items():
                    constants[name] = None if value is None else value.to(device)
                return
            except ValueError as error:  # a shape that it computes from the size of the batch
                reason = str(error)
        wanted = ["CUDAExecutionProvider"] if device.type == "cuda" else []
        known = onnxruntime.get_available_providers()
        providers = [*(name for name in wanted if name in known), "CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(str(file), providers=providers)
        if len(providers) <= len(wanted):
            warnings.warn(
                f"the image tower is not computed in PyTorch here ({reason}): images are embedded on the CPU. The package "
                "onnxruntime-gpu in place of onnxruntime embeds them on the GPU",
                stacklevel=4,
            )

    @torch.no_grad()
    def __call__(self, pixels_B3SS: np.ndarray) -> np.ndarray:
        """Unit vectors [B, E]."""
        if self.session is not None:
            return np.asarray(self.session.run([OUTPUT], {INPUT: pixels_B3SS})[0])
        return self.module(torch.from_numpy(pixels_B3SS).to(self.device)).cpu().numpy()


def unknown_nodes(graph: ImageGraph) -> str:
    """Kinds of nodes between the pixels and the head that PyTorch has no function for here, with commas; empty: none."""
    moving = graph.depends_on(INPUT)
    end = next(at for at, node in enumerate(graph.nodes) if node.output[0] == graph.head.output[0])
    kinds = {node.op_type for node in graph.nodes[: end + 1] if node.output[0] in moving}
    return ", ".join(sorted(kinds - NODES.keys()))
