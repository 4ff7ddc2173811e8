"""Contrast in tiles: closed forms, the whole matrix as a slow reference, other people's implementation, and memory."""

import math
import subprocess

import pytest
import torch
from open_clip.loss import SigLipLoss
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from losses.contrastive import (
    global_info_nce,
    global_multi_positive_nce,
    global_multi_positive_sigmoid,
    global_sigmoid,
    pair_loss,
)
from losses.keys import Keys, text_keys
from losses.matrices import info_nce, multi_positive_nce
from losses.ranks import Ranks
from warm import STAGE_ENV, warm_python

TILES = [1, 3, 4, 9]  # of matrices with 7 rows: one by one, with a rest, with the diagonal off the tiles', all in one


def unit(rows, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, 5, generator=generator, dtype=dtype), dim=-1)


def keys(rows, columns, kinds=2, seed=0):
    """Random keys with many equal ones, and some that match nothing."""
    generator = torch.Generator().manual_seed(seed)
    return Keys(*(torch.randint(-1, 4, (kinds, length), generator=generator) for length in (rows, columns)))


def slow_matches(keys):
    return torch.tensor(
        [
            [any(a == b >= 0 for a, b in zip(row, column, strict=True)) for column in keys.columns_KC.T.tolist()]
            for row in keys.rows_KB.T.tolist()
        ]
    )


def slow_sigmoid(a, b, scale_and_bias, positive, counts):
    logits = scale_and_bias[0] * a @ b.T + scale_and_bias[1]
    return -(F.logsigmoid(torch.where(positive, logits, -logits)) * counts).sum() / len(a)


def with_gradients(loss, *tensors):
    """The value of a loss and its gradients, of tensors that are leaves here."""
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    value = loss(*leaves)
    return value.detach(), torch.autograd.grad(value, leaves)


def assert_equal_losses(loss, slow, *tensors):
    torch.testing.assert_close(with_gradients(loss, *tensors), with_gradients(slow, *tensors), atol=1e-12, rtol=1e-10)


SCALE, BIAS = torch.tensor(3.0, dtype=torch.float64), torch.tensor(-1.5, dtype=torch.float64)

# ---- closed forms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", TILES)
def test_of_equal_vectors_info_nce_is_the_logarithm_of_the_candidates(tile):
    x = torch.ones(7, 4, dtype=torch.float64) / 2
    assert global_info_nce(x, x, 9.0, ranks=Ranks(tile=tile)).item() == pytest.approx(math.log(7))
    # Rows 0 and 1 are alike, and rows 2, 3 and 4: they have 6 and 5 candidates.
    alike = Keys.of(torch.tensor([5, 5, 8, 8, 8, -1, -1]))
    expected = (2 * math.log(6) + 3 * math.log(5) + 2 * math.log(7)) / 7
    assert global_info_nce(x, x, 9.0, alike, ranks=Ranks(tile=tile)).item() == pytest.approx(expected)


@pytest.mark.parametrize("tile", [1, 2, 3])
def test_positives_of_one_label_share_the_target(tile):
    # Rows of a pair have e^s / (2 e^s + 1) for each of their positives, the single row e^s / (e^s + 2).
    x, scale = torch.eye(2, dtype=torch.float64)[[0, 0, 1]], 3.0
    pair, single = math.log(2 + math.exp(-scale)), math.log(1 + 2 * math.exp(-scale))
    loss = global_multi_positive_nce(x, x, scale, Keys.of(torch.tensor([4, 4, 6])), ranks=Ranks(tile=tile))
    assert loss.item() == pytest.approx((2 * pair + single) / 3)
    # A row without a positive, and its column, are left out.
    loss = global_multi_positive_nce(x, x, scale, Keys.of(torch.tensor([4, 4, -1])), ranks=Ranks(tile=tile))
    assert loss.item() == pytest.approx(pair)


