"""An imported image tower under the names of the library that it came from, kept beside the served graph, which has lost them.

The file is one of safetensors. Its metadata says of which `library` the tower is, how that library builds it (`config`), and under
`graph` which tensor is which weight of the graph: [weight, whether it is transposed]. Its tensors are those that the graph does not
hold as they were (a normalisation folded into the convolution before it). The graph's matrices are float16.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from safetensors import safe_open
from safetensors.torch import save_file

from contracts.types import ModelManifest

FILE = "image.names.safetensors"
Library = Literal["open_clip", "transformers"]


@dataclass(frozen=True)
class Published:
    """An image tower as its library has it: a configuration of the whole model, and the tower's tensors by their names in it."""

    library: Library
    config: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]


def write_names(published: Published, graph: Path, file: Path) -> None:
    """Write the file, after the graph. Where several weights have a tensor's value, any of them is it."""
    held = {key_of(array): name for name, array in graph_weights(graph).items()}
    found: dict[str, tuple[str, bool]] = {}
    lacking: dict[str, torch.Tensor] = {}
    for name, tensor in published.tensors.items():
        exact = tensor.detach().cpu()
        values = [exact, exact.half()] if exact.is_floating_point() else [exact]
        places = [(held.get(key_of(value.numpy())), False) for value in values]
        places += [(held.get(key_of(value.T.numpy())), True) for value in values if value.ndim == 2]
        place = next(((weight, turned) for weight, turned in places if weight is not None), None)
        if place is None:
            lacking[name] = exact.contiguous().clone()
        else:
            found[name] = place
    metadata = {
        "library": published.library,
        "config": json.dumps(published.config),
        "graph": json.dumps(found),
        "shapes": json.dumps({name: list(published.tensors[name].shape) for name in found}),
    }
    save_file(lacking, file, metadata=metadata)


def read_names(folder: Path, manifest: ModelManifest) -> Published | None:
    """The image tower of a model in its folder, with float32 weights; None where the import kept no names."""
    names = manifest["image"].get("names")
    if names is None:
        return None
    weights = graph_weights(folder / manifest["image"]["graph"]["file"]["path"])
    with safe_open(folder / names["path"], "pt") as file:
        said: dict[str, str] = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    shapes = json.loads(said["shapes"])
    for name, (weight, turned) in json.loads(said["graph"]).items():
        value = torch.from_numpy(np.array(weights[weight]))
        if turned:
            value = value.reshape(shapes[name][::-1]).T
        tensors[name] = value.reshape(shapes[name])
    floats = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    return Published(cast(Library, said["library"]), json.loads(said["config"]), floats)


def graph_weights(graph: Path) -> dict[str, np.ndarray]:
    """The weights in a graph as they are stored, and what stands in it as a constant."""
    whole = onnx.load(str(graph)).graph
    values = [(node.output[0], node.attribute[0]) for node in whole.node if node.op_type == "Constant"]
    constants = {name: value.t for name, value in values if value.name == "value"}
    tensors = constants | {tensor.name: tensor for tensor in whole.initializer}
    return {name: numpy_helper.to_array(tensor) for name, tensor in tensors.items()}


def key_of(array: np.ndarray) -> tuple[str, bytes]:
    """Type and content: two weights of the same numbers in the same order are the same, whatever their shapes."""
    return str(array.dtype), hashlib.sha256(np.ascontiguousarray(array).tobytes()).digest()
