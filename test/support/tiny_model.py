"""Writes a complete model of random weights in the published layout: for tests of the code around a model.

    python test/support/tiny_model.py FOLDER

Two layers of width 32, 64 dimensions, the vocabulary of the tokenizer vectors, context length 32. Same seed, same bytes.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

LAYERS, WIDTH, EMBED_DIM, CONTEXT = 2, 32, 64, 32
SIZE = 32
OPSET = 17
VOCABULARY = Path(__file__).parents[2] / "contracts/vectors/tokenizer/vocabulary.txt"
random = np.random.default_rng(7)


class Graph:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, value: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def op(self, kind: str, *inputs: str, output: str | None = None, **attributes: object) -> str:
        name = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def linear(self, x: str, rows: int, columns: int) -> str:
        matrix = (random.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32)
        return self.op("MatMul", x, self.weight(matrix))

    def unit(self, x: str) -> str:
        norm = self.op("ReduceL2", x, axes=[1], keepdims=1)
        return self.op("Div", x, norm, output="embedding")

    def model(self, inputs: list[onnx.ValueInfoProto]) -> onnx.ModelProto:
        output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", EMBED_DIM])
        graph = helper.make_graph(self.nodes, "tiny", inputs, [output], self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)


def text_model() -> onnx.ModelProto:
    graph = Graph()
    x = "inputs_embeds"
    mask = graph.op("Cast", "attention_mask", to=TensorProto.FLOAT)
    column = graph.op("Unsqueeze", mask, graph.weight(np.array([2], np.int64)))
    for _ in range(LAYERS):
        # Mixing through the mean of the sequence stands in for attention: vectors depend on every token.
        total = graph.op("ReduceSum", graph.op("Mul", x, column), graph.weight(np.array([1], np.int64)), keepdims=1)
        mixed = graph.op("Add", x, graph.linear(total, WIDTH, WIDTH))
        x = graph.op("Add", x, graph.op("Tanh", graph.linear(mixed, WIDTH, WIDTH)))
    pooled = graph.op("ReduceSum", graph.op("Mul", x, column), graph.weight(np.array([1], np.int64)), keepdims=0)
    graph.unit(graph.linear(pooled, WIDTH, EMBED_DIM))
    inputs = [
        helper.make_tensor_value_info("inputs_embeds", TensorProto.FLOAT, ["B", "T", WIDTH]),
        helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["B", "T"]),
    ]
    return graph.model(inputs)


def image_model() -> onnx.ModelProto:
    graph = Graph()
    filters = (random.standard_normal((16, 3, 8, 8)) / 14).astype(np.float32)
    convolved = graph.op("Conv", "pixels", graph.weight(filters), strides=[8, 8])
    flat = graph.op("Flatten", graph.op("Tanh", convolved), axis=1)
    graph.unit(graph.linear(flat, 16 * (SIZE // 8) ** 2, EMBED_DIM))
    return graph.model([helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["B", 3, SIZE, SIZE])])


def table(rows: int, width: int) -> tuple[bytes, np.ndarray]:
    values = random.integers(-127, 128, (rows, width), dtype=np.int8)
    scales = random.uniform(0.005, 0.01, rows).astype("<f4")
    return values.tobytes() + scales.tobytes(), values * scales[:, None]


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    pieces = VOCABULARY.read_text(encoding="utf-8").splitlines()
    for stale in folder.glob("text.*"):
        stale.unlink()
    onnx.save(
        text_model(), folder / "text.onnx", save_as_external_data=True, location="text.weights.bin", size_threshold=512
    )
    onnx.save(image_model(), folder / "image.onnx")
    text_table, text_rows = table(len(pieces), WIDTH)
    static_table, static_rows = table(len(pieces), EMBED_DIM)
    (folder / "text.table.bin").write_bytes(text_table)
    (folder / "static.table.bin").write_bytes(static_table)
    (folder / "vocabulary.txt").write_bytes(VOCABULARY.read_bytes())

    # ---------------------------------------------------------------- golden vectors, by ONNX Runtime and NumPy
    text = "a dog"
    ids = [pieces.index(word) for word in text.split()]
    session = onnxruntime.InferenceSession(str(folder / "text.onnx"), providers=["CPUExecutionProvider"])
    embeds = text_rows[[pieces.index("[CLS]"), *ids, pieces.index("[SEP]")]][None].astype(np.float32)
    mask = np.ones(embeds.shape[:2], np.int64)
    student = session.run(None, {"inputs_embeds": embeds, "attention_mask": mask})[0][0]
    mean = static_rows[ids].mean(0)

    def artefact(name: str) -> dict[str, object]:
        data = (folder / name).read_bytes()
        return {"path": name, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}

    zero = {"scale": 1.0, "bias": 0.0}
    digest = "sha256:" + hashlib.sha256(b"tiny").hexdigest()
    manifest = {
        "name": "tiny",
        "version": "1",
        "created_at": "2026-11-24T00:00:00Z",
        "space_id": digest,
        "embed_dim": EMBED_DIM,
        "matryoshka_dims": [64, 32, 16],
        "text": {
            "tokenizer": {
                "type": "wordpiece",
                "vocabulary": artefact("vocabulary.txt"),
                "vocabulary_size": len(pieces),
                "pad_id": 0,
                "unk_id": 1,
                "cls_id": 2,
                "sep_id": 3,
            },
            "context_length": CONTEXT,
            "table": {"file": artefact("text.table.bin"), "rows": len(pieces), "width": WIDTH},
            "graph": {
                "file": artefact("text.onnx"),
                "weights": {"name": "text.weights.bin", "file": artefact("text.weights.bin")},
                "opset": OPSET,
            },
        },
        "static": {"table": {"file": artefact("static.table.bin"), "rows": len(pieces), "width": EMBED_DIM}},
        "image": {
            "preprocess": {
                "resize_mode": "squash",
                "size": SIZE,
                "interpolation": "bicubic",
                "crop": "none",
                "mean": [0.5, 0.5, 0.5],
                "std": [0.5, 0.5, 0.5],
                "color": "rgb",
            },
            "graph": {"file": artefact("image.onnx"), "opset": OPSET},
        },
        "calibration": {"text_image": zero, "text_text": {"scale": 5.0, "bias": -2.0}, "image_image": zero},
        "golden": [
            {"text": text, "tier": "student", "embedding": student.tolist(), "min_cosine": 0.999},
            {"text": text, "tier": "static", "embedding": (mean / np.linalg.norm(mean)).tolist(), "min_cosine": 0.9999},
        ],
        "metrics": {},
        "lineage": {"recipe": "tiny_model.py", "code": digest, "parents": []},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
