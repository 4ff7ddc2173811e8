"""Attention of short texts is that of the formula, values and gradients, whichever way it is computed."""

import pytest
import torch
from torch.nn.functional import cosine_similarity

from towers.attention import MOST_TOKENS, attention, by_products


def formula(q, k, v, mask, scale):
    """In float64: softmax(q k^T * scale + mask) v, each head with the keys and values of its group."""
    heads = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(heads, 1) for x in (k, v))
    scores = torch.einsum("bhqd,bhkd->bhqk", q, k) * scale
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask.double()
    return torch.einsum("bhqk,bhkd->bhqd", scores.exp() / scores.exp().sum(-1, keepdim=True), v)


def inputs(tokens, groups, dtype):
    generator = torch.Generator().manual_seed(tokens)
    shapes = [(3, 6, tokens, 16), (3, groups, tokens, 16), (3, groups, tokens, 16)]
    return [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]


def masks(tokens, dtype):
    seen = torch.arange(tokens) < torch.tensor([[tokens], [max(1, tokens - 3)], [1]])
    lowest = torch.zeros(3, tokens).masked_fill(~seen, torch.finfo(dtype).min).to(dtype)
    return {"none": None, "bool": seen[:, None, None, :], "added": lowest[:, None, None, :].expand(-1, 1, tokens, -1)}


@pytest.mark.parametrize("kind", ["none", "bool", "added"])
@pytest.mark.parametrize(
    ("attend", "dtype", "groups"),
    [
        (attention, torch.bfloat16, 6),
        (attention, torch.float32, 6),
        (by_products, torch.bfloat16, 2),
        (by_products, torch.float32, 2),
    ],
)
@pytest.mark.parametrize("tokens", [1, 7, MOST_TOKENS, MOST_TOKENS + 1])
def test_values_and_gradients_are_those_of_the_formula(tokens, attend, dtype, groups, kind):
    mask = masks(tokens, dtype)[kind]
    given = inputs(tokens, groups, dtype)
    exact = [x.detach().double().requires_grad_() for x in given]
    q, k, v = given
    found, wanted = attend(q, k, v, mask, 0.3), formula(*exact, mask=mask, scale=0.3)
    pull = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1))
    found.backward(pull.to(dtype))
    wanted.backward(pull.to(dtype).double())
    assert found.dtype == dtype
    # bfloat16 has 8 bits: a result is off by 2^-9 of itself, and so is each of what it is made of.
    within = 2e-5 if dtype == torch.float32 else 0.03
    torch.testing.assert_close(found.double(), wanted, atol=within, rtol=within)
    for own, other in zip(given, exact, strict=True):
        assert own.grad is not None and other.grad is not None
        if tokens > 1 or own is given[2]:
            assert cosine_similarity(own.grad.double().flatten(), other.grad.flatten(), 0) > 0.9999


def test_scores_that_bfloat16_cannot_tell_apart_stay_apart():
    # 256 and 257 are one number in bfloat16, and the larger score has 0.73 of the weight.
    q = torch.tensor([[16.0, 1.0]], dtype=torch.bfloat16)[None, None].requires_grad_()
    k = torch.tensor([[16.0, 0.0], [16.0, 1.0]], dtype=torch.bfloat16)[None, None]
    q2, v = q.expand(1, 1, 2, 2), torch.tensor([[0.0], [1.0]], dtype=torch.bfloat16)[None, None]
    assert attention(q2, k, v, None, 1.0)[0, 0, 0, 0].item() == pytest.approx(0.731, abs=0.004)


def test_within_autocast_it_is_the_same():
    q, k, v = inputs(9, 6, torch.bfloat16)
    alone = attention(q, k, v, None)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(attention(q, k, v, None), alone)
