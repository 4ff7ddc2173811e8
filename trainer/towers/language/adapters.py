"""LoRA adapters as others publish them (peft's layout), merged into a model: LLM2Vec is a base and two of them.

An adapter folder holds `adapter_config.json` and `adapter_model.safetensors`. Everything is added up in float32 and
rounded once.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from towers.language.structure import base_decoder

PREFIX = "base_model.model."
KINDS = (".lora_A.weight", ".lora_B.weight")
# Settings that change what an adapter means, and the values of a plain one.
PLAIN: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "use_dora": (False, None),
    "bias": ("none", None),
    "modules_to_save": (None, []),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "layer_replication": (None,),
    "target_parameters": (None, []),
}


def merge_adapters(model: Any, folders: Sequence[Path]) -> None:
    """Add the updates of all adapters to the weights, in place: W + sum of alpha / rank * B A."""
    updates: dict[nn.Module, list[tuple[torch.Tensor, torch.Tensor, float]]] = {}
    for folder in folders:
        for module, factors in _read(folder, model):
            updates.setdefault(module, []).append(factors)
    with torch.no_grad():
        for module, factors in updates.items():
            weight: Any = module.weight
            total = weight.float()
            for a_RI, b_OR, scale in factors:
                delta_OI = scale * (b_OR.float() @ a_RI.float())
                total = total + (delta_OI.T if isinstance(module, Conv1D) else delta_OI).to(total.device)
            weight.copy_(total)


def _read(folder: Path, model: Any) -> list[tuple[nn.Module, tuple[torch.Tensor, torch.Tensor, float]]]:
    settings_file, weights = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    if not settings_file.exists() or not weights.exists():
        raise FileNotFoundError(
            f"language_model.adapters: {folder} has to hold adapter_config.json and adapter_model.safetensors"
        )
    settings = json.loads(settings_file.read_text(encoding="utf-8"))
    for key, plain in PLAIN.items():
        if settings.get(key, plain[0]) not in plain:
            raise ValueError(
                f"language_model.adapters: {folder.name} has {key} {settings[key]!r}; only plain LoRA can be merged here: "
                "merge it with peft and name the merged folder"
            )
    tensors = load_file(weights)
    found = []
    for first in sorted(name for name in tensors if name.endswith(KINDS[0])):
        path = first.removesuffix(KINDS[0])
        a_RI, b_OR = tensors.pop(first), tensors.pop(path + KINDS[1])
        root = math.sqrt(len(a_RI)) if settings.get("use_rslora") else len(a_RI)
        found.append((_module(model, path, folder), (a_RI, b_OR, settings["lora_alpha"] / root)))
    if tensors or not found:
        rest = ", ".join(list(tensors)[:3]) or "no tensors"
        raise ValueError(f"language_model.adapters: {folder.name} has {rest}, which are no LoRA factors")
    return found


def _module(model: Any, path: str, folder: Path) -> nn.Module:
    """The linear layer of a factor. LLM2Vec trains the stack of blocks alone, so its names start below a causal LM's."""
    inner = path.removeprefix(PREFIX)
    for root in (model, base_decoder(model)):
        try:
            return root.get_submodule(inner)
        except AttributeError:
            continue
    raise ValueError(
        f"language_model.adapters: {folder.name} is for {inner}, which {model.config.model_type} does not have: "
        "an adapter belongs to the base model that it was trained on"
    )
