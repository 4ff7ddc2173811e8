"""Reads contrastively pretrained checkpoints (CLIP, EVA-CLIP, SigLIP) with open_clip: image tower, projection, text encoder.

Names: `open_clip:MODEL@PRETRAINED`, where PRETRAINED is a tag of open_clip or a checkpoint file, or
`open_clip:local-dir:FOLDER` for a folder of open_clip_config.json and open_clip_model.safetensors, the public layout.
Shapes: B images, S side in pixels, F pooled features, N texts, E dimensions of the checkpoint's own joint space.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from contracts.types import PreprocessRecipe

PREFIX = "open_clip:"
TEXT_BATCH = 256


class ClipBackbone(nn.Module):
    """The image tower without its projection, under timm's names: pixels [B, 3, S, S] to pooled features [B, F].

    `projection` (weight [E, F], bias [E]) maps the features into the checkpoint's joint space: a head that is initialised
    with it keeps that space.
    """

    def __init__(self, visual: Any) -> None:
        super().__init__()
        self.projection = take_projection(visual)
        self.num_features = self.projection[0].shape[1]
        self.visual = visual

    def forward_features(self, pixels_BCSS: torch.Tensor) -> torch.Tensor:
        """Pooled features: the tower pools by itself."""
        return self.visual(pixels_BCSS)

    def forward_head(self, features_BF: torch.Tensor, *, pre_logits: bool) -> torch.Tensor:
        """The features as they are: the tower has no classifier."""
        if not pre_logits:
            raise ValueError("a CLIP tower has no classifier: its classes are texts")
        return features_BF

    def forward(self, pixels_BCSS: torch.Tensor) -> torch.Tensor:
        """The checkpoint's own image vectors [B, E], not normalised."""
        weight_EF, bias_E = self.projection
        return self.visual(pixels_BCSS) @ weight_EF.to(pixels_BCSS).T + bias_E.to(pixels_BCSS)

    def preprocess_recipe(self, size: int) -> PreprocessRecipe:
        """The checkpoint's own preprocessing at its own size."""
        own = self.visual.preprocess_cfg
        side = own["size"] if isinstance(own["size"], int) else own["size"][0]
        if size != side:
            raise ValueError(f"this checkpoint reads {side} x {side} pixels: set backbone.size to {side}, not {size}")
        return {
            "resize_mode": own["resize_mode"],
            "size": size,
            "interpolation": own["interpolation"],
            "crop": "center" if own["resize_mode"] == "shortest" else "none",
            "mean": [float(value) for value in own["mean"]],
            "std": [float(value) for value in own["std"]],
            "color": own["mode"].lower(),
        }


def read_backbone(name: str, *, pretrained: bool = True) -> ClipBackbone:
    """The image tower of a checkpoint by its `open_clip:` name, in eval mode; random weights unless `pretrained`."""
    return ClipBackbone(read_model(name, pretrained=pretrained).visual).eval()


def read_model(name: str, *, pretrained: bool = True) -> Any:
    """open_clip's model of both towers; a name without weights is an error, never a random tower."""
    import open_clip

    model, _, tag = name.removeprefix(PREFIX).partition("@")
    if pretrained and not tag and ":" not in model:
        raise ValueError(f"{name} names no weights: {PREFIX}MODEL@PRETRAINED, or {PREFIX}local-dir:FOLDER")
    return open_clip.create_model(
        model, pretrained=tag or None if pretrained else None, load_weights=pretrained, require_pretrained=pretrained
    ).eval()


def take_projection(visual: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Remove the projection from the tower and return it as (weight [E, F], bias [E])."""
    if isinstance(getattr(visual, "proj", None), torch.Tensor):  # open_clip's VisionTransformer: a matrix [F, E]
        weight_EF, bias_E = visual.proj.detach().T, None
        visual.proj = None
    elif hasattr(visual, "trunk"):  # timm's towers: a linear head, the trunk's classifier, or neither
        linear = [module for module in visual.head.modules() if isinstance(module, nn.Linear)]
        classifier = visual.trunk.get_classifier()
        if len(linear) == 1 and set(dict(visual.head.named_children())) <= {"drop", "proj"}:
            weight_EF, bias_E = linear[0].weight.detach(), linear[0].bias
            visual.head = nn.Identity()
        elif len(linear) == 0 and isinstance(classifier, nn.Linear):
            weight_EF, bias_E = classifier.weight.detach(), classifier.bias
            visual.trunk.reset_classifier(0)
        elif len(linear) == 0 and len(visual.head) == 0:
            weight_EF, bias_E = torch.eye(visual.trunk.num_features), None
        else:
            raise ValueError("this tower's projection is not linear: an image head cannot be initialised with it")
    else:
        raise ValueError(
            f"{type(visual).__name__} has no linear projection that an image head could be initialised with"
        )
    zeros_E = torch.zeros(len(weight_EF), device=weight_EF.device)
    return weight_EF.clone(), zeros_E if bias_E is None else bias_E.detach().clone()


def logit_scale(name: str) -> float:
    """What the checkpoint multiplies its cosines with before the softmax."""
    return float(read_model(name).logit_scale.detach().exp())


@torch.inference_mode()
def text_features(
    name: str,
    texts: list[str],
    device: torch.device,
    done_NE: torch.Tensor | None = None,
    tick: Callable[[int, Callable[[], torch.Tensor]], None] = lambda _, __: None,
) -> torch.Tensor:
    """Unit vectors [N, E] of texts by the checkpoint's own text encoder, float32 on the CPU.

    `done_NE` are the first rows from an earlier attempt; after every batch `tick` gets the number of rows and a function
    that gives all of them.
    """
    import open_clip

    model = read_model(name).to(device)
    tokenizer = open_clip.get_tokenizer(name.removeprefix(PREFIX).partition("@")[0])
    rows = [] if done_NE is None else [done_NE]
    for start in range(0 if done_NE is None else len(done_NE), len(texts), TEXT_BATCH):
        ids_NT = tokenizer(texts[start : start + TEXT_BATCH]).to(device)
        rows.append(F.normalize(model.encode_text(ids_NT).float(), dim=-1).cpu())
        tick(min(start + TEXT_BATCH, len(texts)), lambda: torch.cat(rows))
    return torch.cat(rows).clone()
