"""How a backbone is cut: what comes before its blocks, its blocks one by one, and what comes after them, by family.

One class for a family of the two libraries. They call the library's own modules in the order of its `forward_features`, so
that a tower that is cut computes what the whole one does; a test holds each of them to that. A backbone of a family that
is not here still trains, as a whole or its head alone.

Shapes: B images, S side in pixels, T tokens, C channels, F pooled features.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from timm.layers.patch_dropout import PatchDropout, PatchDropoutWithIndices
from timm.models.byobnet import ByobNet
from timm.models.convnext import ConvNeXt
from timm.models.efficientnet import EfficientNet
from timm.models.eva import Eva
from timm.models.fastvit import FastVit
from timm.models.naflexvit import NaFlexVit
from timm.models.resnet import ResNet
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from towers.image.input_size import is_open_clip, trunk_of


class Layout:
    """A backbone as stem, blocks and end. `trunk` has the blocks; `owner` is the whole backbone that `trunk` is part of;
    `after` is what open_clip's adapter does with the features of a timm trunk before it projects them.

    `stem_names` are the children and parameters of the trunk that are used before its blocks. `block_names` is one child that
    lists the blocks, or several children that are the blocks. `end_is_layer`: what comes after the blocks is a layer of
    its own with its own learning rate, and not the norm of the last block.
    """

    stem_names: ClassVar[tuple[str, ...]] = ()
    block_names: ClassVar[tuple[str, ...]] = ("blocks",)
    end_is_layer: ClassVar[bool] = False

    def __init__(self, trunk: Any, owner: nn.Module, after: nn.Module | None = None) -> None:
        self.trunk, self.owner, self.after = trunk, owner, after

    @property
    def blocks(self) -> list[nn.Module]:
        """The blocks in their order: transformer blocks, or the stages of a convolutional network."""
        named = [self.trunk.get_submodule(name) for name in self.block_names]
        return list(named[0].children()) if len(named) == 1 else named

    def stem(self, pixels_BCSS: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """The first block's input, and what blocks are given beside it (None, or rotary positions)."""
        raise NotImplementedError

    def context(self) -> Any:
        """What blocks are given beside their input where the stem has run long ago, on whole pictures."""
        return None

    def block(self, number: int, x: torch.Tensor, context: Any) -> torch.Tensor:
        """The output of one block."""
        del context
        return self.blocks[number](x)

    def end(self, x: torch.Tensor) -> torch.Tensor:
        """The trunk's pooled features of the last block's output."""
        raise NotImplementedError

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """Pooled features [B, F] of the last block's output."""
        return self.end(x) if self.after is None else self.after(self.end(x))

    def drop_patches(self, fraction: float) -> None:
        """Leave out this fraction of the patches in training (FLIP, 2212.00794), a random one for each picture."""
        raise ValueError(
            f"clip.patch_dropout {fraction}: {type(self.trunk).__name__} is no transformer over patches, so there are none "
            "to leave out: set it to 0"
        )

    # ---- parameters ------------------------------------------------------------------------------------------------

    def stem_parameters(self) -> list[nn.Parameter]:
        """Parameters before the blocks, position embeddings included."""
        named = self.trunk.named_parameters()
        return [parameter for name, parameter in named if name.split(".")[0] in self.stem_names]

    def end_parameters(self) -> list[nn.Parameter]:
        """Parameters after the blocks: final norm, final convolution, pooling. A classifier is not part of the tower."""
        others = {id(parameter) for parameter in self.stem_parameters()}
        others |= {id(parameter) for block in self.blocks for parameter in block.parameters()}
        others |= {id(parameter) for parameter in classifier_parameters(self.trunk)}
        return [parameter for parameter in self.owner.parameters() if id(parameter) not in others]

    def layers(self, first: int) -> list[list[nn.Parameter]]:
        """Parameters from block `first` on, as lists of what has one learning rate, from the input to the output."""
        layers = [list(block.parameters()) for block in self.blocks[first:]]
        if first == 0:
            layers.insert(0, self.stem_parameters())
        if self.end_is_layer or first == len(self.blocks):
            layers.append(self.end_parameters())
        else:
            layers[-1] += self.end_parameters()
        return layers

    def undecayed(self) -> set[int]:
        """Ids of matrices that the library keeps from weight decay: position embeddings and class tokens."""
        names = self.trunk.no_weight_decay() if hasattr(self.trunk, "no_weight_decay") else set()
        return {id(parameter) for name, parameter in self.trunk.named_parameters() if name in names}


