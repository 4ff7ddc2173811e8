"""The exported image graph in one thread: its products, how fast a core multiplies, and what engines take for it.

    python -m bench.image_graph [MODEL] [ROUNDS]

In turns and by CPU time, medians of rounds after one that is not counted: ONNX Runtime with the number of pictures open, as it is
exported, and fixed to one, as our encoder opens it; OpenVINO where it is installed (`pip install openvino==2026.4.0`), in float32,
in bfloat16, and with the operands of pointwise convolutions alone in bfloat16. Cosines are to the first.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from PIL import Image

Run = Callable[[np.ndarray], np.ndarray]
ROOT = Path(__file__).parents[2]
BATCH = "B"  # as the exporter names the number of pictures


def options(**sizes: int) -> onnxruntime.SessionOptions:
    """One thread; dimensions by name, where they are fixed."""
    found = onnxruntime.SessionOptions()
    found.intra_op_num_threads = 1
    found.log_severity_level = 3
    for name, size in sizes.items():
        found.add_free_dimension_override_by_name(name, size)
    return found


def onnx_runtime(graph: Path, found: onnxruntime.SessionOptions) -> Run:
    """Pictures [N, 3, S, S] to vectors [N, E], one a run."""
    session = onnxruntime.InferenceSession(str(graph), found, providers=["CPUExecutionProvider"])
    return lambda pictures: np.concatenate(
        [np.asarray(session.run(None, {"pixels": one[None]})[0]) for one in pictures]
    )


def open_vino(graph: Path, precision: str, pointwise: str | None = None) -> Run:
    """The same in OpenVINO; `pointwise`: what operands of those convolutions are rounded to."""
    import openvino as ov  # pyright: ignore[reportMissingImports] - of the run alone
    from openvino import opset8 as ops  # pyright: ignore[reportMissingImports]

    core = ov.Core()
    model = core.read_model(str(graph))
    model.reshape({0: [1, *list(model.input(0).partial_shape)[1:]]})
    for op in model.get_ordered_ops() if pointwise else []:
        if op.get_type_name() != "Convolution" or list(op.input(1).get_shape())[2] != 1:
            continue
        readers = list(op.output(0).get_target_inputs())
        for operand in (op.input(0), op.input(1)):
            operand.replace_source_output(ops.convert(operand.get_source_output(), pointwise).output(0))
        op.validate_and_infer_types()
        widened = ops.convert(op.output(0), "f32").output(0)
        for reader in readers:
            reader.replace_source_output(widened)
    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": precision}
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda pictures: np.concatenate([request.infer({0: one[None]})[0].copy() for one in pictures])


def multiply_adds(graph: Path, folder: Path) -> dict[str, int]:
    """Of one picture, by kind of convolution: on the graph as ONNX Runtime folds it, where every shape is a number."""
    found = options(**{BATCH: 1})
    found.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    found.optimized_model_filepath = str(folder / "folded.onnx")
    onnxruntime.InferenceSession(str(graph), found, providers=["CPUExecutionProvider"])
    model: Any = onnx.shape_inference.infer_shapes(onnx.load(found.optimized_model_filepath))
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in model.graph.value_info
    }
    kernels = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    sums = {"pointwise": 0, "depthwise": 0, "other": 0}
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        kernel = kernels[node.input[1]]
        kind = "pointwise" if kernel[2] == 1 else "depthwise" if kernel[1] == 1 else "other"
        sums[kind] += int(np.prod(shapes[node.output[0]])) * int(np.prod(kernel[1:]))
    return sums


def product_rate() -> float:
    """FLOP a second of a large float32 product in one thread: what a core comes to where nothing is in its way."""
    a = torch.randn(1024, 1024)
    seconds = []
    for _ in range(12):
        before = time.process_time()
        torch.mm(a, a)
        seconds.append(time.process_time() - before)
    return 2 * 1024**3 / min(seconds)


def main() -> None:
    """Print one JSON document."""
    torch.set_num_threads(1)
    graph = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "api/model") / "image.onnx"
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    size = onnx.load(str(graph)).graph.input[0].type.tensor_type.shape.dim[2].dim_value
    files = sorted((ROOT / "api/playground/samples").glob("*.jpg"))
    pictures = np.stack(
        [
            np.asarray(Image.open(file).convert("RGB").resize((size, size)), np.float32).transpose(2, 0, 1)
            for file in files
        ]
    )
    pictures = (pictures / 255 - 0.5) / 0.5
    arms = {"onnxruntime": onnx_runtime(graph, options()), "one picture": onnx_runtime(graph, options(**{BATCH: 1}))}
    try:
        arms |= {
            "openvino": open_vino(graph, "f32"),
            "openvino bfloat16": open_vino(graph, "bf16"),
            "openvino pointwise bfloat16": open_vino(graph, "f32", "bf16"),
        }
    except ImportError:
        print("OpenVINO is not installed, and left out", file=sys.stderr)
    taken: dict[str, list[float]] = {name: [] for name in arms}
    vectors: dict[str, np.ndarray] = {}
    for number in range(rounds + 1):
        for name, run in arms.items():
            before = time.process_time()
            vectors[name] = run(pictures)
            if number > 0:
                taken[name].append(1000 * (time.process_time() - before) / len(pictures))
    with tempfile.TemporaryDirectory() as folder:
        products = multiply_adds(graph, Path(folder))
    rate, flop = product_rate(), 2 * sum(products.values())
    first = vectors["onnxruntime"]
    report = {
        "multiply_adds": products,
        "product_gflop_a_second": round(rate / 1e9, 1),
        "ms": {name: round(statistics.median(ms), 2) for name, ms in taken.items()},
        "share_of_product": {name: round(1000 * flop / rate / statistics.median(ms), 2) for name, ms in taken.items()},
        "least_cosine": {name: round(float((found * first).sum(1).min()), 6) for name, found in vectors.items()},
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
