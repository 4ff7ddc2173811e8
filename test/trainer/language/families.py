"""Tiny random checkpoints (2 layers, width 32) in the public layout of every family of language models."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import ByteLevelBPETokenizer
from tokenizers.processors import TemplateProcessing

import towers  # noqa: F401  (makes transformers importable beside a CPU build of torch)

WORDS = "a red circle on plain field two blue squares beside the line that is not there"
SPECIAL = ["<|end_of_text|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<pad>"]
SIZE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "pad_token_id": 5,
}
GROUPED = {**SIZE, "num_key_value_heads": 2}
SEVEN = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


@dataclass(frozen=True)
class Family:
    """A family's configuration, without the size of its vocabulary, and the matrices of its blocks."""

    config: Callable[..., Any]
    options: dict[str, Any]
    matrices: frozenset[str] | set[str]
    experts: frozenset[str] | set[str] = frozenset()
    has_window: bool = False


DECODERS: dict[str, Family] = {
    "llama3": Family(hf.LlamaConfig, {**GROUPED, "pad_token_id": None}, SEVEN),
    "qwen2": Family(hf.Qwen2Config, GROUPED, SEVEN),
    "qwen2_window": Family(
        hf.Qwen2Config,
        {**GROUPED, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 0},
        SEVEN,
        has_window=True,
    ),
    "qwen3": Family(hf.Qwen3Config, {**GROUPED, "head_dim": 8}, SEVEN),
    "mistral": Family(hf.MistralConfig, {**GROUPED, "sliding_window": 4}, SEVEN, has_window=True),
    "gemma": Family(hf.GemmaConfig, {**GROUPED, "head_dim": 8}, SEVEN),
    "gemma2": Family(
        hf.Gemma2Config,
        {**GROUPED, "head_dim": 8, "sliding_window": 4, "query_pre_attn_scalar": 8},
        SEVEN,
        has_window=True,
    ),
    "gemma3": Family(hf.Gemma3TextConfig, {**GROUPED, "head_dim": 8, "sliding_window": 4}, SEVEN, has_window=True),
    "smollm3": Family(hf.SmolLM3Config, GROUPED, SEVEN),
    "olmo2": Family(hf.Olmo2Config, GROUPED, SEVEN),
    "granite": Family(hf.GraniteConfig, {**GROUPED, "logits_scaling": 8.0}, SEVEN),
    "cohere": Family(hf.CohereConfig, GROUPED, SEVEN),
    "phi2": Family(hf.PhiConfig, GROUPED, {"q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"}),
    "phi3": Family(hf.Phi3Config, GROUPED, {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}),
    "opt": Family(
        hf.OPTConfig,
        {**SIZE, "ffn_dim": 64, "word_embed_proj_dim": 32},
        {"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"},
    ),
    "gpt2": Family(
        hf.GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}, {"c_attn", "c_proj", "c_fc"}
    ),
    "gpt_neox": Family(hf.GPTNeoXConfig, SIZE, {"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"}),
    "modernbert_decoder": Family(
        hf.ModernBertDecoderConfig,
        {**SIZE, "local_attention": 8},
        {"q_proj", "k_proj", "v_proj", "Wo", "Wi"},
        has_window=True,
    ),
    "mixtral": Family(
        hf.MixtralConfig,
        {**GROUPED, "num_local_experts": 4},
        {"q_proj", "k_proj", "v_proj", "o_proj"},
        experts={"gate_up_proj", "down_proj"},
    ),
    "qwen3_moe": Family(
        hf.Qwen3MoeConfig,
        {**GROUPED, "head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
        {"q_proj", "k_proj", "v_proj", "o_proj"},
        experts={"gate_up_proj", "down_proj"},
    ),
}
BERT_MATRICES = {"query", "key", "value", "dense"}
ENCODERS: dict[str, Family] = {
    "bert": Family(hf.BertConfig, SIZE, BERT_MATRICES),
    "xlm_roberta": Family(hf.XLMRobertaConfig, {**SIZE, "type_vocab_size": 1}, BERT_MATRICES),
    "modernbert": Family(hf.ModernBertConfig, {**SIZE, "local_attention": 8}, {"Wqkv", "Wo", "Wi"}),
}
LINEAR_ATTENTION = Family(
    hf.Qwen3NextConfig,
    {
        **GROUPED,
        "head_dim": 8,
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_value_heads": 2,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
    },
    set(),
)


@cache
def byte_tokenizer() -> ByteLevelBPETokenizer:
    """A byte-level vocabulary of 300 entries with Llama 3's special tokens."""
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator([WORDS] * 3, vocab_size=300, special_tokens=SPECIAL)
    return tokenizer


def save_tokenizer(folder: Path, *, has_pad: bool = True, adds_bos: bool = False, is_encoder: bool = False) -> int:
    """Write a tokenizer; returns the size of its vocabulary. Llama 3's has no padding token and adds the first one."""
    tokenizer = byte_tokenizer()._tokenizer
    bos, end = ("<|begin_of_text|>", 1), ("<|end_of_text|>", 0)
    single = [bos[0], "$A", end[0]] if is_encoder else [bos[0], "$A"] if adds_bos else ["$A"]
    tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=[bos, end])
    names = {"bos_token": bos[0], "eos_token": end[0], "unk_token": end[0]}
    fast = hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **names, **({"pad_token": "<pad>"} if has_pad else {})
    )
    fast.save_pretrained(folder)
    return len(fast)


def write_checkpoint(folder: Path, family: Family, *, is_encoder: bool = False, **tokenizer: bool) -> Path:
    """A random checkpoint of a family with its tokenizer."""
    has_pad = family.options.get("pad_token_id", 5) is not None
    size = save_tokenizer(folder, has_pad=has_pad, is_encoder=is_encoder, **tokenizer)
    config = family.config(vocab_size=size, bos_token_id=1, eos_token_id=0, **family.options)
    torch.manual_seed(0)
    build = hf.AutoModelForMaskedLM if is_encoder else hf.AutoModelForCausalLM
    build.from_config(config).save_pretrained(folder)
    return folder


def source(folder: Path, **options: Any) -> Any:
    """A recipe's `language_model` that names the folder."""
    return {"source": "directory", "name": str(folder), **options}
