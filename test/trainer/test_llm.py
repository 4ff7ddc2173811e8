"""A causal language model becomes a text encoder: both directions, no padding leak, merged LoRA."""

import pytest
import torch

from contracts.types import Lora
from support import tiny_language_model
from towers.llm import pool, read_language_model, with_lora
from towers.token_batches import padded

LORA: Lora = {"rank": 4, "alpha": 8, "dropout": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_language_model(tmp_path_factory.mktemp("lm"))


def read(folder, dtype=torch.float32):
    language_model = read_language_model({"source": "directory", "name": str(folder)}, dtype)
    language_model.model.eval()
    return language_model


def test_a_later_token_changes_an_earlier_hidden_state(folder):
    language_model = read(folder)
    ids = torch.tensor([[5, 6, 7, 8], [5, 6, 7, 9]])
    hidden = language_model.hidden(ids, torch.ones_like(ids))
    assert (hidden[0, 0] - hidden[1, 0]).abs().max() > 1e-4


def test_padding_changes_no_real_token(folder):
    language_model = read(folder)
    short, long = [5, 6, 7], [8, 9, 10, 11, 12, 13]
    alone, _ = padded([short], torch.device("cpu"))
    together, mask = padded([short, long], torch.device("cpu"))
    expected = language_model.hidden(alone, torch.ones_like(alone))[0]
    torch.testing.assert_close(language_model.hidden(together, mask)[0, :3], expected, atol=1e-5, rtol=0)
    for pooling in ("mean", "last_token"):
        torch.testing.assert_close(
            language_model.pooled(together, mask, pooling)[0],
            language_model.pooled(alone, torch.ones_like(alone), pooling)[0],
            atol=1e-5,
            rtol=0,
        )


def test_pooling_is_the_mean_or_the_last_real_token():
    hidden = torch.tensor([[[1.0, 0.0], [3.0, 2.0], [100.0, 100.0]]])
    mask = torch.tensor([[1, 1, 0]])
    assert pool(hidden, mask, "mean").tolist() == [[2.0, 1.0]]
    assert pool(hidden, mask, "last_token").tolist() == [[3.0, 2.0]]


def test_an_empty_text_is_one_token_and_a_long_one_is_cut_at_the_end(folder):
    language_model = read(folder)
    empty, long = language_model.tokens(["", "a red circle " * 50], 7)
    assert empty == [language_model.tokenizer.eos_token_id]
    assert long == language_model.tokens(["a red circle " * 50], 10_000)[0][:7]


def test_a_saved_model_is_the_lora_model_merged(folder, tmp_path):
    language_model = with_lora(read(folder), LORA)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, value in language_model.model.named_parameters():
            if "lora_B" in name:
                value.normal_(0, 0.1)
    ids = torch.tensor([[5, 6, 7, 8]])
    tuned = language_model.hidden(ids, torch.ones_like(ids)).detach()
    assert (tuned - read(folder).hidden(ids, torch.ones_like(ids))).abs().max() > 1e-3
    language_model.save(tmp_path / "merged")
    merged = read(tmp_path / "merged").hidden(ids, torch.ones_like(ids))
    torch.testing.assert_close(merged, tuned, atol=1e-5, rtol=0)


def test_bfloat16_lora_trains_in_float32_and_agrees_with_float32(folder):
    ids = torch.tensor([[5, 6, 7, 8]])
    exact = read(folder).hidden(ids, torch.ones_like(ids))
    language_model = with_lora(read(folder, torch.bfloat16), LORA)
    assert {p.dtype for p in language_model.model.parameters() if p.requires_grad} == {torch.float32}
    close = language_model.hidden(ids, torch.ones_like(ids)).float()
    assert torch.nn.functional.cosine_similarity(exact, close, dim=-1).min() > 0.999
