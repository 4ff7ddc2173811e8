"""LoRA (Hu et al. 2021, 2106.09685) on every matrix of every block, whatever a family calls them."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from peft.helpers import rescale_adapter_scale
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers.pytorch_utils import Conv1D

from contracts.types import Lora
from towers.language.model import LanguageModel
from towers.language.structure import base_decoder, blocks_of, model_type, weight_dtype, without_lora

ROUTERS = ("gate", "router", "shared_expert_gate")  # they choose experts: a small update would send tokens elsewhere


@dataclass(frozen=True)
class LoraTargets:
    """Full names of linear layers, and of the stacked matrices [experts, ., .] of mixtures of experts."""

    modules: list[str]
    parameters: list[str]
    is_transposed: bool  # weights are stored as [in, out] (GPT-2's Conv1D)


def with_lora(language_model: LanguageModel, lora: Lora) -> LanguageModel:
    """Fresh LoRA layers on every attention and feed-forward matrix; all other weights frozen."""
    targets = lora_targets(language_model.model)
    name = model_type(language_model.model)
    if targets.parameters and lora["dropout"] > 0:
        raise ValueError(
            f"{name} keeps its experts as stacked matrices, on which LoRA cannot drop inputs: set lora.dropout to 0"
        )
    config = LoraConfig(
        r=lora["rank"],
        lora_alpha=lora["alpha"],
        lora_dropout=lora["dropout"],
        target_modules=targets.modules,
        target_parameters=targets.parameters or None,
        fan_in_fan_out=targets.is_transposed,
    )
    model = get_peft_model(language_model.model, config)
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    reached = {id(layer.get_base_layer()) for layer in layers}
    missed = [path for path in targets.modules if id(_module_below(model, path)) not in reached]
    if missed:
        raise ValueError(
            f"{name}: peft left out {len(missed)} matrices, such as {missed[0]}; this family is not supported"
        )
    if weight_dtype(base_decoder(model)) != torch.float32:
        # Activations stay in the model's number type and autocast brings the factors down to it, see LanguageModel. A
        # setting of the layers and not of a forward pass: activations that are computed again find it, too.
        for layer in layers:
            layer.cast_input_dtype_enabled = False
    return replace(language_model, model=model)


def lora_left_out(language_model: LanguageModel) -> AbstractContextManager[None]:
    """Within it the model computes what it did before its LoRA layers were trained."""
    return rescale_adapter_scale(language_model.model, 0)


def lora_targets(model: Any) -> LoraTargets:
    """Every matrix of every block. A block without one of attention or of feed-forward is an error that names it."""
    name, blocks = model_type(model), blocks_of(model)
    if not blocks:
        raise ValueError(f"{name} has no list of blocks in which LoRA could look for matrices: choose another model")
    modules: list[str] = []
    parameters: list[str] = []
    transposed = set()
    for path, block in blocks:
        inside: list[str] = []
        for part, module in block.named_modules():
            if part.rpartition(".")[2] in ROUTERS or "router" in part:
                continue
            if isinstance(module, nn.Linear | Conv1D):
                inside.append(part)
                modules.append(f"{path}.{part}")
                transposed.add(isinstance(module, Conv1D))
            stacked = [own for own, value in module.named_parameters(recurse=False) if value.ndim == 3]
            # A convolution's kernel has three dimensions, too, and is no stack of matrices.
            if stacked and not isinstance(module, nn.Conv1d):
                inside += [f"{part}.{own}" for own in stacked]
                parameters += [f"{path}.{part}.{own}" for own in stacked]
        for kind, found in (("attention", [i for i in inside if _is_attention(i)]), ("feed-forward", _others(inside))):
            if not found:
                raise ValueError(
                    f"{name}: LoRA finds no {kind} matrix in {path} ({type(block).__name__} has "
                    f"{', '.join(inside) or 'none'}): half of the model would stay untuned; choose another model"
                )
    if len(transposed) > 1:
        raise ValueError(f"{name} stores some matrices as [in, out] and others as [out, in], which LoRA does not mix")
    return LoraTargets(modules, parameters, is_transposed=True in transposed)


def _is_attention(path: str) -> bool:
    return "attn" in path or "attention" in path


def _others(paths: list[str]) -> list[str]:
    return [path for path in paths if not _is_attention(path)]


def _module_below(model: Any, path: str) -> nn.Module:
    """A linear layer by its name before LoRA; inside of what wraps it now."""
    found = without_lora(model).get_submodule(path)
    return found.get_base_layer() if isinstance(found, LoraLayer) else found
