"""LoRA in float32 beside bfloat16 weights, merged without rounding twice, saved in shards; published adapters read."""

import json
from typing import cast

import pytest
import torch
from language.families import DECODERS, source, write_checkpoint
from language.llm2vec import make_adapter
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaForCausalLM, LlamaModel

from contracts.types import Lora, Parallel
from engine.sharding import Blocks, place
from engine.world import World
from towers.language.lora import lora_targets, with_lora
from towers.language.read import language_model_in, read_language_model
from towers.language.save import save_options
from towers.language.structure import base_decoder, blocks_of

LORA: Lora = {"rank": 4, "alpha": 8, "dropout": 0.0}
TEXTS = ["two blue squares beside the red circle", "a line"]
QUERY = "model.layers.0.self_attn.q_proj"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("llama"), DECODERS["llama3"])


def trained_weights(language_model):
    """The weights that train, by name."""
    return {name: value for name, value in language_model.model.named_parameters() if value.requires_grad}


def tuned(folder, dtype):
    """A model whose LoRA layers change it, the same at every call."""
    torch.manual_seed(0)
    language_model = with_lora(read_language_model(source(folder), dtype), LORA)
    with torch.no_grad():
        for name, value in language_model.model.named_parameters():
            if "lora_B" in name:
                value.normal_(0, 0.1)
    return language_model


def exact_query(folder, language_model):
    """The merged query matrix of the first block in float64: rounded weight + alpha / rank * B A."""
    state = {name: value.detach().double() for name, value in trained_weights(language_model).items()}
    path = f"base_model.model.{QUERY}"
    a, b = state[f"{path}.lora_A.default.weight"], state[f"{path}.lora_B.default.weight"]
    return load_file(folder / "model.safetensors")[f"{QUERY}.weight"].bfloat16().double() + 2 * b @ a


def test_bfloat16_lora_trains_in_float32_and_agrees_with_float32(folder):
    exact = read_language_model(source(folder), torch.float32)
    language_model = with_lora(read_language_model(source(folder), torch.bfloat16), LORA)
    assert {p.dtype for p in language_model.model.parameters() if p.requires_grad} == {torch.float32}
    rows = exact.tokens(TEXTS, 64)
    close = language_model.features(rows, "mean")
    assert torch.nn.functional.cosine_similarity(exact.features(rows, "mean"), close, dim=-1).min() > 0.999


def test_llama_has_the_seven_matrices_of_before_and_the_same_start(folder):
    """Reproducing an earlier run needs the same random numbers in the same matrices."""
    seven = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = LlamaForCausalLM.from_pretrained(folder)
    torch.manual_seed(3)
    reference = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=seven))
    expected = {name: value for name, value in reference.named_parameters() if value.requires_grad}
    language_model = read_language_model(source(folder), torch.float32)
    torch.manual_seed(3)
    state = trained_weights(with_lora(language_model, LORA))
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], value) for name, value in expected.items())


def test_lora_is_merged_in_float32_and_rounded_once(folder, tmp_path):
    language_model = tuned(folder, torch.bfloat16)
    exact = exact_query(folder, language_model)
    files = language_model.save(tmp_path / "full")
    saved = load_file(tmp_path / "full" / "model.safetensors")[f"{QUERY}.weight"]
    assert saved.dtype == torch.float32
    torch.testing.assert_close(saved.double(), exact, atol=1e-7, rtol=1e-6)
    assert (exact.bfloat16().double() - exact).abs().max() > 1e-5  # the rounding that is avoided
    assert files["weights"] == "full/model.safetensors" and files["config"] == "full/config.json"
    assert {path.name for path in (tmp_path / "full").iterdir()} == {file.split("/")[1] for file in files.values()}
    tuned(folder, torch.bfloat16).save(tmp_path / "half", dtype=torch.bfloat16)
    half = load_file(tmp_path / "half" / "model.safetensors")[f"{QUERY}.weight"]
    assert torch.equal(half, saved.bfloat16())


