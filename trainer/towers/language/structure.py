"""What is where inside a transformers model, with LoRA layers in it or not."""

from typing import Any

import torch
from torch import nn


def without_lora(model: Any) -> Any:
    """The transformers model inside; its linear layers are LoRA's where there are any."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def base_decoder(model: Any) -> Any:
    """The stack of blocks without an output layer, under LoRA or not; an encoder is its own."""
    whole = without_lora(model)
    found = whole.get_decoder()
    # Where an output layer is called `decoder` (ModernBERT), that is what transformers finds.
    return found if hasattr(found, "get_input_embeddings") else whole.base_model


def next_token_logits(model: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Token logits [..., V] of states [..., D] as the causal LM computes them behind its stack of blocks.

    Granite divides them, Cohere multiplies them, Gemma 2 bounds them, ModernBERT has a layer before. `probe_output`
    compares with the model's own, so a family with another habit is found.
    """
    whole = without_lora(model)
    config, output = base_decoder(model).config, whole.get_output_embeddings()
    before = getattr(whole, "lm_head", output)
    logits = output(hidden if before is output else before(hidden))
    divisor, factor = getattr(config, "logits_scaling", None), getattr(config, "logit_scale", None)
    bound = getattr(config, "final_logit_softcapping", None)
    if divisor is not None:
        logits = logits / divisor
    if factor is not None:
        logits = logits * factor
    return logits if bound is None else bound * torch.tanh(logits / bound)


def model_type(model: Any) -> str:
    """The family's name in transformers, for sentences to people."""
    return without_lora(model).config.model_type


def blocks_of(model: Any) -> list[tuple[str, nn.Module]]:
    """The blocks (name below `without_lora(model)`, module) of the stack, in order; empty where there is no such list."""
    whole, base = without_lora(model), base_decoder(model)
    prefix = next((name for name, module in whole.named_modules() if module is base), "")
    count = base.config.num_hidden_layers
    for name, module in base.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return [(".".join(filter(None, (prefix, name, str(n)))), block) for n, block in enumerate(module)]
    return []


def position_limit(base: Any) -> int | None:
    """The number of tokens for which a model has learned positions; None where positions are computed."""
    for name, module in base.named_modules():
        last = name.rpartition(".")[2]
        if isinstance(module, nn.Embedding) and (last == "wpe" or last.endswith(("position_embeddings", "positions"))):
            # RoBERTa's positions start after that of its padding token; OPT's table has two rows more than it counts.
            unused = module.padding_idx + 1 if module.padding_idx is not None else getattr(module, "offset", 0)
            return module.num_embeddings - unused
    return None


def weight_dtype(base: Any) -> torch.dtype:
    """The number type in which the model computes."""
    return base.get_input_embeddings().weight.dtype
