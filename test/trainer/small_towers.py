"""Image towers of every family in small, with random weights: the library's own constructors with fewer and narrower blocks."""

from collections.abc import Callable
from typing import Any

import timm
import torch
from open_clip.coca_model import CoCa
from open_clip.model import CLIP, CustomTextCLIP, set_model_preprocess_cfg

from towers.image.checkpoint import ClipBackbone
from towers.image.input_size import set_input_size

SPACE = 16
TEXT: dict[str, Any] = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1}
CODES: dict[str, Any] = {"depth": 3, "embed_dim": 32, "num_heads": 2}
VIT: dict[str, Any] = {"layers": 3, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 64}
PICTURES: dict[str, Any] = {
    "mean": (0.48, 0.46, 0.41),
    "std": (0.27, 0.26, 0.28),
    "resize_mode": "shortest",
    "mode": "RGB",
}


def clip_model(vision: dict[str, Any], kind: type = CLIP, **options: Any) -> Any:
    """open_clip's model of two small towers."""
    torch.manual_seed(0)
    text = TEXT | options.pop("text", {})
    model = kind(embed_dim=SPACE, vision_cfg=vision, text_cfg=text, **options).eval()
    size = vision["image_size"]
    set_model_preprocess_cfg(model, PICTURES | {"size": (size, size), "interpolation": "bicubic"})
    return model


def coca() -> Any:
    """A captioner, whose image tower gives two outputs."""
    vision = VIT | {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
    multimodal = TEXT | {"attn_pooler_heads": 2}
    text = {"embed_cls": True, "output_tokens": True}
    return clip_model(vision, CoCa, multimodal_cfg=multimodal, text=text)


CHECKPOINTS: dict[str, Callable[[], Any]] = {
    "open_clip ViT": lambda: clip_model(VIT, quick_gelu=True),
    "open_clip ViT, mean pooling": lambda: clip_model(VIT | {"pool_type": "avg", "no_ln_pre": True}),
    "CoCa": coca,
    "CLIP ResNet": lambda: clip_model({"layers": [1, 1, 1, 1], "width": 8, "head_width": 64, "image_size": 64}),
    "timm ConvNeXt, two-layer head": lambda: clip_model(
        {"timm_model_name": "test_convnext", "timm_pool": "", "timm_proj": "mlp", "image_size": 64}
    ),
    "sigmoid loss": lambda: clip_model(
        {"timm_model_name": "test_vit", "timm_pool": "token", "timm_proj": "linear", "image_size": 160},
        CustomTextCLIP,
        init_logit_scale=4.5,
        init_logit_bias=-12.0,
    ),
}
TIMM: dict[str, Callable[[], Any]] = {
    "EfficientNet": lambda: timm.create_model("test_efficientnet"),
    "FastViT": lambda: timm.create_model("fastvit_mci0", layers=(1, 1, 1, 1), embed_dims=(16, 16, 32, 32)),
    "ConvNeXt": lambda: timm.create_model("test_convnext2"),
    "ResNet": lambda: timm.create_model("resnet10t"),
    "ByobNet": lambda: timm.create_model("test_byobnet"),
    "ViT": lambda: timm.create_model("vit_base_patch16_clip_quickgelu_224", img_size=64, **CODES),
    "SigLIP": lambda: timm.create_model("vit_base_patch16_siglip_224", img_size=64, **CODES),
    "InternViT": lambda: timm.create_model("vit_intern300m_patch14_448", img_size=70, **CODES),
    "EVA02": lambda: timm.create_model("eva02_base_patch16_clip_224", img_size=64, **CODES),
    "EVA02-E": lambda: timm.create_model("eva02_enormous_patch14_clip_224", img_size=56, **CODES),
    "PE-Core": lambda: timm.create_model("vit_pe_core_base_patch16_224", img_size=64, attn_pool_num_heads=2, **CODES),
    "SigLIP2 NaFlex": lambda: timm.create_model("naflexvit_base_patch16_siglip", **CODES),
}
FAMILIES = [*TIMM, *CHECKPOINTS]
SIZES = {"InternViT": 70, "EVA02-E": 56, "sigmoid loss": 160}


def size_of(family: str) -> int:
    """The side of a small tower's input, in pixels."""
    return SIZES.get(family, 64)


def backbone_of(family: str) -> Any:
    """A small backbone in eval mode, of which every parameter takes part: those that start at nought are moved.

    Queries and keys are ten times what they start with, or attention would be so even that positions hardly mattered.
    """
    torch.manual_seed(0)
    backbone = TIMM[family]().eval() if family in TIMM else ClipBackbone(CHECKPOINTS[family]()).eval()
    if family == "SigLIP2 NaFlex":
        set_input_size(backbone, size_of(family))
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
            if any(part in name for part in ("qkv.weight", "q_proj.weight", "k_proj.weight", "in_proj_weight")):
                parameter.mul_(10)
    return backbone


def pixels_for(family: str, count: int = 2) -> torch.Tensor:
    """Random pixels [count, 3, S, S]."""
    size = size_of(family)
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))
