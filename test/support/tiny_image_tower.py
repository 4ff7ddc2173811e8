"""Writes tiny-image-tower.onnx: `pixels` [B, 3, 16, 16] to `embedding` [B, 8], small enough to recompute by hand.

The mean of every 4 x 4 tile gives 48 numbers; embedding = tiles @ W with W[i, j] = sin(8 i + j + 1), at unit length.
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

SIZE, TILE, DIM = 16, 4, 8


def main() -> None:
    tiles = 3 * (SIZE // TILE) ** 2
    weight_ij = np.sin(np.arange(1, tiles * DIM + 1, dtype=np.float64)).reshape(tiles, DIM)
    nodes = [
        helper.make_node("AveragePool", ["pixels"], ["pooled"], kernel_shape=[TILE] * 2, strides=[TILE] * 2),
        helper.make_node("Flatten", ["pooled"], ["tiles"]),
        helper.make_node("MatMul", ["tiles", "weight"], ["raw"]),
        helper.make_node("LpNormalization", ["raw"], ["embedding"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny_image_tower",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["B", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", DIM])],
        [numpy_helper.from_array(weight_ij.astype(np.float32), "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model, full_check=True)
    save(model, str(Path(__file__).with_name("tiny-image-tower.onnx")))


if __name__ == "__main__":
    main()
