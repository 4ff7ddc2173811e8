"""Writes the tiny image tower by other names for the number of pictures, and with its weights beside it; prints vectors.

    python test/api/encoder/image_graphs.py TOWER PIXELS FOLDER

PIXELS: float32, pictures of [3, 16, 16]. Per graph a line: its file, its file of weights or null, and the vectors that
ONNX Runtime gives for the pictures in one run.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

NAMES = ["B", "n", "batch", "a name of more bytes than a number has", 1]

tower, pixels, folder = (Path(word) for word in sys.argv[1:])
pictures = np.fromfile(pixels, np.float32).reshape(-1, 3, 16, 16)


def write(name: str | int, stem: str, weights: str | None) -> None:
    """One graph; a number stands for a graph that is fixed already."""
    model = onnx.load(str(tower))
    for value in (model.graph.input[0], model.graph.output[0]):
        size = value.type.tensor_type.shape.dim[0]
        if isinstance(name, int):
            size.dim_value = name
        else:
            size.dim_param = name
    file = folder / f"{stem}.onnx"
    outside = {"save_as_external_data": True, "location": weights, "size_threshold": 0} if weights else {}
    onnx.save_model(model, str(file), **outside)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    batches = [pictures] if isinstance(name, str) else [picture[None] for picture in pictures]
    vectors = np.concatenate([session.run(["embedding"], {"pixels": batch})[0] for batch in batches])
    print(json.dumps({"name": name, "file": file.name, "weights": weights, "vectors": vectors.tolist()}))


for number, name in enumerate(NAMES):
    write(name, str(number), None)
write("B", "outside", "outside.bin")
