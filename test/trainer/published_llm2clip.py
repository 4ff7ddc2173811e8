"""LLM2CLIP as it is published, with tiny random weights: a released folder with its image tower, and its language model beside it."""

import json
from pathlib import Path
from typing import Any

import torch
from language.families import DECODERS, save_tokenizer
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, LlamaConfig, LlamaModel


def write_language_model(folder: Path) -> LlamaModel:
    """The released language model in its layout, of width 32."""
    size = save_tokenizer(folder, has_pad=False, adds_bos=True)
    torch.manual_seed(0)
    model = LlamaModel(LlamaConfig(vocab_size=size, bos_token_id=1, eos_token_id=0, **DECODERS["llama3"].options))
    model.save_pretrained(folder)
    model.config.is_causal = False
    return model.eval()


def write_released(folder: Path, width: int) -> Any:
    """A released folder, whose adapter reads `width` numbers; transformers' model of its image tower."""
    folder.mkdir(parents=True)
    vision: Any = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 64,
        "patch_size": 16,
    }  # fmt: skip
    torch.manual_seed(0)
    model: Any = CLIPVisionModelWithProjection(CLIPVisionConfig(**vision, projection_dim=24)).eval()
    adapter = {
        "0.weight": torch.ones(width), "0.bias": torch.zeros(width), "1.weight": torch.randn(24, width), "1.bias": torch.zeros(24),
    }  # fmt: skip
    weights = {name: value.half() for name, value in model.state_dict().items()}
    weights |= {f"text_adapter.adaptor.{name}": value.half() for name, value in adapter.items()}
    save_file(weights | {"logit_scale": torch.tensor(4.6052)}, folder / "model.safetensors")
    config = {
        "model_type": "clip", "architectures": ["LLM2CLIPModel"], "vision_config": vision, "projection_dim": 24,
        "auto_map": {"AutoModel": "modeling_llm2clip.LLM2CLIPModel"},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    model.load_state_dict({name: value.half().float() for name, value in model.state_dict().items()})
    return model