def test_a_model_above_the_limit_is_saved_in_shards_that_are_all_listed_and_read_back(folder, tmp_path):
    language_model = tuned(folder, torch.float32)
    features = language_model.features(language_model.tokens(TEXTS, 64), "mean")
    options = save_options({"dtype": "float32", "shard_gigabytes": 0.00003})
    files = language_model.save(tmp_path / "model", **options)
    shards = {name for name in files if name.startswith("model-0")}
    assert len(shards) > 2 and files["weights"] == "model/model.safetensors.index.json"
    index = json.loads((tmp_path / "model" / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == shards
    assert not (tmp_path / "model" / "model.safetensors").exists()
    again = read_language_model(language_model_in(tmp_path / "model"), torch.float32)
    torch.testing.assert_close(again.features(again.tokens(TEXTS, 64), "mean"), features, atol=1e-5, rtol=1e-4)
    assert save_options(None) == {}


def test_activations_that_are_computed_again_give_the_same_gradient_in_bfloat16(folder):
    parallel: Parallel = {"weights": "replicated", "activation_checkpointing": True, "compile": False}
    gradients = []
    for again in (False, True):
        language_model = tuned(folder, torch.bfloat16)
        blocks = [block for _, block in blocks_of(language_model.model)]
        if again:
            place(Blocks(base_decoder(language_model.model), blocks), parallel, cast(World, None))
        language_model.features(language_model.tokens(TEXTS, 64), "mean").square().sum().backward()
        gradients.append([p.grad for p in language_model.model.parameters() if p.grad is not None])
    assert len(gradients[0]) == 28 and max(value.abs().max() for value in gradients[0]) > 1e-3
    for first, second in zip(*gradients, strict=True):
        assert torch.equal(first, second)


def test_a_block_whose_feed_forward_lora_cannot_reach_is_refused_by_name(folder):
    language_model = read_language_model(source(folder), torch.float32)
    language_model.model.model.layers[1].mlp = torch.nn.Identity()
    with pytest.raises(
        ValueError, match=r"llama: LoRA finds no feed-forward matrix in model.layers.1 .*self_attn.q_proj"
    ):
        lora_targets(language_model.model)


# ---- published adapters ----------------------------------------------------------------------------------------------


def test_an_llm2vec_model_is_its_base_with_both_adapters_as_peft_merges_them(folder, tmp_path):
    # LLM2Vec trains the stack of blocks alone: `base_model.model.layers`, without a causal LM's own `model`.
    first = make_adapter(LlamaModel.from_pretrained(folder), tmp_path / "mntp", 1)
    second = make_adapter(LlamaModel.from_pretrained(folder), tmp_path / "simcse", 2, r=2, use_rslora=True)
    assert "base_model.model.layers.0.mlp.up_proj.lora_A.weight" in load_file(first / "adapter_model.safetensors")
    reference = LlamaModel.from_pretrained(folder)
    for adapter in (first, second):
        reference = PeftModel.from_pretrained(reference, adapter).merge_and_unload()
    found = read_language_model(source(folder, adapters=[str(first), str(second)]), torch.float32).model
    for name, value in reference.state_dict().items():
        torch.testing.assert_close(found.model.state_dict()[name], value, atol=1e-6, rtol=1e-5)
    # An adapter of the whole causal LM has the longer names.
    whole = make_adapter(AutoModelForCausalLM.from_pretrained(folder), tmp_path / "whole", 1)
    same = read_language_model(source(folder, adapters=[str(whole)]), torch.float32).model
    alone = read_language_model(source(folder, adapters=[str(first)]), torch.float32).model
    torch.testing.assert_close(same.state_dict(), alone.state_dict())


def test_an_adapter_that_is_not_plain_lora_or_of_another_model_is_refused(folder, tmp_path):
    dora = make_adapter(LlamaModel.from_pretrained(folder), tmp_path / "dora", 1, use_dora=True)
    with pytest.raises(ValueError, match="dora has use_dora True; only plain LoRA can be merged"):
        read_language_model(source(folder, adapters=[str(dora)]), torch.float32)
    other = make_adapter(LlamaModel.from_pretrained(folder), tmp_path / "other", 1)
    tensors = load_file(other / "adapter_model.safetensors")
    renamed = {name.replace("layers.1", "layers.7"): value for name, value in tensors.items()}
    save_file(renamed, other / "adapter_model.safetensors")
    with pytest.raises(ValueError, match=r"other is for layers.7.mlp.down_proj, which llama does not have"):
        read_language_model(source(folder, adapters=[str(other)]), torch.float32)
    with pytest.raises(FileNotFoundError, match=r"has to hold adapter_config\.json"):
        read_language_model(source(folder, adapters=[str(tmp_path)]), torch.float32)
    tensors.pop("base_model.model.layers.0.mlp.up_proj.lora_A.weight")
    save_file(tensors, other / "adapter_model.safetensors")
    with pytest.raises(ValueError, match="which are no LoRA factors"):
        read_language_model(source(folder, adapters=[str(other)]), torch.float32)


def test_a_folder_without_some_of_its_tensors_is_refused_instead_of_filled_with_noise(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    del tensors[f"{QUERY}.weight"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=rf"lacks 1 tensors of its architecture, such as {QUERY}.weight"):
        read_language_model(source(tmp_path), torch.float32)
