"""Image towers of CLIP and SigLIP between the names of open_clip, timm and transformers, which hold the same numbers.

Shapes: D width, E joint dimensions, P patches and class.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch

Tensors = Mapping[str, torch.Tensor]
# transformers' CLIPModel: open_clip's VisionTransformer. {} stands for the number of a layer.
CLIP = {
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.": "visual.ln_pre.",
    "vision_model.post_layernorm.": "visual.ln_post.",
    "vision_model.encoder.layers.{}.layer_norm1.": "visual.transformer.resblocks.{}.ln_1.",
    "vision_model.encoder.layers.{}.layer_norm2.": "visual.transformer.resblocks.{}.ln_2.",
    "vision_model.encoder.layers.{}.self_attn.out_proj.": "visual.transformer.resblocks.{}.attn.out_proj.",
    "vision_model.encoder.layers.{}.mlp.fc1.": "visual.transformer.resblocks.{}.mlp.c_fc.",
    "vision_model.encoder.layers.{}.mlp.fc2.": "visual.transformer.resblocks.{}.mlp.c_proj.",
}
# transformers' SiglipModel: timm's VisionTransformer with attention pooling.
SIGLIP = {
    "vision_model.embeddings.patch_embedding.": "visual.trunk.patch_embed.proj.",
    "vision_model.embeddings.position_embedding.weight": "visual.trunk.pos_embed",
    "vision_model.post_layernorm.": "visual.trunk.norm.",
    "vision_model.encoder.layers.{}.layer_norm1.": "visual.trunk.blocks.{}.norm1.",
    "vision_model.encoder.layers.{}.layer_norm2.": "visual.trunk.blocks.{}.norm2.",
    "vision_model.encoder.layers.{}.self_attn.out_proj.": "visual.trunk.blocks.{}.attn.proj.",
    "vision_model.encoder.layers.{}.mlp.": "visual.trunk.blocks.{}.mlp.",
    "vision_model.head.probe": "visual.trunk.attn_pool.latent",
    "vision_model.head.attention.out_proj.": "visual.trunk.attn_pool.proj.",
    "vision_model.head.layernorm.": "visual.trunk.attn_pool.norm.",
    "vision_model.head.mlp.": "visual.trunk.attn_pool.mlp.",
}
LAYER = re.compile(r"\.(\d+)\.")
QUERY, KEY, VALUE = "q_proj", "k_proj", "v_proj"


def renamed(name: str, table: Mapping[str, str]) -> str | None:
    """The name on the other side of a table; None: it is none of it."""
    number = LAYER.search(name)
    for ours, theirs in table.items():
        begin = ours if number is None else ours.replace("{}", number[1])
        if name == begin or (begin.endswith(".") and name.startswith(begin)):
            return (theirs if number is None else theirs.replace("{}", number[1])) + name.removeprefix(begin)
    return None


def to_open_clip(tensors: Tensors, table: Mapping[str, str], joined: str) -> dict[str, torch.Tensor]:
    """transformers' names to open_clip's. `joined`: what stands for `weight` in the name of a layer's queries, keys and values."""
    found: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        theirs = renamed(name, table)
        if theirs is not None:
            found[theirs] = tensor
        elif QUERY in name:
            parts = [tensors[name.replace(QUERY, each)] for each in (QUERY, KEY, VALUE)]
            number, kind = LAYER.findall(name)[0], name.rpartition(".")[2]
            found[joined.replace("{}", number).replace("weight", kind)] = torch.cat(parts)
    return found


def clip_to_open_clip(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Of transformers' CLIPModel, as open_clip's VisionTransformer."""
    found = to_open_clip(tensors, CLIP, "visual.transformer.resblocks.{}.attn.in_proj_weight")
    return found | {"visual.proj": tensors["visual_projection.weight"].T}


def clip_to_transformers(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Of open_clip's VisionTransformer, as transformers' CLIPModel."""
    back = {theirs: ours for ours, theirs in CLIP.items()}
    found: dict[str, torch.Tensor] = {"visual_projection.weight": tensors["visual.proj"].T}
    for name, tensor in tensors.items():
        ours = renamed(name, back)
        if ours is not None:
            found[ours] = tensor
        elif "in_proj_" in name:
            layer = f"vision_model.encoder.layers.{LAYER.findall(name)[0]}.self_attn"
            for part, value in zip((QUERY, KEY, VALUE), tensor.chunk(3), strict=True):
                found[f"{layer}.{part}.{name.rpartition('_')[2]}"] = value
    return found


def siglip_to_open_clip(tensors: Tensors, patch: int) -> dict[str, torch.Tensor]:
    """Of transformers' SiglipModel or Siglip2Model, as timm's VisionTransformer in open_clip's TimmModel."""
    found = to_open_clip(tensors, SIGLIP, "visual.trunk.blocks.{}.attn.qkv.weight")
    found["visual.trunk.pos_embed"] = found["visual.trunk.pos_embed"][None]
    kernel = found["visual.trunk.patch_embed.proj.weight"]
    if kernel.ndim == 2:  # SigLIP 2 of any size has a layer [D, patch * patch * 3] over patches that were cut before
        found["visual.trunk.patch_embed.proj.weight"] = kernel.reshape(-1, patch, patch, 3).permute(0, 3, 1, 2)
    for kind in ("weight", "bias"):
        query, key, value = tensors[f"vision_model.head.attention.in_proj_{kind}"].chunk(3)
        found |= {
            f"visual.trunk.attn_pool.q.{kind}": query,
            f"visual.trunk.attn_pool.kv.{kind}": torch.cat([key, value]),
        }
    return {name: tensor.contiguous() for name, tensor in found.items()}


def timm_siglip(vision: Mapping[str, Any], side: int, tensors: Tensors) -> str | None:
    """timm's name of SigLIP's image tower of that shape; None: timm has none."""
    import timm

    shapes = {name.removeprefix("visual.trunk."): tensor.shape for name, tensor in tensors.items()}
    for name in timm.list_models("vit_*_siglip_*"):
        settings = timm.models.get_pretrained_cfg(name)
        if settings is None or settings.input_size[-1] != side:
            continue
        with torch.device("meta"):
            trunk: Any = timm.create_model(name, num_classes=0)
        same = {key: value.shape for key, value in trunk.state_dict().items()} == shapes
        if same and trunk.blocks[0].attn.num_heads == vision["num_attention_heads"]:
            return name
    return None