@pytest.mark.parametrize("tile", TILES)
def test_of_equal_vectors_the_sigmoid_loss_is_one_decision_right_and_the_others_wrong(tile):
    x = torch.ones(7, 4, dtype=torch.float64) / 2
    wrong, right = math.log1p(math.exp(10 - 4)), math.log1p(math.exp(4 - 10))
    assert global_sigmoid(x, x, (10.0, -4.0), ranks=Ranks(tile=tile)).item() == pytest.approx(right + 6 * wrong)
    alike = Keys.of(torch.tensor([5, 5, -1, -1, -1, -1, -1]))
    left_out = global_sigmoid(x, x, (10.0, -4.0), alike, ranks=Ranks(tile=tile))
    assert left_out.item() == pytest.approx(right + 6 * wrong - 2 * wrong / 7)
    together = Keys.of(torch.tensor([5, 5, 1, 2, 3, 4, 6]))
    both = global_multi_positive_sigmoid(x, x, (10.0, -4.0), together, ranks=Ranks(tile=tile))
    assert both.item() == pytest.approx(right + 6 * wrong + 2 * (right - wrong) / 7)


# ---- the whole matrix as a reference ---------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [1, 3, 4])
@pytest.mark.parametrize("has_keys", [False, True])
def test_info_nce_in_tiles_is_that_of_the_whole_matrix(tile, has_keys):
    found = keys(7, 7) if has_keys else None
    same = slow_matches(found) if found is not None else None
    assert_equal_losses(
        lambda a, b, s: global_info_nce(a, b, s, found, ranks=Ranks(tile=tile)),
        lambda a, b, s: info_nce(a, b, s, same),
        *(unit(7), unit(7, 1), SCALE),
    )


@pytest.mark.parametrize("tile", [1, 3, 4])
def test_several_positives_in_tiles_are_those_of_the_whole_matrix(tile):
    found = keys(7, 10, kinds=3, seed=2)
    assert 0 < slow_matches(found).sum() < 70
    assert_equal_losses(
        lambda a, b, s: global_multi_positive_nce(a, b, s, found, ranks=Ranks(tile=tile)),
        lambda a, b, s: multi_positive_nce(a, b, s, slow_matches(found)),
        *(unit(7), unit(10, 1), SCALE),
    )


@pytest.mark.parametrize("tile", TILES)
def test_the_sigmoid_loss_in_tiles_is_that_of_the_whole_matrix(tile):
    sides, own = (unit(7), unit(7, 1), SCALE, BIAS), torch.eye(7).bool()
    found = keys(7, 7)
    counts = (own | ~slow_matches(found)).double()
    assert_equal_losses(
        lambda a, b, s, t: global_sigmoid(a, b, (s, t), found, ranks=Ranks(tile=tile)),
        lambda a, b, s, t: slow_sigmoid(a, b, (s, t), own, counts),
        *sides,
    )
    found = keys(7, 10)
    assert_equal_losses(
        lambda a, b, s, t: global_multi_positive_sigmoid(a, b, (s, t), found, ranks=Ranks(tile=tile)),
        lambda a, b, s, t: slow_sigmoid(a, b, (s, t), slow_matches(found), torch.ones(7, 10)),
        *(unit(7), unit(10, 1), SCALE, BIAS),
    )


def test_gradients_in_tiles_are_those_of_finite_differences():
    a, b, scale, bias = (x.requires_grad_() for x in (unit(4), unit(4, 1), SCALE.clone(), BIAS.clone()))
    found = keys(4, 4, seed=3)
    assert torch.autograd.gradcheck(lambda x, y, s: global_info_nce(x, y, s, found, ranks=Ranks(tile=3)), (a, b, scale))
    assert torch.autograd.gradcheck(
        lambda x, y, s: global_multi_positive_nce(x, y, s, found, ranks=Ranks(tile=3)), (a, b, scale)
    )
    assert torch.autograd.gradcheck(
        lambda x, y, s, t: global_sigmoid(x, y, (s, t), ranks=Ranks(tile=3)), (a, b, scale, bias)
    )


def test_the_sigmoid_loss_is_the_one_of_open_clip():
    a, b = unit(7, dtype=torch.float32), unit(7, 1, torch.float32)
    scale, bias = torch.tensor(10.0), torch.tensor(-10.0)
    theirs = with_gradients(lambda a, b, s, t: SigLipLoss()(a, b, s, t), a, b, scale, bias)
    ours = with_gradients(lambda a, b, s, t: global_sigmoid(a, b, (s, t), ranks=Ranks(tile=3)), a, b, scale, bias)
    torch.testing.assert_close(ours, theirs)


# ---- small batches, numbers, memory ----------------------------------------------------------------------------------