def classifier_parameters(trunk: Any) -> Iterable[nn.Parameter]:
    """The parameters of a timm model's classifier (of a CLIP tower in timm: of its projection)."""
    classifier = trunk.get_classifier() if hasattr(trunk, "get_classifier") else None
    return classifier.parameters() if isinstance(classifier, nn.Module) else ()


class Chain(Layout):
    """A network whose stem and end are plain sequences of children; `forward_head` pools."""

    end_names: ClassVar[tuple[str, ...]] = ()

    def stem(self, pixels_BCSS: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """The first stage's input [B, C, H, W]."""
        x = pixels_BCSS
        for name in self.stem_names:
            x = self.trunk.get_submodule(name)(x)
        return x, None

    def end(self, x: torch.Tensor) -> torch.Tensor:
        """Pooled features [B, F]."""
        return self.trunk.forward_head(self.last_map(x), pre_logits=True)

    def last_map(self, x: torch.Tensor) -> torch.Tensor:
        """What is pooled [B, C, H, W]."""
        for name in self.end_names:
            x = self.trunk.get_submodule(name)(x)
        return x


class EfficientNets(Chain):
    """timm's EfficientNet family."""

    stem_names = ("conv_stem", "bn1")
    end_names = ("conv_head", "bn2")
    end_is_layer = True


class FastVits(Chain):
    """FastViT: MobileCLIP's S towers."""

    stem_names = ("stem",)
    block_names = ("stages",)
    end_names = ("final_conv",)
    end_is_layer = True


class ConvNeXts(Chain):
    """ConvNeXt, the convolutional towers of open_clip."""

    stem_names = ("stem",)
    block_names = ("stages",)
    end_names = ("norm_pre",)


class ResNets(Chain):
    """timm's ResNets."""

    stem_names = ("conv1", "bn1", "act1", "maxpool")
    block_names = ("layer1", "layer2", "layer3", "layer4")


class ByobNets(Chain):
    """timm's networks from a table of blocks; CLIP's ResNets are among them."""

    stem_names = ("stem",)
    block_names = ("stages",)
    end_names = ("final_conv",)


class ClipResNets(Layout):
    """OpenAI's ResNets in open_clip, which pool by attention."""

    stem_names = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3")
    block_names = ("layer1", "layer2", "layer3", "layer4")

    def stem(self, pixels_BCSS: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """The first stage's input [B, C, H, W]."""
        return self.trunk.stem(pixels_BCSS), None

    def end(self, x: torch.Tensor) -> torch.Tensor:
        """Pooled features [B, F]."""
        return self.trunk.attnpool(x)


class VisionTransformers(Layout):
    """timm's ViT: CLIP, SigLIP, InternViT, DINO, MobileCLIP's B tower."""

    stem_names = ("cls_token", "reg_token", "pos_embed", "patch_embed", "norm_pre")
    dropout: ClassVar[type[PatchDropout | PatchDropoutWithIndices]] = PatchDropout

    def stem(self, pixels_BCSS: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Tokens [B, T, C]."""
        x = self.trunk._pos_embed(self.trunk.patch_embed(pixels_BCSS))
        return self.trunk.norm_pre(self.trunk.patch_drop(x)), None

    def end(self, x: torch.Tensor) -> torch.Tensor:
        """Pooled features [B, F]."""
        return self.trunk.forward_head(self.trunk.norm(x), pre_logits=True)

    def drop_patches(self, fraction: float) -> None:
        """See `Layout`."""
        dropout = self.dropout(fraction, num_prefix_tokens=self.trunk.num_prefix_tokens)
        self.trunk.patch_drop = dropout.train(self.trunk.training)


class Evas(VisionTransformers):
    """timm's EVA: EVA-CLIP and PE-Core. Blocks are given the rotary positions of the patches that are there."""

    stem_names = ("cls_token", "reg_token", "pos_embed", "patch_embed", "norm_pre", "rope")
    dropout = PatchDropoutWithIndices  # the rotary positions go with the patches

    def stem(self, pixels_BCSS: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Tokens [B, T, C], and rotary positions."""
        x, rope = self.trunk._pos_embed(self.trunk.patch_embed(pixels_BCSS))
        return self.trunk.norm_pre(x), rope

    def context(self) -> Any:
        """The rotary positions of all patches, as `Eva._pos_embed` makes them."""
        rope = self.trunk.rope
        if rope is None:
            return None
        if self.trunk.dynamic_img_size or not hasattr(rope, "feat_shape"):
            return rope.get_embed(shape=self.trunk.patch_embed.grid_size)
        return rope.get_embed()

    def block(self, number: int, x: torch.Tensor, context: Any) -> torch.Tensor:
        """Tokens [B, T, C]."""
        rope = context[number] if self.trunk.rope_mixed and context is not None else context
        return self.blocks[number](x, rope=rope)


class NaFlexVits(VisionTransformers):
    """timm's ViT that resizes its position embeddings as it runs (SigLIP2 NaFlex), here on square pictures."""

    stem_names = ("embeds", "norm_pre")
    dropout = PatchDropoutWithIndices

    def stem(self, pixels_BCSS: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Tokens [B, T, C]."""
        return self.trunk._forward_embeds(pixels_BCSS, None, None, None)["patches"], None


class OpenClipTransformers(Layout):
    """open_clip's own ViT: CLIP, CLIPA, CoCa."""

    stem_names = ("class_embedding", "positional_embedding", "conv1", "ln_pre")
    block_names = ("transformer.resblocks",)

    def stem(self, pixels_BCSS: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Tokens [B, T, C]."""
        return self.trunk._embeds(pixels_BCSS), None

    def end(self, x: torch.Tensor) -> torch.Tensor:
        """Pooled features [B, F]."""
        return self.trunk._pool(x)[0]

    def drop_patches(self, fraction: float) -> None:
        """See `Layout`. With timm's module: open_clip's draws on the CPU, whatever the device."""
        self.trunk.patch_dropout = PatchDropout(fraction, num_prefix_tokens=1).train(self.trunk.training)


# A class that overrides what its layout repeats (DeiT with two heads, for instance) is of none of these families.
FAMILIES: dict[type[nn.Module], type[Layout]] = {
    EfficientNet: EfficientNets,
    FastVit: FastVits,
    ConvNeXt: ConvNeXts,
    ResNet: ResNets,
    ByobNet: ByobNets,
    VisionTransformer: VisionTransformers,
    Eva: Evas,
    NaFlexVit: NaFlexVits,
}
OPEN_CLIP: dict[str, type[Layout]] = {"VisionTransformer": OpenClipTransformers, "ModifiedResNet": ClipResNets}
REPEATED = ("forward", "forward_features", "forward_head")


def layout_of(backbone: nn.Module) -> Layout | None:
    """How a backbone is cut, None where that is not known."""
    visual, trunk = getattr(backbone, "visual", None), trunk_of(backbone)
    for name, kind in OPEN_CLIP.items():
        if is_open_clip(trunk, name):
            return kind(trunk, backbone)
    for family, kind in FAMILIES.items():
        if not isinstance(trunk, family):
            continue
        if any(getattr(type(trunk), name) is not getattr(family, name) for name in REPEATED):
            return None
        if isinstance(trunk, NaFlexVit) and trunk.rope is not None:
            return None
        return kind(trunk, backbone, None if visual is None else visual.head)
    return None
