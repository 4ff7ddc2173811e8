"""What the nodes of an exported image graph compute, in PyTorch: as many as convolutional towers and their heads have."""

from collections.abc import Callable
from typing import Any

import onnx
import torch
from onnx import helper
from torch.nn import functional as F

Inputs = list[Any]
Attributes = dict[str, Any]


def attributes_of(node: onnx.NodeProto) -> Attributes:
    """Its attributes by name."""
    return {
        each.name: value.decode() if isinstance(value := helper.get_attribute_value(each), bytes) else value
        for each in node.attribute
    }


def conv(inputs: Inputs, attributes: Attributes) -> torch.Tensor:
    """Convolution over two dimensions with explicit padding."""
    x, weight, *bias = inputs
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    if (top, left) != (bottom, right):
        x, top, left = F.pad(x, (left, right, top, bottom)), 0, 0
    return F.conv2d(
        x,
        weight,
        bias[0] if bias else None,
        attributes.get("strides", [1, 1]),
        (top, left),
        attributes.get("dilations", [1, 1]),
        attributes.get("group", 1),
    )


def pad(inputs: Inputs, attributes: Attributes) -> torch.Tensor:
    """Padding with a constant; ONNX lists all starts, then all ends."""
    x, pads, value = inputs[0], [int(n) for n in inputs[1]], inputs[2] if len(inputs) > 2 else None
    half = len(pads) // 2
    order = [n for axis in reversed(range(half)) for n in (pads[axis], pads[half + axis])]
    return F.pad(x, order, attributes.get("mode", "constant"), float(value) if value is not None else 0.0)


def gemm(inputs: Inputs, attributes: Attributes) -> torch.Tensor:
    """a @ b + c."""
    a, b, *c = inputs
    a = a.T if attributes.get("transA") else a
    product = attributes.get("alpha", 1.0) * (a @ (b.T if attributes.get("transB") else b))
    return product + attributes.get("beta", 1.0) * c[0] if c else product


def clip(inputs: Inputs, _: Attributes) -> torch.Tensor:
    """Between two bounds, either of which may be absent."""
    low, high = ([*inputs[1:], None, None])[:2]
    return inputs[0].clamp(None if low is None else float(low), None if high is None else float(high))


def reduce_mean(inputs: Inputs, attributes: Attributes) -> torch.Tensor:
    """Over axes that are an attribute, or an input in newer operator sets."""
    axes = [int(n) for n in inputs[1]] if len(inputs) > 1 else list(attributes["axes"])
    return inputs[0].mean(axes, keepdim=bool(attributes.get("keepdims", 1)))


def layer_norm(inputs: Inputs, attributes: Attributes) -> torch.Tensor:
    """Over the last axis."""
    x, weight, *bias = inputs
    return F.layer_norm(x, weight.shape, weight, bias[0] if bias else None, attributes.get("epsilon", 1e-5))


NODES: dict[str, Callable[[Inputs, Attributes], torch.Tensor]] = {
    "Conv": conv,
    "Pad": pad,
    "Gemm": gemm,
    "Clip": clip,
    "ReduceMean": reduce_mean,
    "LayerNormalization": layer_norm,
    "GlobalAveragePool": lambda inputs, _: inputs[0].mean((2, 3), keepdim=True),
    "Flatten": lambda inputs, attributes: inputs[0].flatten(attributes.get("axis", 1)),
    "MatMul": lambda inputs, _: inputs[0] @ inputs[1],
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "Sub": lambda inputs, _: inputs[0] - inputs[1],
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "Div": lambda inputs, _: inputs[0] / inputs[1],
    "Relu": lambda inputs, _: inputs[0].relu(),
    "Tanh": lambda inputs, _: inputs[0].tanh(),
    "Sigmoid": lambda inputs, _: inputs[0].sigmoid(),
    "HardSwish": lambda inputs, _: F.hardswish(inputs[0]),
    "Erf": lambda inputs, _: inputs[0].erf(),
    "Identity": lambda inputs, _: inputs[0],
    # Exported towers cast between floats only; the tail computes in the precision of its input.
    "Cast": lambda inputs, _: inputs[0],
}
