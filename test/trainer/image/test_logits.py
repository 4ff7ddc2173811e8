"""Where logit scales and the bias of sigmoid loss start, and between what they stay."""

import math
from typing import cast

import pytest

from contracts.types import ClipConfig
from small_towers import CHECKPOINTS, backbone_of
from tasks.clip.scales import LogitScales
from towers.image.checkpoint import ClipBackbone


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
