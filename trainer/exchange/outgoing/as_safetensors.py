"""Plain tensors: every weight of a model in one safetensors file, with a document that says what they are.

`text.TIER.*` are the student's own names (towers/student/model.py), `text.static.*` the static tier's, `image.*` the image tower's: of the
run of `clip` where one was given, else of the served graph, whose names are those of its nodes.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from contracts.types import Tier
from exchange.outgoing.floats import FloatModel
from exchange.outgoing.tokenizer_files import write_json, write_tokenizer
from towers.from_model import ImageGraph


def write(model: FloatModel, out: Path, tiers: list[Tier]) -> list[str]:
    """Write model.safetensors, config.json and the tokenizer; returns their names."""
    tensors: dict[str, torch.Tensor] = {}
    shapes: dict[str, Any] = {}
    for tier in tiers:
        if tier == "static":
            tensors["text.static.rows"] = model.static.rows.weight
            if model.static.projection is not None:
                tensors["text.static.projection"] = model.static.projection
            continue
        student = model.students[tier]
        shapes[tier] = vars(student.shape)
        tensors |= {f"text.{tier}.{name}": value for name, value in student.state_dict().items()}
    if model.image_tower is not None:
        tensors |= {f"image.{name}": value for name, value in model.image_tower.state_dict().items()}
    else:
        tensors |= {f"image.{name}": value for name, value in graph_weights(model).items()}
    out.mkdir(parents=True, exist_ok=True)
    kept = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    save_file(kept, out / "model.safetensors", metadata={"format": "pt"})
    about = {
        "name": model.manifest["name"],
        "version": model.manifest["version"],
        "embed_dim": model.manifest["embed_dim"],
        "matryoshka_dims": model.manifest["matryoshka_dims"],
        "text": shapes,
        "image": {"backbone": model.backbone, "preprocess": model.manifest["image"]["preprocess"]},
    }
    write_json(out / "config.json", about)
    write_tokenizer(out, model.wordpiece, model.context_length)
    return ["model.safetensors", "config.json", "tokenizer.json"]


def graph_weights(model: FloatModel) -> dict[str, torch.Tensor]:
    """Weights of the served image graph as float32, by the names of the graph."""
    graph = ImageGraph(model.folder / model.manifest["image"]["graph"]["file"]["path"])
    narrow = {name for node in graph.nodes if node.op_type in {"Cast", "DequantizeLinear"} for name in node.input}
    names = [name for name in graph.stored if name not in narrow]
    names += [node.output[0] for node in graph.nodes if narrow.intersection(node.input)]
    found = {name: graph.weight(name) for name in names}
    return {
        name: torch.from_numpy(value.copy())
        for name, value in found.items()
        if value is not None and value.dtype.name == "float32"
    }
