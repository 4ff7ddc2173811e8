"""Sigmoid loss against open_clip's, and where scale and bias start."""

import math
from typing import cast

import pytest
import torch
from open_clip.loss import SigLipLoss
from torch.nn import functional as F

from contracts.types import ClipConfig
from small_towers import CHECKPOINTS, backbone_of
from tasks.clip_objective import LogitScales
from towers.image.checkpoint import ClipBackbone
from towers.image.sigmoid import sigmoid_loss


def unit(*shape: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def test_sigmoid_loss_is_open_clips():
    image, text = unit(7, 5, seed=0).requires_grad_(), unit(7, 5, seed=1)
    scale, bias = torch.tensor(11.0, dtype=torch.float64), torch.tensor(-9.0, dtype=torch.float64)
    expected, found = SigLipLoss()(image, text, scale, bias), sigmoid_loss(image, text, scale, bias)
    torch.testing.assert_close(found, expected)
    (wanted,), (gradient,) = torch.autograd.grad(expected, [image]), torch.autograd.grad(found, [image])
    torch.testing.assert_close(gradient, wanted)


def test_equal_texts_are_no_negatives_of_each_other():
    vectors = torch.ones(3, 4) / 2
    same = torch.zeros(3, 3, dtype=torch.bool)
    same[0, 1] = same[1, 0] = True
    # Cosines of 1, scale 2, bias -1: a positive costs log(1 + 1/e), each of the four negatives that are left log(1 + e).
    expected = math.log(1 + math.exp(-1)) + 4 / 3 * math.log(1 + math.e)
    assert sigmoid_loss(vectors, vectors, 2.0, -1.0, same).item() == pytest.approx(expected, abs=1e-6)


def scales(checkpoint: str, **config: str) -> LogitScales:
    backbone = ClipBackbone(CHECKPOINTS[checkpoint]()) if checkpoint in CHECKPOINTS else backbone_of(checkpoint)
    return LogitScales(cast(ClipConfig, config), backbone)


def values(found: LogitScales) -> list[float]:
    return [parameter.item() for parameter in found.parameters()]


def test_scale_and_bias_start_where_the_recipe_says():
    new = math.log(1 / 0.07)
    assert values(scales("ViT")) == pytest.approx([new, new])
    assert values(scales("sigmoid loss")) == pytest.approx([new, new])
    # The paper's own start: a scale of 10, a bias of -10.
    assert values(scales("ViT", loss="sigmoid")) == pytest.approx([math.log(10), new, -10])
    started = scales("sigmoid loss", loss="sigmoid", logit_scale_start="checkpoint")
    assert values(started) == pytest.approx([4.5, new, -12])
    # SigLIP's checkpoints end above the 100 at which CLIP's are held.
    started.captions.data.fill_(5.0)
    started.clamp()
    assert values(started) == pytest.approx([5.0, new, -12])
    held = scales("ViT")
    held.captions.data.fill_(5.0)
    held.clamp()
    assert held.captions.exp().item() == pytest.approx(100)


def test_a_start_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"holds no logit scale: name an open_clip:… one"):
        scales("ViT", logit_scale_start="checkpoint")
    with pytest.raises(ValueError, match=r"trained with sigmoid loss: set clip\.loss to sigmoid, not softmax"):
        scales("sigmoid loss", logit_scale_start="checkpoint")
    with pytest.raises(ValueError, match=r"trained with softmax loss: set clip\.loss to softmax, not sigmoid"):
        scales("open_clip ViT", loss="sigmoid", logit_scale_start="checkpoint")
