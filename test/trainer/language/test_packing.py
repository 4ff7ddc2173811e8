"""Packed rows: no token lost, no text seen by another, the vectors and gradients of padded ones, also by flex attention."""

import random
from itertools import chain

import pytest
import torch
from language.families import DECODERS, source, write_checkpoint
from torch.nn.attention.flex_attention import flex_attention
from transformers.integrations import flex_attention as integration

from towers.language import packing
from towers.language.lora import with_lora
from towers.language.masks import block_diagonal_mask
from towers.language.packing import batches_by_tokens, pack, packed_rows, pooling_weights
from towers.language.pool import pool
from towers.language.read import read_language_model
from towers.language.tokens import TextTokens

TEXTS = ["two blue squares beside the red circle", "a line", "", "the field is plain", "a red circle on a line " * 4]


def test_every_text_is_in_one_row_no_row_is_too_full_and_few_are_needed():
    draw = random.Random(0)
    lengths = [draw.randint(1, 60) for _ in range(300)]
    rows = packed_rows(lengths, 100)
    assert sorted(chain.from_iterable(rows)) == list(range(300))
    assert max(sum(lengths[i] for i in row) for row in rows) <= 100
    # First fit decreasing needs at most 11/9 of the least number of rows, plus one (Johnson 1973).
    assert len(rows) <= 11 / 9 * -(-sum(lengths) // 100) + 1
    assert packed_rows([5, 200, 7], 100) == [[1], [2, 0]]
    # 25 texts are more than a row holds, and fill two halves: a full row beside an almost empty one would be padded.
    assert sorted(map(len, packed_rows([12] * 25, 256))) == [12, 13]


def test_batches_hold_every_text_once_and_at_most_the_budget():
    lengths = [3, 50, 4, 4, 90, 2]
    batches = batches_by_tokens(lengths, 60)
    assert sorted(chain.from_iterable(batches)) == list(range(6))
    assert [sum(lengths[i] for i in batch) for batch in batches] == [13, 50, 90]
    assert batches_by_tokens([], 60) == []


def test_a_packed_row_restarts_its_positions_and_its_mask_is_block_diagonal():
    texts = [TextTokens([10, 11, 12]), TextTokens([20, 21], skip=1), TextTokens([30])]
    packed = pack(texts, 6, torch.device("cpu"), 0)
    assert packed.ids_RT.tolist() == [[10, 11, 12, 20, 21, 30]]
    assert packed.positions_RT.tolist() == [[0, 1, 2, 0, 1, 0]]
    assert packed.places == [(0, 0), (0, 3), (0, 5)]
    mask = block_diagonal_mask(packed.texts_RT, torch.float32)
    allowed = (mask[0, 0] == 0).int().tolist()
    assert allowed == [[1, 1, 1, 0, 0, 0]] * 3 + [[0, 0, 0, 1, 1, 0]] * 2 + [[0, 0, 0, 0, 0, 1]]
    shorter = pack(texts, 5, torch.device("cpu"), 0, multiple=4)
    assert shorter.ids_RT.tolist() == [[10, 11, 12, 0], [20, 21, 30, 0]]
    assert shorter.texts_RT.tolist() == [[0, 0, 0, -1], [1, 1, 2, -1]]


@pytest.mark.parametrize("pooling", ["mean", "weighted_mean", "first_token", "last_token"])
def test_the_weights_pool_packed_states_as_padded_ones_are_pooled(pooling):
    texts = [TextTokens([1] * 5, skip=2), TextTokens([1] * 3), TextTokens([1])]
    packed = pack(texts, 7, torch.device("cpu"), 0)
    torch.manual_seed(0)
    states = torch.randn(*packed.ids_RT.shape, 4)
    found = pooling_weights(packed, texts, pooling) @ states.flatten(0, 1)
    for vector, text, (row, start) in zip(found, texts, packed.places, strict=True):
        own = states[row, start : start + len(text)][None]
        counted = torch.tensor([[0] * text.skip + [1] * (len(text) - text.skip)])
        torch.testing.assert_close(vector, pool(own, counted, pooling)[0])


def test_gradients_of_lora_are_those_of_padded_rows(tmp_path):
    folder = write_checkpoint(tmp_path, DECODERS["qwen3"])
    model = with_lora(read_language_model(source(folder), torch.float32), {"rank": 2, "alpha": 4, "dropout": 0.0})
    gradients = []
    for is_packed in (False, True):
        model.model.zero_grad()
        features = model.features(model.tokens(TEXTS, 32), "mean", packing=is_packed)
        (features @ torch.linspace(-1, 1, 32)).square().sum().backward()
        gradients.append({name: p.grad for name, p in model.model.named_parameters() if p.grad is not None})
    assert max(value.abs().max() for value in gradients[0].values()) > 1e-3
    for name, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], value, atol=1e-5, rtol=1e-3)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("name", ["llama3", "gemma2", "gpt_neox"])
def test_flex_attention_over_a_block_mask_gives_the_same_vectors(name, tmp_path, monkeypatch):
    """What runs on CUDA, here in its uncompiled form: the block mask, the model's switch, row lengths of whole blocks."""
    model = read_language_model(source(write_checkpoint(tmp_path, DECODERS[name])), torch.float32)
    rows = model.tokens(TEXTS, 64)
    expected = model.features(rows, "mean")
    use_flex, called = packing.use_flex, []

    def uncompiled(*tensors, training, **options):
        called.append(options["block_mask"].shape)
        return flex_attention(*tensors, **options)

    monkeypatch.setattr(integration, "compile_friendly_flex_attention", uncompiled)
    monkeypatch.setattr(packing, "use_flex", lambda inner, _device: use_flex(inner, torch.device("cuda")))
    with torch.no_grad():  # torch's flex attention has no gradient on a CPU
        found = model.features(rows, "mean", packing=True)
    assert len(called) == 2 and called[0][-1] % packing.FLEX_BLOCK == 0
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_flex_attention_is_for_cuda_and_architectures_that_know_it(tmp_path):
    llama = read_language_model(source(write_checkpoint(tmp_path / "llama", DECODERS["llama3"])), torch.float32).model
    assert not packing.use_flex(llama, torch.device("cpu"))
    gpt2 = read_language_model(source(write_checkpoint(tmp_path / "gpt2", DECODERS["gpt2"])), torch.float32).model
    assert packing.use_flex(gpt2, torch.device("cuda")) == gpt2._supports_flex_attn
