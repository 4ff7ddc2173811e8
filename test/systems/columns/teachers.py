"""The text teachers of the table: the published models' configurations with the parameters that they come to, and their twins."""

from typing import Any

import transformers as hf

from columns.languages import (
    bidirectional,
    by_the_authors,
    causal,
    decoder,
    encoded,
    encoder,
    headless,
    with_adapters,
    write_cc,
    write_llm2vec,
)
from columns.system import Language

LLAMA3: dict[str, Any] = {
    "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8
}  # fmt: skip
LLAMA32: dict[str, Any] = {
    "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 64, "tie_word_embeddings": True
}  # fmt: skip
MISTRAL: dict[str, Any] = LLAMA3 | {"vocab_size": 32000}


def shape(vocabulary: int, width: int, inside: int, layers: int, heads: tuple[int, int], **more: Any) -> dict[str, Any]:
    """A configuration of transformers; `inside`: the width of feed-forward layers, `heads`: of queries and of keys."""
    numbers = {
        "vocab_size": vocabulary, "hidden_size": width, "intermediate_size": inside, "num_hidden_layers": layers,
        "num_attention_heads": heads[0], "num_key_value_heads": heads[1]
    }  # fmt: skip
    return numbers | more


TIED: dict[str, Any] = {"tie_word_embeddings": True}
GEMMA: dict[str, Any] = {"head_dim": 256}
READY: tuple[str, ...] = ()  # a finished text encoder: nothing tunes it
ENCODER = ("contrastive",)

LLAMA3_CC = Language(
    "Llama-3-8B-CC", write_cc, headless(hf.LlamaConfig, **LLAMA3), 7_504_924_672, by_the_authors, READY
)
LLAMA32_CC = Language(
    "Llama-3.2-1B-CC", write_cc, headless(hf.LlamaConfig, **LLAMA32), 1_235_814_400, by_the_authors, READY
)
LLAMA3_PLAIN = Language("Llama 3 8B", decoder("llama3"), causal(hf.LlamaConfig, **LLAMA3), 8_030_261_248, bidirectional)
LLM2VEC_MISTRAL = Language(
    "LLM2Vec-Mistral-7B",
    write_llm2vec("mistral"),
    headless(hf.MistralConfig, **MISTRAL),
    7_110_660_096,
    with_adapters,
    READY,
)
LLM2VEC_LLAMA3 = Language(
    "LLM2Vec-Meta-Llama-3-8B",
    write_llm2vec("llama3"),
    headless(hf.LlamaConfig, **LLAMA3),
    7_504_924_672,
    with_adapters,
    READY,
)
SMOLLM2 = Language(
    "SmolLM2-135M",
    decoder("llama3"),
    causal(hf.LlamaConfig, **shape(49152, 576, 1536, 30, (9, 3), **TIED)),
    134_515_008,
    bidirectional,
)

# name, family of the twin, configuration, its numbers, published parameters
FAMILIES: tuple[tuple[str, str, type, dict[str, Any], int], ...] = (
    ("Llama 3.2 1B", "llama3", hf.LlamaConfig, LLAMA32, 1_235_814_400),
    ("Qwen2.5 0.5B", "qwen2", hf.Qwen2Config, shape(151936, 896, 4864, 24, (14, 2), **TIED), 494_032_768),
    ("Qwen3 0.6B", "qwen3", hf.Qwen3Config, shape(151936, 1024, 3072, 28, (16, 8), head_dim=128, **TIED), 596_049_920),
    ("Mistral 7B", "mistral", hf.MistralConfig, MISTRAL, 7_241_732_096),
    ("Gemma 2B", "gemma", hf.GemmaConfig, shape(256000, 2048, 16384, 18, (8, 1), **GEMMA), 2_506_172_416),
    ("Gemma 2 2B", "gemma2", hf.Gemma2Config, shape(256000, 2304, 9216, 26, (8, 4), **GEMMA), 2_614_341_888),
    ("Gemma 3 1B", "gemma3", hf.Gemma3TextConfig, shape(262144, 1152, 6912, 26, (4, 1), **GEMMA), 999_885_952),
    ("SmolLM3 3B", "smollm3", hf.SmolLM3Config, shape(128256, 2048, 11008, 36, (16, 4), **TIED), 3_075_098_624),
    ("Phi-3 mini", "phi3", hf.Phi3Config, shape(32064, 3072, 8192, 32, (32, 32), pad_token_id=0), 3_821_079_552),
    ("Phi-4", "phi3", hf.Phi3Config, shape(100352, 5120, 17920, 40, (40, 10), pad_token_id=0), 14_659_507_200),
    ("OLMo 2 7B", "olmo2", hf.Olmo2Config, shape(100352, 4096, 11008, 32, (32, 32)), 7_298_617_344),
    ("Granite 3.1 2B", "granite", hf.GraniteConfig, shape(49155, 2048, 8192, 40, (32, 8), **TIED), 2_533_531_648),
)
BERT: tuple[tuple[str, str, type, dict[str, Any], int], ...] = (
    ("BERT base", "bert", hf.BertConfig, {}, 109_482_240),
    (
        "XLM-R base",
        "xlm_roberta",
        hf.XLMRobertaConfig,
        {"vocab_size": 250002, "max_position_embeddings": 514, "type_vocab_size": 1},
        278_043_648,
    ),
    ("ModernBERT base", "modernbert", hf.ModernBertConfig, {}, 149_014_272),
)
DECODER_TEACHERS = tuple(
    Language(name, decoder(family), causal(config, **numbers), parameters, bidirectional)
    for name, family, config, numbers, parameters in FAMILIES
)
ENCODER_TEACHERS = tuple(
    Language(name, encoder(family), headless(config, **numbers), parameters, encoded, ENCODER)
    for name, family, config, numbers, parameters in BERT
)
