"""The image tower that is trained and served: a backbone without classifier, and a head into the joint space.

Shapes: B images, P boxes of each, S side in pixels, T tokens, F pooled backbone features, E joint dimensions.
"""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from engine.optim import param_groups
from towers.image.layouts import Layout, layout_of
from towers.regions.align import box_means
from towers.regions.grid import grid_of


class ImageTower(nn.Module):
    """Backbone without classifier, then a linear head; `forward` maps pixels [B, 3, S, S] to unit vectors [B, E].

    `forward_frozen` runs once per crop, `forward_trainable` trains. A backbone whose blocks are known (towers/image/layouts.py)
    can be split at each of them; every backbone can be frozen as a whole (block None): then the activations are the
    features.
    """

    center_F: torch.Tensor

    backbone: Any  # timm's classes share these names, not a type

    def __init__(self, backbone: nn.Module, embed_dim: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.layout = layout_of(backbone)
        self.head = nn.Linear(feature_width(backbone), embed_dim)
        # Features are dropped to this value: zero would move the mean image. Not part of the saved tower.
        self.register_buffer("center_F", torch.zeros(self.head.in_features), persistent=False)

    # ---- cutting -----------------------------------------------------------------------------------------------------

    @property
    def block_count(self) -> int:
        """The largest possible `first_trainable_block`: what comes after the last block can be trained alone."""
        return len(self.blocks())

    def blocks(self) -> list[nn.Module]:
        """The backbone's blocks from the input to the output, empty where they are not known."""
        return [] if self.layout is None else self.layout.blocks

    def cut_at(self, block: int) -> Layout:
        """The layout of a backbone that can be split before `block`."""
        if self.layout is None or block > self.block_count:
            raise ValueError(f"first_trainable_block {block}: this backbone can be split at 0..{self.block_count}")
        return self.layout

    def forward_frozen(self, pixels_BCSS: torch.Tensor, block: int | None) -> torch.Tensor:
        """Activations before block `block` ([B, C, H, W], or [B, T, C] of a transformer); the pixels themselves for 0, the
        pooled features for None."""
        if block == 0:
            return pixels_BCSS
        if block is None:
            return self.pooled_features(pixels_BCSS, 0)
        layout = self.cut_at(block)
        x, context = layout.stem(pixels_BCSS)
        for number in range(block):
            x = layout.block(number, x, context)
        return x

    def pooled_features(self, x: torch.Tensor, block: int | None) -> torch.Tensor:
        """Pooled features [B, F] from the output of `forward_frozen`."""
        if block is None:
            return x
        if block == 0:
            return self.backbone.forward_head(self.backbone.forward_features(x), pre_logits=True)
        return self.cut_at(block).pooled(self.last_output(x, block))

    def last_output(self, x: torch.Tensor, block: int) -> torch.Tensor:
        """What the last block makes of the output of `forward_frozen`."""
        layout = self.cut_at(block)
        x, context = layout.stem(x) if block == 0 else (x, layout.context())
        for number in range(block, self.block_count):
            x = layout.block(number, x, context)
        return x

    # ---- what recipes set ----------------------------------------------------------------------------------------------

    def drop_patches(self, fraction: float, block: int | None) -> None:
        """Leave out a fraction of the patches of every picture in training (FLIP, 2212.00794), before the first block."""
        if fraction == 0:
            return
        if block != 0:
            raise ValueError(
                f"clip.patch_dropout {fraction}: patches are left out before the first block, but embed_images has stored "
                f"what comes after it: set embed_images.first_trainable_block to 0, not {block}"
            )
        if self.layout is None:
            raise ValueError(
                f"clip.patch_dropout {fraction}: the patches of {type(self.backbone).__name__} are not known: set it to 0"
            )
        self.layout.drop_patches(fraction)

    # ---- computing ----------------------------------------------------------------------------------------------------

    def forward_trainable(self, x: torch.Tensor, block: int | None, dropout: float = 0.0) -> torch.Tensor:
        """Unit vectors [B, E] from the output of `forward_frozen`."""
        return self.forward_head(self.pooled_features(x, block).float(), dropout)

    def forward_regions(
        self, x: torch.Tensor, block: int | None, boxes_BP4: torch.Tensor, dropout: float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Unit vectors of pictures [B, E] as `forward_trainable` has them, and of the boxes in each [B, P, E].

        Boxes are [left, top, right, bottom] in fractions of the input. The vector of one is what the head makes of the mean of the
        last grid over it (FG-CLIP, 2505.05071, has RoIAlign there): of a box that is the whole picture it is that of the picture where
        the backbone pools by a mean.
        """
        if block is None:
            raise ValueError(
                "clip.regions: embed_images stored pooled features, which know of no places: set "
                "embed_images.first_trainable_block to the number of a block, not null"
            )
        layout, last = self.cut_at(block), self.last_output(x, block)
        with torch.autocast(last.device.type, enabled=False):
            means_BPF = box_means(grid_of(layout, last.float()), boxes_BP4)
        image_BE = self.forward_head(layout.pooled(last).float(), dropout)
        return image_BE, self.forward_head(means_BPF, dropout)

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
        tower = self.to(device, dtype, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - not in the stubs
        if device.type == "cpu":
            keep_from_channels_last(tower)
        return tower

    def train(self, mode: bool = True) -> "ImageTower":  # noqa: FBT001, FBT002 - the signature of nn.Module
        """Train, but keep ImageNet's batch statistics: those of small batches of one data set would be worse."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    # ---- what is trained, and how fast ---------------------------------------------------------------------------------

    def trainable_groups(self, block: int | None, lr: float, head_lr: float, layer_decay: float) -> list[dict]:
        """Parameter groups from `block` up: the last block at `lr`, every block below it `layer_decay` times the next.

        Matrices and vectors are groups of their own; vectors, position embeddings and class tokens do not decay. The head's
        come last; one that needs no gradients has none.
        """
        fixed = getattr(self.backbone, "fixed_parameters", frozenset())
        fixed_ids = {id(parameter) for name, parameter in self.backbone.named_parameters() if name in fixed}
        for parameter in self.backbone.parameters():
            parameter.requires_grad_(requires_grad=False)
        head = param_groups(self.head, lr=head_lr)
        if block is None:
            return head
        groups = []
        undecayed = set() if self.layout is None else self.layout.undecayed()
        for depth, layer in enumerate(reversed(self.trainable_layers(block, layer_decay))):
            parameters = [parameter for parameter in layer if id(parameter) not in fixed_ids]
            for parameter in parameters:
                parameter.requires_grad = True
            rate = lr * layer_decay**depth
            matrices = [p for p in parameters if p.ndim > 1 and id(p) not in undecayed]
            vectors = [p for p in parameters if p.ndim <= 1 or id(p) in undecayed]
            groups.append({"params": matrices, "lr": rate})
            groups.append({"params": vectors, "lr": rate, "weight_decay": 0.0})
        return [*(group for group in groups if group["params"]), *head]

    def trainable_layers(self, block: int, layer_decay: float) -> list[list[nn.Parameter]]:
        """Lists of parameters of one learning rate each, from the input to the output."""
        if block > 0 or self.layout is not None:
            return self.cut_at(block).layers(block)
        if layer_decay != 1:
            raise ValueError(
                f"clip.layer_decay {layer_decay}: the blocks of {type(self.backbone).__name__} are not known, so all of it "
                "has one learning rate: set it to 1"
            )
        return [list(self.backbone.parameters())]


def keep_from_channels_last(module: nn.Module) -> None:
    """Give strided 1 x 1 convolutions over few channels (the first of MobileCLIP's towers) their input channel by channel.

    On a CPU their gradient in the other layout writes beyond its memory (torch 2.13), which ends the process at some later time.
    """
    for convolution in module.modules():
        if not isinstance(convolution, nn.Conv2d) or convolution.kernel_size != (1, 1):
            continue
        if convolution.stride != (1, 1) and convolution.in_channels < 16:
            # Of a 1 x 1 weight both layouts look the same: only a copy has the strides of the one that is meant.
            convolution.weight.data = convolution.weight.data.clone(memory_format=torch.contiguous_format)
            convolution.register_forward_pre_hook(lambda _, given: (given[0].contiguous(), *given[1:]))


def feature_width(backbone: Any) -> int:
    """F, the width of a backbone's pooled features: what its classifier reads."""
    return int(getattr(backbone, "head_hidden_size", backbone.num_features))


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


@torch.inference_mode()
def image_vectors(tower: ImageTower, activations: np.ndarray, block: int | None) -> torch.Tensor:
    """Unit vectors of activations [N, E], float32 on the CPU."""
    tower.eval()
    out = []
    for start in range(0, len(activations), 128):
        x = as_read(np.array(activations[start : start + 128]), tower.head.weight.device)
        out.append(tower.forward_trainable(x, block).cpu())
    return torch.cat(out).clone()


def as_read(activations: np.ndarray, device: torch.device, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Stored activations as the trained part of a tower reads them: maps with their channels last."""
    x = torch.from_numpy(activations).to(device, dtype)
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
