"""The probe at load finds models that ignore their mask, wholly or in one layer, and padding that is seen."""

import pytest
import torch
from language.families import DECODERS, source, write_checkpoint

import towers.language.model as language
from towers.language.probe import probe
from towers.language.read import read_language_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("llama"), DECODERS["llama3"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_causal_mask_is_found(folder, monkeypatch, dtype):
    model = read_language_model(source(folder), dtype)
    whole = language.bidirectional_mask

    def causal(mask, number_type):
        later = torch.ones(mask.shape[1], mask.shape[1], dtype=torch.bool).triu(1)
        return whole(mask, number_type).masked_fill(later, torch.finfo(number_type).min)

    monkeypatch.setattr(language, "bidirectional_mask", causal)
    with pytest.raises(ValueError, match="llama cannot become a text encoder: a later token changes no earlier state"):
        probe(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_layer_that_looks_back_only_is_found(folder, dtype):
    model = read_language_model(source(folder), dtype)
    attention = model.model.model.layers[1].self_attn
    forward = attention.forward

    def causal(hidden_states, *inputs, attention_mask, **options):
        width = hidden_states.shape[1]
        later = torch.ones(width, width, dtype=torch.bool).triu(1)
        blocked = attention_mask.masked_fill(later, torch.finfo(attention_mask.dtype).min)
        return forward(hidden_states, *inputs, attention_mask=blocked, **options)

    attention.forward = causal
    with pytest.raises(ValueError, match=r"1 of its 2 layers look back only, the first is model.layers.1"):
        probe(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_padding_that_is_seen_is_found(folder, monkeypatch, dtype):
    model = read_language_model(source(folder), dtype)
    whole = language.bidirectional_mask
    monkeypatch.setattr(language, "bidirectional_mask", lambda mask, kind: whole(torch.ones_like(mask), kind))
    with pytest.raises(ValueError, match="what stands in the padding changes the states of real tokens"):
        probe(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_whose_tokens_hardly_look_at_each_other_is_no_causal_one(folder, dtype):
    """A trained model gives most attention to its first token; SmolLM2's layers move earlier tokens by 3e-4 only."""
    model = read_language_model(source(folder), dtype)
    for block in model.model.model.layers:
        block.self_attn.o_proj.weight.data *= 0.01
    probe(model)


def test_a_model_that_does_not_run_with_its_own_mask_is_refused_with_the_reason(folder, monkeypatch):
    model = read_language_model(source(folder), torch.float32)
    monkeypatch.setattr(model.model.model, "forward", lambda input_ids: input_ids)
    with pytest.raises(ValueError, match="it does not run with a mask of its own"):
        probe(model)


def test_the_probe_draws_no_random_number_and_leaves_the_model_as_it_was(folder):
    model = read_language_model(source(folder), torch.float32)
    model.model.train()
    before, state = torch.get_rng_state(), {k: v.clone() for k, v in model.model.state_dict().items()}
    probe(model)
    assert torch.equal(torch.get_rng_state(), before) and model.model.training
    assert all(torch.equal(value, state[name]) for name, value in model.model.state_dict().items())
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in model.model.model.layers)
