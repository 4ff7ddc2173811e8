"""Every family of language models as a text encoder: both directions, no padding leak, packed rows, LoRA, saved and read."""

from typing import Any

import pytest
import torch
from language.families import DECODERS, ENCODERS, LINEAR_ATTENTION, Family, source, write_checkpoint
from peft.tuners.lora import LoraLayer
from transformers import AutoModel, AutoModelForCausalLM

from tasks.mntp import refuse_without_output
from towers.language.lora import with_lora
from towers.language.read import language_model_in, read_language_model
from towers.language.structure import next_token_logits
from towers.token_batches import padded

TEXTS = ["two blue squares beside the red circle", "a line", "the field is plain and there is not a red circle on that"]
FULL_ATTENTION = [name for name, family in DECODERS.items() if not family.has_window and not family.experts]


@pytest.fixture(scope="module", params=[*DECODERS, *ENCODERS])
def family(request, tmp_path_factory):
    """(name, family, folder of its checkpoint)."""
    name = request.param
    found: Family = (DECODERS | ENCODERS)[name]
    folder = tmp_path_factory.mktemp(name)
    return name, found, write_checkpoint(folder, found, is_encoder=name in ENCODERS)


def test_a_text_has_the_same_vector_alone_padded_and_packed_and_its_end_changes_its_start(family):
    _, _, folder = family
    model = read_language_model(source(folder), torch.float32)
    rows = model.tokens(TEXTS, 64)
    together = model.features(rows, "mean")
    for row, vector in zip(rows, together, strict=True):
        torch.testing.assert_close(model.features([row], "mean")[0], vector, atol=1e-5, rtol=1e-5)
    for pooling in ("mean", "weighted_mean", "first_token", "last_token"):
        expected = model.features(rows, pooling)
        torch.testing.assert_close(model.features(rows, pooling, packing=True), expected, atol=1e-4, rtol=1e-4)
    ids = torch.tensor([rows[0].ids, [*rows[0].ids[:-1], 99]])
    first = model.hidden(ids, torch.ones_like(ids))[:, 0]
    assert (first[0] - first[1]).norm() / first[0].norm() > 1e-4