def test_in_one_tile_every_bit_is_that_of_the_whole_matrix():
    a, b, found = unit(7, dtype=torch.float32), unit(7, 1, torch.float32), keys(7, 7)
    for ours, whole in [(global_info_nce, info_nce), (global_multi_positive_nce, multi_positive_nce)]:
        value, gradients = with_gradients(lambda *x, f=ours: f(*x, found), a, b, SCALE.float())
        expected, slow = with_gradients(lambda *x, f=whole: f(*x, slow_matches(found)), a, b, SCALE.float())
        assert torch.equal(value, expected) and all(map(torch.equal, gradients, slow))
    # Pairs of texts divide by the temperature.
    texts, names = [*"abcadef", *"ghijgkc"], ["x", None, "y", "x", None, None, "y"]
    same = [
        [
            texts[i] == texts[7 + j]
            or texts[i] == texts[j]
            or texts[7 + i] == texts[7 + j]
            or (names[i] is not None and names[i] == names[j])
            for j in range(7)
        ]
        for i in range(7)
    ]
    scores = (a @ b.T / 0.05).masked_fill(torch.tensor(same) & ~torch.eye(7).bool(), float("-inf"))
    target = torch.arange(7)
    expected = 0.5 * (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target))
    assert torch.equal(pair_loss(torch.cat([a, b]), texts, 0.05, names), expected)


def test_half_precision_features_are_contrasted_in_float32():
    a, b = unit(7, dtype=torch.float32), unit(7, 1, torch.float32)
    rounded = [x.bfloat16() for x in (a, b)]
    with torch.autocast("cpu", torch.bfloat16):
        value, gradients = with_gradients(lambda x, y: global_info_nce(x, y, 20.0, ranks=Ranks(tile=3)), *rounded)
    expected, slow = with_gradients(lambda x, y: info_nce(x, y, 20.0), *(x.float() for x in rounded))
    torch.testing.assert_close(value, expected, atol=1e-6, rtol=0)
    assert [gradient.dtype for gradient in gradients] == [torch.bfloat16] * 2
    for gradient, whole in zip(gradients, slow, strict=True):
        torch.testing.assert_close(gradient, whole.bfloat16(), atol=1e-6, rtol=0.01)


def test_equal_texts_have_the_same_number_in_every_process_and_none_has_one_that_matches_nothing():
    numbers = text_keys(["a dog", None, "ein Hund", "a dog"])
    code = 'from losses.keys import text_keys; print(text_keys(["ein Hund", "a dog"]).tolist())'
    done = subprocess.run([warm_python(), "-c", code], env=STAGE_ENV, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([numbers[2].item(), numbers[0].item()])
    expected = torch.tensor([[1, 0, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0], [1, 0, 0, 1]]).bool()
    assert torch.equal(Keys.of(numbers).matches(), expected)


class LargestTensor(TorchDispatchMode):
    """The numbers of the largest tensor that is made inside."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.numbers = max(self.numbers, out.numel())
        return out


@pytest.mark.parametrize(
    "loss",
    [
        lambda a, b: global_info_nce(a, b, 9.0, Keys.of(torch.arange(256) // 2), ranks=Ranks(tile=16)),
        lambda a, b: global_multi_positive_nce(a, b, 9.0, Keys.of(torch.arange(256) // 2), ranks=Ranks(tile=16)),
        lambda a, b: global_sigmoid(a, b, (9.0, -9.0), Keys.of(torch.arange(256) // 2), ranks=Ranks(tile=16)),
    ],
)
def test_no_tensor_is_larger_than_the_features_or_a_tile(loss):
    a, b = unit(256).requires_grad_(), unit(256, 1).requires_grad_()
    with LargestTensor() as largest:
        loss(a, b).backward()
    assert largest.numbers == 256 * 5


def test_what_cannot_belong_together_is_refused():
    a, b = unit(7), unit(6)
    with pytest.raises(ValueError, match="7 rows and 6 columns"):
        global_info_nce(a, b, 1.0, ranks=Ranks(tile=3))
    with pytest.raises(ValueError, match="5 and 5 keys for 7 rows and 7 columns"):
        global_sigmoid(a, a, (1.0, 0.0), Keys.of(torch.arange(5)))
    with pytest.raises(ValueError, match="same kinds"):
        Keys(torch.zeros(2, 7), torch.zeros(1, 7))
