"""A language model in a GGUF file: the weights of the model that was written, and the file is read once."""

from collections import Counter
from pathlib import Path

import gguf
import pytest
import torch
from language.families import source
from tokenizers.pre_tokenizers import ByteLevel
from transformers import LlamaConfig, LlamaForCausalLM

from towers.language.read import read_language_model

LAYERS, WIDTH, HEADS, HIDDEN = 2, 32, 4, 64
NAMES = {  # of a layer: as llama.cpp calls them, and as transformers does
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Path, LlamaForCausalLM]:
    """A random Llama in a GGUF file, with a byte-level vocabulary of letters and one merge."""
    letters = sorted(ByteLevel.alphabet())
    tokens = ["<|end|>", *letters, "ab"]
    config = LlamaConfig(
        vocab_size=len(tokens), hidden_size=WIDTH, intermediate_size=HIDDEN, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=HEADS, max_position_embeddings=64, tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, *[1] * (len(tokens) - 1)])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    state = {name: value.detach() for name, value in model.state_dict().items()}
    writer.add_tensor("token_embd.weight", state["model.embed_tokens.weight"].numpy())
    writer.add_tensor("output_norm.weight", state["model.norm.weight"].numpy())
    for layer in range(LAYERS):
        for theirs, ours in NAMES.items():
            value = state[f"model.layers.{layer}.{ours}.weight"]
            if theirs in ("attn_q", "attn_k"):  # llama.cpp rotates neighbours, transformers the halves of a head
                value = value.view(HEADS, 2, WIDTH // HEADS // 2, WIDTH).transpose(1, 2).reshape(WIDTH, WIDTH)
            writer.add_tensor(f"blk.{layer}.{theirs}.weight", value.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file, model


def test_the_weights_and_the_vocabulary_are_those_of_the_file(written):
    file, model = written
    found = read_language_model(source(file), torch.float32)
    state = found.model.state_dict()
    assert set(state) == set(model.state_dict())
    for name, value in model.state_dict().items():
        torch.testing.assert_close(state[name], value, atol=0, rtol=0)
    (b,), (a,) = found.plain_tokens(["b", "a"], 16)
    assert found.plain_tokens(["abba"], 16) == [[model.config.vocab_size - 1, b, a]]


def test_the_file_is_read_once_and_the_libraries_are_left_as_they_were(written, monkeypatch):
    read = Counter()

    class Counted(gguf.GGUFReader):
        def __init__(self, *arguments):
            read["reader"] += 1
            super().__init__(*arguments)

    names = gguf.get_tensor_name_map
    monkeypatch.setattr(gguf, "GGUFReader", Counted)
    monkeypatch.setattr(gguf, "get_tensor_name_map", lambda *given: read.update(["names"]) or names(*given))
    before = gguf.GGUFReader, gguf.get_tensor_name_map
    read_language_model(source(written[0]), torch.float32)
    assert read == {"reader": 1, "names": 1}
    assert before == (gguf.GGUFReader, gguf.get_tensor_name_map)
