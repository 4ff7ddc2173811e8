"""Writes an image graph for pictures of any shape, whose vector is the mean of each colour: `python mean_graph.py FILE`."""

import sys

import onnx
from onnx import TensorProto, helper

pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["B", 3, "H", "W"])
embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", 3])
nodes = [
    helper.make_node("GlobalAveragePool", ["pixels"], ["means"]),
    helper.make_node("Flatten", ["means"], ["embedding"]),
]
graph = helper.make_graph(nodes, "means", [pixels], [embedding])
onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), sys.argv[1])
