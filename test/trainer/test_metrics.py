"""Metrics against closed forms and a slow count; ties and NaN count against the model."""

import itertools

import pytest
import torch

from towers.labels import is_held_out, normalised_label
from towers.metrics import auc, mean_ranks, retrieval, spearman, target_ranks, zero_shot


def test_a_rank_counts_what_scores_at_least_as_much():
    scores = torch.tensor([[0.1, 0.9, 0.5], [0.5, 0.5, 0.5], [0.2, float("nan"), 0.3]])
    assert target_ranks(scores, torch.tensor([2, 0, 1])).tolist() == [1, 2, 2]


def test_zero_shot_names_nothing_where_all_classes_tie():
    images = torch.eye(2)
    assert zero_shot(images, torch.ones(6, 2), torch.tensor([0, 0])) == {"zero_shot_top1": 0.0, "zero_shot_top5": 0.0}
    assert zero_shot(images, images, torch.tensor([0, 1])) == {"zero_shot_top1": 1.0, "zero_shot_top5": 1.0}


def test_vectors_without_numbers_recall_nothing():
    broken = torch.full((4, 2), float("nan"))
    found = retrieval(broken, broken, torch.arange(4))
    assert (found["image_to_text_R@1"], found["text_to_image_R@1"]) == (0, 0)


def test_auc_is_the_share_of_pairs_in_order():
    positive, negative = torch.tensor([0.9, 0.5, 0.5, 0.1]), torch.tensor([0.5, 0.3, 0.0])
    share = sum(a > b for a, b in itertools.product(positive.tolist(), negative.tolist())) / 12
    assert auc(positive, negative) == pytest.approx(share)
    assert auc(torch.ones(3), torch.zeros(2)) == 1
    assert auc(torch.ones(3), torch.ones(2)) == 0


def test_equal_values_share_the_mean_of_their_ranks():
    assert mean_ranks(torch.tensor([5.0, 1.0, 3.0, 3.0])).tolist() == [4, 1, 2.5, 2.5]


def test_spearman_is_the_closed_form_of_squared_rank_differences():
    a, b = torch.tensor([1.0, 2, 3, 4, 5]), torch.tensor([2.0, 1, 4, 3, 5])
    assert spearman(a, b) == pytest.approx(1 - 6 * 4 / (5 * 24))
    assert spearman(a, -(a**3)) == pytest.approx(-1)
    assert spearman(a, torch.ones(5)) == 0  # constant: no order at all


def test_labels_are_held_out_by_the_sha256_of_their_normal_form():
    # First eight digits of `printf "zebra" | sha256sum` and so on, modulo 1000: 64, 75, 205, 183, 680.
    names = ["zebra", "Banana!", "T-shirt", "accordion", "aardvark"]
    assert [name for name in names if is_held_out(name, 0.1)] == ["zebra", "Banana!"]
    assert [name for name in names if is_held_out(name, 0.075)] == ["zebra"]
    assert normalised_label("  T-Shirt (Weiß) ") == "t shirt weiß"
    assert sum(is_held_out(f"label {number}", 0.1) for number in range(10_000)) == pytest.approx(1000, abs=120)
