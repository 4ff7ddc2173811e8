"""LLM2CLIP's adapters as they are published: inside of a transformers folder, of a checkpoint of its trainer, or alone.

The same modules lie below `text_adapter.adaptor.` (the released transformers folders), `text.text_adaptor.` (the trainer's
own checkpoints) or `text.text_proj.text_adaptor.` (its SigLIP2 configuration): blocks of a LayerNorm `ln` and a perceptron
`fn`, then a LayerNorm and a linear layer, numbered on. They were trained on features of length one (`adapter.input_length`).

Shapes: D width of the features, E joint dimensions.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from engine.folders.weights import placed

NAME = re.compile(r"^(?:.*\.)?(?:text_adaptor|adaptor)\.(\d+)\.(.+)$")
OF_BLOCK = {"ln": "0", "fn.0": "1", "fn.3": "4"}  # theirs, to the numbers in a block of towers/two_towers.Adapter
LAYOUT = "text_adapter.adaptor.N… as in the released folders of LLM2CLIP, or text.text_adaptor.N… as its trainer saves"


@dataclass(frozen=True)
class PublishedAdapter:
    """Weights under the names of `towers/two_towers.Adapter`, and the shape that they were made in."""

    weights: dict[str, torch.Tensor]
    width: int
    embed_dim: int
    blocks: int
    expansion: int


def read_published_adapter(path: Path) -> PublishedAdapter:
    """The adapter in a folder or a file, bit for bit. Raises ValueError for one that has none, or only a part of it."""
    source = Path(placed(str(path)))
    parts: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in _tensors(source).items():
        found = NAME.match(name)
        assert found is not None
        parts.setdefault(int(found[1]), {})[found[2]] = tensor
    numbers = sorted(parts)
    if len(numbers) < 2 or numbers != list(range(len(numbers))):
        raise ValueError(f"{source} holds no whole adapter: layers {numbers or 'none'}; expected are {LAYOUT}")
    *blocks, norm, projection = (parts[number] for number in numbers)
    weights: dict[str, torch.Tensor] = {}
    for number, block in enumerate(blocks):
        for theirs, ours in OF_BLOCK.items():
            for kind in ("weight", "bias"):
                weights[f"blocks.{number}.{ours}.{kind}"] = _take(block, f"{theirs}.{kind}", source, number)
    for name, part in (("norm", norm), ("projection", projection)):
        for kind in ("weight", "bias"):
            weights[f"{name}.{kind}"] = _take(part, kind, source, len(blocks) + (name == "projection"))
    left = [f"{number}.{name}" for number in numbers for name in parts[number]]
    if left:
        raise ValueError(f"{source}: {left[0]} is no part of LLM2CLIP's adapter")
    embed_dim, width = weights["projection.weight"].shape
    expansion = len(weights["blocks.0.1.weight"]) // width if blocks else 1
    return PublishedAdapter(weights, width, embed_dim, len(blocks), expansion)


def _take(part: dict[str, torch.Tensor], name: str, source: Path, number: int) -> torch.Tensor:
    if name not in part:
        raise ValueError(f"{source}: layer {number} of the adapter lacks {name}; expected are {LAYOUT}")
    return part.pop(name)


def _tensors(source: Path) -> dict[str, torch.Tensor]:
    """Those of an adapter, by name; of large files nothing else is read."""
    files = [source] if source.is_file() else _files(source)
    found: dict[str, torch.Tensor] = {}
    for file in files:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as opened:
                found |= {name: opened.get_tensor(name) for name in opened.keys() if NAME.match(name)}  # noqa: SIM118
        else:
            loaded: Any = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
            for key in ("state_dict", "module"):  # of open_clip's trainer, and of DeepSpeed
                loaded = loaded.get(key, loaded)
            found |= {name: tensor for name, tensor in loaded.items() if NAME.match(name)}
    return found


def _files(folder: Path) -> list[Path]:
    """The files of weights of a transformers folder."""
    for index in (folder / "model.safetensors.index.json", folder / "pytorch_model.bin.index.json"):
        if index.is_file():
            names = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
            return sorted({folder / file for name, file in names.items() if NAME.match(name)})
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return [folder / name]
    raise FileNotFoundError(f"inherit.adapter_from: {folder} has no model.safetensors and no pytorch_model.bin")
