"""The logit scales of `clip`: what cosines become before a loss."""

import math

import torch
from torch import nn

from contracts.types import ClipConfig
from towers.image.backbone import Origin, origin_of
from towers.two_towers import MAX_LOGIT_SCALE, new_logit_scale

# What sigmoid loss starts from: a scale of 10, and a bias that makes every pair a negative at first, as nearly all are.
LOG_SCALE, BIAS = math.log(10.0), -10.0


class LogitScales(nn.Module):
    """What cosines become before a loss: logarithms of scales of `captions`, `classes` and `regions`; `bias` is for sigmoid loss."""

    def __init__(self, config: ClipConfig, backbone: nn.Module) -> None:
        super().__init__()
        self.is_sigmoid = config.get("loss", "softmax") == "sigmoid"
        self.captions, self.classes = new_logit_scale(), new_logit_scale()
        self.regions = new_logit_scale() if "regions" in config else None
        self.bias = nn.Parameter(torch.tensor(BIAS)) if self.is_sigmoid else None
        if self.is_sigmoid:
            self.captions.data.fill_(LOG_SCALE)
        if config.get("logit_scale_start", "new") == "checkpoint":
            self.start_from(origin_of(backbone))

    def start_from(self, origin: Origin) -> None:
        """The checkpoint's own values, which fit its loss and no other."""
        if origin.logit_scale is None:
            raise ValueError(
                "clip.logit_scale_start is checkpoint, but this backbone holds no logit scale: name an open_clip:… one, or "
                "leave it out"
            )
        loss = "sigmoid" if self.is_sigmoid else "softmax"
        if origin.loss != loss:
            raise ValueError(
                f"clip.logit_scale_start is checkpoint, but it was trained with {origin.loss} loss: set clip.loss to "
                f"{origin.loss}, not {loss}, or leave logit_scale_start out"
            )
        self.captions.data.fill_(origin.logit_scale)
        if self.bias is None:
            for scale in self.of_softmax():
                scale.data.fill_(origin.logit_scale)
        elif origin.logit_bias is not None:
            self.bias.data.fill_(origin.logit_bias)

    def clamp(self) -> None:
        """Keep scales of softmax losses where CLIP keeps them; SigLIP's authors set no upper limit to theirs."""
        self.captions.data.clamp_(0, None if self.is_sigmoid else MAX_LOGIT_SCALE)
        for scale in self.of_softmax():
            scale.data.clamp_(0, MAX_LOGIT_SCALE)

    def of_softmax(self) -> list[nn.Parameter]:
        """Those of losses that are softmax losses whatever the loss of captions is."""
        return [self.classes] if self.regions is None else [self.classes, self.regions]
