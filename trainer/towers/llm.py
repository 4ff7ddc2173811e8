"""A causal language model read as a text encoder: bidirectional through its mask, LoRA-tuned, pooled over real tokens.

Shapes: B texts, T tokens, D hidden width, V vocabulary.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.helpers import disable_input_dtype_casting
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from contracts.types import LanguageModel as LanguageModelSource
from contracts.types import Lora
from towers.package_files import file_in_package

LORA_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass
class LanguageModel:
    """The model with its tokenizer. `model` is the causal LM, with LoRA layers inside where training wants them."""

    model: Any  # transformers and peft build their classes while they run
    tokenizer: Any

    def tokens(self, texts: list[str], max_tokens: int) -> list[list[int]]:
        """Token ids of each text, cut at the end to `max_tokens`; an empty text becomes one end-of-text token."""
        ids = self.tokenizer(texts, add_special_tokens=False, truncation=True, max_length=max_tokens)["input_ids"]
        return [row or [self.tokenizer.eos_token_id] for row in ids]

    def hidden(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """Last hidden states [B, T, D] under bidirectional attention."""
        decoder = base_decoder(self.model)
        dtype = decoder.get_input_embeddings().weight.dtype
        with self._lora_precision(dtype):
            output = decoder(
                input_ids=ids_BT,
                attention_mask=bidirectional_mask(mask_BT, dtype),
                position_ids=torch.arange(ids_BT.shape[1], device=ids_BT.device).expand_as(ids_BT),
                use_cache=False,
            )
        return output.last_hidden_state

    @contextmanager
    def _lora_precision(self, dtype: torch.dtype) -> Iterator[None]:
        """LoRA weights stay float32 (small updates survive) while their products run in the base model's dtype.

        peft would cast every activation up to float32 instead: 1.2 times slower on a CPU with bfloat16.
        """
        if not isinstance(self.model, PeftModel) or dtype == torch.float32:
            yield
            return
        device = next(self.model.parameters()).device.type
        with torch.autocast(device, dtype), disable_input_dtype_casting(self.model):
            yield

    def pooled(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor, pooling: str) -> torch.Tensor:
        """One float32 vector per text [B, D]."""
        return pool(self.hidden(ids_BT, mask_BT).float(), mask_BT, pooling)

    def save(self, folder: Path) -> None:
        """Write a plain Hugging Face folder; LoRA layers are merged into the weights first."""
        merged = self.model.merge_and_unload() if hasattr(self.model, "merge_and_unload") else self.model
        merged.to(torch.float32).save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def language_model_in(folder: Path) -> LanguageModelSource:
    """The source of a language model that an earlier stage saved."""
    return {"source": "directory", "name": str(folder)}


def weights_of(source: LanguageModelSource) -> tuple[str, dict[str, Any]]:
    """(folder, options for transformers) of a Hugging Face folder, a GGUF file, or a package that carries one."""
    if source["source"] == "directory":
        path = Path(source["name"])
        if path.suffix == ".gguf":
            return str(path.parent), {"gguf_file": path.name}
        return source["name"], {}
    file = file_in_package(source["name"], "*.gguf", "the language model")
    return str(file.parent), {"gguf_file": file.name}


def read_language_model(source: LanguageModelSource, dtype: torch.dtype) -> LanguageModel:
    """A causal LM and its tokenizer from a Hugging Face folder, a GGUF file, or a package that carries one."""
    folder, options = weights_of(source)
    tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    if options:
        # Packed blocks can neither train nor merge: unpack them into ordinary matrices.
        options["quantization_config"] = GgufConfig(dequantize=True)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **options)
    # The GGUF's quantisation setting stays in the config; the weights are ordinary floats now and must be saved as such.
    if getattr(model.config, "quantization_config", None) is not None:
        del model.config.quantization_config
    return LanguageModel(model, tokenizer)


def with_lora(language_model: LanguageModel, lora: Lora) -> LanguageModel:
    """Fresh LoRA layers on every attention and feed-forward matrix; all other weights frozen."""
    config = LoraConfig(
        r=lora["rank"], lora_alpha=lora["alpha"], lora_dropout=lora["dropout"], target_modules=LORA_MODULES
    )
    return LanguageModel(get_peft_model(language_model.model, config), language_model.tokenizer)


def lora_state(language_model: LanguageModel) -> dict[str, torch.Tensor]:
    """The weights that train, for checkpoints."""
    return {name: value.detach() for name, value in language_model.model.named_parameters() if value.requires_grad}


def load_lora_state(language_model: LanguageModel, state: dict[str, torch.Tensor]) -> None:
    """Put `lora_state` back; a name that does not fit is an error."""
    parameters = {name: value for name, value in language_model.model.named_parameters() if value.requires_grad}
    if parameters.keys() != state.keys():
        raise ValueError("the checkpoint's LoRA layers are not this model's")
    with torch.no_grad():
        for name, value in state.items():
            parameters[name].copy_(value)


def base_decoder(model: Any) -> Any:
    """The decoder stack without its output layer, under LoRA or not."""
    causal_lm = model.get_base_model() if hasattr(model, "get_base_model") else model
    return causal_lm.get_decoder()


def output_layer(model: Any) -> Any:
    """The layer from hidden states to token logits."""
    causal_lm = model.get_base_model() if hasattr(model, "get_base_model") else model
    return causal_lm.get_output_embeddings()


def bidirectional_mask(mask_BT: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """[B, 1, T, T]: 0 where attention is allowed, the dtype's minimum where the key is padding.

    An explicit 4-D mask replaces the causal one in every decoder of transformers 5, whatever its attention kernel.
    """
    blocked = torch.zeros(mask_BT.shape, dtype=dtype, device=mask_BT.device)
    blocked = blocked.masked_fill(~mask_BT.bool(), torch.finfo(dtype).min)
    return blocked[:, None, None, :].expand(-1, 1, mask_BT.shape[1], -1)


def pool(hidden_BTD: torch.Tensor, mask_BT: torch.Tensor, pooling: str) -> torch.Tensor:
    """`mean` over real tokens, or the `last_token`: [B, D]."""
    if pooling == "mean":
        weight = mask_BT[..., None].to(hidden_BTD.dtype)
        return (hidden_BTD * weight).sum(1) / weight.sum(1)
    last = mask_BT.sum(1).long() - 1
    return hidden_BTD[torch.arange(len(last), device=last.device), last]