def test_lora_is_on_every_matrix_of_a_block_and_a_saved_model_is_what_was_tuned(family, tmp_path):
    _, expected, folder = family
    model = read_language_model(source(folder), torch.float32)
    plain = model.features(model.tokens(TEXTS, 64), "mean")
    tuned = with_lora(model, {"rank": 2, "alpha": 4, "dropout": 0.0})
    layers = [path for path, module in tuned.model.named_modules() if isinstance(module, LoraLayer)]
    stacked = {module.parameter_name for module in tuned.model.modules() if hasattr(module, "parameter_name")}
    assert {path.rpartition(".")[2] for path in layers if "experts" not in path} == expected.matrices
    assert stacked == expected.experts
    torch.manual_seed(1)
    with torch.no_grad():
        for path, value in tuned.model.named_parameters():
            if "lora_B" in path:
                value.normal_(0, 0.1)
    features = tuned.features(tuned.tokens(TEXTS, 64), "mean")
    assert (features - plain).abs().max() > 1e-3
    tuned.save(tmp_path / "model")
    again = read_language_model(language_model_in(tmp_path / "model"), torch.float32)
    torch.testing.assert_close(again.features(again.tokens(TEXTS, 64), "mean"), features, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", FULL_ATTENTION)
def test_the_mask_makes_of_a_decoder_what_transformers_makes_of_one_that_is_not_causal(name, tmp_path):
    model = read_language_model(source(write_checkpoint(tmp_path, DECODERS[name])), torch.float32)
    reference: Any = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).base_model
    reference.config.is_causal = False
    ids, mask = padded([row.ids for row in model.tokens(TEXTS, 64)], torch.device("cpu"), model.pad_id)
    with torch.no_grad():
        expected = reference(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    real = mask.bool()
    torch.testing.assert_close(model.hidden(ids, mask)[real], expected[real], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", DECODERS)
def test_logits_of_masked_tokens_are_those_of_the_pretrained_model(name, tmp_path):
    """Gemma 2 bounds its logits, Granite and Cohere scale them, ModernBERT has a layer of its own before."""
    model = read_language_model(source(write_checkpoint(tmp_path, DECODERS[name])), torch.float32)
    refuse_without_output(model)
    ids = torch.tensor([model.tokens(TEXTS, 64)[0].ids])
    with torch.no_grad():
        mask, positions = torch.zeros(1, 1, ids.shape[1], ids.shape[1]), torch.arange(ids.shape[1])[None]
        expected = model.model(input_ids=ids, attention_mask=mask, position_ids=positions).logits
        found = next_token_logits(model.model, model.hidden(ids, torch.ones_like(ids)))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_logits_that_are_computed_otherwise_are_refused_for_mntp(tmp_path, monkeypatch):
    model = read_language_model(source(write_checkpoint(tmp_path, DECODERS["llama3"])), torch.float32)
    whole = model.model.forward

    def scaled(**inputs):
        output = whole(**inputs)
        output.logits = output.logits / 8
        return output

    monkeypatch.setattr(model.model, "forward", scaled)
    with pytest.raises(ValueError, match="llama computes its logits in a way that is not known here"):
        refuse_without_output(model)


def test_an_encoder_is_read_with_its_special_tokens_as_transformers_reads_it_and_not_by_mntp(tmp_path):
    for name, family in ENCODERS.items():
        folder = write_checkpoint(tmp_path / name, family, is_encoder=True)
        encoder = read_language_model(source(folder), torch.float32)
        reference = AutoModel.from_pretrained(folder).eval()
        inputs = encoder.tokenizer(TEXTS[0], return_tensors="pt")
        assert inputs["input_ids"][0, 0] == 1 and inputs["input_ids"][0, -1] == 0
        with torch.no_grad():
            states = reference(**{key: inputs[key] for key in ("input_ids", "attention_mask")}).last_hidden_state[0]
        rows = encoder.tokens(TEXTS, 64)
        torch.testing.assert_close(encoder.features(rows, "mean")[0], states.mean(0), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(encoder.features(rows, "first_token")[0], states[0], atol=1e-5, rtol=1e-4)
        with pytest.raises(ValueError, match=r"is an encoder and looks both ways already: leave the block mntp out"):
            refuse_without_output(encoder)


def test_texts_are_cut_to_the_positions_that_a_model_has_learned(tmp_path):
    limits = {"gpt2": 128, "opt": 128, "bert": 128, "xlm_roberta": 128 - 6}
    for name, limit in limits.items():
        folder = write_checkpoint(tmp_path / name, (DECODERS | ENCODERS)[name], is_encoder=name in ENCODERS)
        model = read_language_model(source(folder), torch.float32)
        (row,) = model.tokens(["a red circle " * 100], 1000)
        assert len(row) == limit
        assert torch.isfinite(model.features([row], "mean")).all()


def test_a_family_with_linear_attention_is_refused_by_name_though_other_layers_look_both_ways(tmp_path):
    folder = write_checkpoint(tmp_path, LINEAR_ATTENTION)
    with pytest.raises(ValueError, match=r"qwen3_next cannot become a text encoder: 1 of its 2 layers look back only"):
        read_language_model(source(folder), torch.float32)


def test_stacked_experts_are_refused_with_dropout_which_lora_does_not_have_there(tmp_path):
    model = read_language_model(source(write_checkpoint(tmp_path, DECODERS["mixtral"])), torch.float32)
    with pytest.raises(ValueError, match=r"mixtral keeps its experts as stacked matrices.*set lora.dropout to 0"):
        with_lora(model, {"rank": 2, "alpha": 4, "dropout": 0.1})
