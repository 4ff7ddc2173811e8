"""A tuned language model as a Hugging Face folder: LoRA merged in float32, weights in as many files as they need."""

from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import ParamWrapper

from contracts.types import SavedModel

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def save_merged(
    model: Any, tokenizer: Any, folder: Path, *, dtype: torch.dtype = torch.float32, shard_bytes: int | None = None
) -> None:
    """Write weights, configuration and tokenizer; the weights of `model` are changed on the way.

    `dtype` is that of the written weights. Above `shard_bytes` (absent: transformers' 50 GB) they become several files
    with an index.
    """
    whole = merged(model, dtype)
    whole.to(dtype).save_pretrained(folder, **({} if shard_bytes is None else {"max_shard_size": shard_bytes}))
    tokenizer.save_pretrained(folder)


def merged(model: Any, dtype: torch.dtype) -> Any:
    """The transformers model with every LoRA update added to its weight, one weight after the other.

    The sum is made in float32 and rounded once to `dtype`: in bfloat16 the rounding is as large as what was learned
    (on SmolLM2, features are off by 5.4e-3 in 1 - cosine, against 1.8e-3; tuning moved them by 5.2e-3).
    """
    if not hasattr(model, "get_base_model"):
        return model
    layers: list[Any] = [module for module in model.modules() if isinstance(module, LoraLayer)]
    with torch.no_grad():
        for layer in layers:
            weight = layer.get_param() if isinstance(layer, ParamWrapper) else layer.get_base_layer().weight
            weight.data = weight.data.float()
            for name in layer.lora_A:
                weight.data += layer.get_delta_weight(name).float()
            weight.data = weight.data.to(dtype)
    return model.unload()


def written_files(folder: Path) -> dict[str, str]:
    """The files of a saved model by name, as paths relative to the parent of `folder`; `weights` is one file or the index."""
    names = {WEIGHTS: "weights", INDEX: "weights", "config.json": "config"}
    files = sorted(file.name for file in folder.iterdir() if file.is_file())
    return {names.get(file, file): f"{folder.name}/{file}" for file in files}


def save_options(saved: SavedModel | None) -> dict[str, Any]:
    """The arguments of `save` from a recipe's `saved_model`; absent: float32, and files as transformers cuts them."""
    if saved is None:
        return {}
    return {"dtype": getattr(torch, saved["dtype"]), "shard_bytes": int(saved["shard_gigabytes"] * 1e9)}
