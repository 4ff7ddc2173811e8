"""FG-CLIP 2's terms on texts against sums that are written out by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from losses.fine_grained import FineGrained, hard_negatives, next_margin, text_contrast


def test_texts_of_known_cosines_have_the_contrast_of_their_sum():
    # Cosines 0.6 with one text, 0 with the other; the fourth is the first once more and counts as nought.
    texts = torch.tensor([[1.0, 0, 0], [0.6, 0.8, 0], [0, 0, 1], [1, 0, 0]])
    rows = [[0.6, 0, 0, 0], [0.6, 0, 0.6, 0], [0, 0, 0, 0], [0.6, 0, 0, 0]]
    expected = sum(math.log(sum(math.exp(x) for x in row)) for row in rows) / 4
    assert text_contrast(texts).item() == pytest.approx(expected, abs=1e-6)


def test_only_the_ten_nearest_texts_count():
    angles = torch.linspace(0, 3, 40)
    texts = torch.stack([angles.cos(), angles.sin()], 1)
    cosines = texts @ texts.T
    expected = 0.0
    for row in range(40):
        others = [x for n, x in enumerate(cosines[row].tolist()) if n != row]
        kept = sorted((x if x <= 0.95 else 0.0 for x in others), reverse=True)[:10]
        expected += math.log(sum(math.exp(x) for x in kept)) / 40
    assert text_contrast(texts).item() == pytest.approx(expected, abs=1e-5)


def test_wrong_texts_cost_what_their_softmax_and_their_margin_say():
    torch.manual_seed(0)
    image, text = (F.normalize(torch.randn(3, 5), dim=-1) for _ in range(2))
    wrong = F.normalize(torch.randn(3, 2, 5), dim=-1)
    there = torch.tensor([[True, True], [True, False], [False, False]])
    margin = 0.7
    right = [4 * float(image[n] @ text[n]) for n in range(3)]
    others = [[4 * float(image[n] @ wrong[n, h]) for h in range(2) if there[n, h]] for n in range(3)]
    expected = 0.0
    for own, found in zip(right[:2], others[:2], strict=True):
        pair = math.log(math.exp(own) + sum(math.exp(x) for x in found)) - own
        rank = sum(max(0.0, margin + x - own) for x in found) / len(found)
        expected += 3 * pair + 0.4 * rank
    logits = 4 * (image * text).sum(1), 4 * (wrong @ image[:, :, None]).squeeze(2)
    total, sums = hard_negatives(*logits, there, margin)
    assert total.item() == pytest.approx(expected, abs=1e-5)
    mean = sum(right[:2]) / 2 - sum(x for found in others for x in found) / 3
    assert next_margin(sums).item() == pytest.approx(min(max(mean, 0), 10), abs=1e-5)
    assert next_margin(torch.tensor([60.0, 0, 2, 2])).item() == 10


def test_pictures_without_a_wrong_text_have_no_gradient():
    right, wrong = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([[3.0], [4.0]], requires_grad=True)
    total, _ = hard_negatives(right, wrong, torch.tensor([[True], [False]]), 0.0)
    total.backward()
    assert right.grad is not None and right.grad[0] < 0 and right.grad[1] == 0
    assert wrong.grad is not None and wrong.grad[0] > 0 and wrong.grad[1] == 0


def test_a_recipe_may_have_other_numbers_than_the_paper():
    texts = torch.tensor([[1.0, 0, 0], [0.6, 0.8, 0], [0, 0, 1], [1, 0, 0]])
    # The nearest one alone, and of equal ones nothing is left out.
    nearest = text_contrast(texts, FineGrained(nearest_texts=1, equal_cosine=1.0))
    assert nearest.item() == pytest.approx((1 + 0.6 + 0 + 1) / 4, abs=1e-6)
    right, wrong, there = torch.tensor([2.0]), torch.tensor([[1.0]]), torch.tensor([[True]])
    total, sums = hard_negatives(right, wrong, there, 3.0, FineGrained(pair_weight=0.5, margin_weight=2.0))
    assert total.item() == pytest.approx(0.5 * math.log1p(math.exp(-1)) + 2 * (3 + 1 - 2), abs=1e-6)
    assert next_margin(sums, FineGrained(highest_margin=0.25)).item() == 0.25
