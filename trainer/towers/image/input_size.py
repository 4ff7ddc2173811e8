"""The side of a tower's input: what it is built for, and building it for another one.

Position embeddings are resized by the library that the tower is from, so that they are what its authors would get.
"""

from types import SimpleNamespace
from typing import Any

import torch
from timm.models.naflexvit import NaFlexVit
from torch import nn


def trunk_of(backbone: Any) -> Any:
    """The module of timm or open_clip that reads pixels."""
    visual = getattr(backbone, "visual", None)
    return backbone if visual is None else getattr(visual, "trunk", visual)


def is_open_clip(module: object, name: str) -> bool:
    """Whether a module is open_clip's class of that name, without importing open_clip, which takes seconds."""
    return type(module).__module__.startswith("open_clip.") and type(module).__name__ == name


def is_naflex(module: object) -> bool:
    """Whether a tower resizes its position embeddings as it runs."""
    return isinstance(module, NaFlexVit)


def built_size(backbone: Any) -> int | None:
    """The side, in pixels, that a tower is built for; None where it reads pictures of many sizes as it is."""
    trunk = trunk_of(backbone)
    if is_open_clip(trunk, "VisionTransformer"):
        return trunk.image_size[0]
    if is_open_clip(trunk, "ModifiedResNet"):
        return int(trunk.image_size)
    if is_naflex(trunk):  # learnt embeddings are a grid [1, H, W, C], others of any size
        is_grid = trunk.embeds.pos_embed_type == "learned"
        return trunk.embeds.pos_embed.shape[1] * patch_size(backbone) if is_grid else None
    patches = getattr(trunk, "patch_embed", None)
    size = getattr(patches, "img_size", None)
    if size is not None:
        return int(size[0])
    settings = getattr(trunk, "pretrained_cfg", {})
    return int(settings["input_size"][-1]) if settings.get("fixed_input_size") else None


def patch_size(backbone: Any) -> int:
    """Pixels along the side of a patch, of which the input's side is a multiple; 1 where any side will do."""
    trunk = trunk_of(backbone)
    if is_open_clip(trunk, "VisionTransformer"):
        return trunk.patch_size[0]
    patches: Any = trunk.embeds if is_naflex(trunk) else getattr(trunk, "patch_embed", None)
    if hasattr(patches, "feat_ratio"):
        return int(patches.feat_ratio())
    return 1


def set_input_size(backbone: Any, size: int) -> None:
    """Make a tower read `size` x `size` pixels; a side that it cannot be made to read is refused with those that it can."""
    trunk, built, patch = trunk_of(backbone), built_size(backbone), patch_size(backbone)
    if size == built:
        return
    if size % patch:
        lower = size // patch * patch or patch
        raise ValueError(
            f"backbone.size {size}: this tower reads multiples of {patch} pixels: {lower} or {lower + patch}, for instance"
        )
    if built is None:
        return
    if is_open_clip(trunk, "VisionTransformer"):
        resize_open_clip(trunk, size)
    elif is_naflex(trunk):
        resize_naflex(trunk, size // patch)
    elif hasattr(trunk, "set_input_size"):
        try:
            trunk.set_input_size(img_size=(size, size))
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"backbone.size {size}: {type(trunk).__name__} cannot be made to read it ({error}); it is built for {built}"
            ) from error
    else:
        raise ValueError(
            f"backbone.size {size}: {type(trunk).__name__} has position embeddings that its library does not resize: "
            f"set backbone.size to {built}"
        )


@torch.no_grad()
def resize_naflex(trunk: Any, side: int) -> None:
    """Do once what the tower would do at every step, and what no ONNX graph can: add its embeddings to a grid of noughts."""
    old = trunk.embeds.pos_embed
    grid_BTC = old.new_zeros(1, side * side, old.shape[-1])
    trunk.embeds._apply_learned_pos_embed(grid_BTC, [side, side])
    trunk.embeds.pos_embed = nn.Parameter(grid_BTC.reshape(1, side, side, -1), requires_grad=old.requires_grad)


def resize_open_clip(visual: Any, size: int) -> None:
    """What open_clip does when it loads a checkpoint into a tower of another size."""
    from open_clip.model import resize_pos_embed

    old = visual.positional_embedding
    state = {"visual.positional_embedding": old.detach()}
    visual.image_size = (size, size)
    visual.grid_size = (size // visual.patch_size[0], size // visual.patch_size[1])
    resize_pos_embed(state, SimpleNamespace(visual=visual))
    visual.positional_embedding = nn.Parameter(state["visual.positional_embedding"], requires_grad=old.requires_grad)
