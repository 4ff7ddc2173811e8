"""transformers' layout of CLIP: what `CLIPModel.save_pretrained` and its processor's write.

Shapes: B images, S side in pixels, E joint dimensions.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from contracts.types import PreprocessRecipe
from exchange.incoming.checkpoint import Checkpoint, UnitVectors, clip_text
from exchange.incoming.clip_text import ClipText, ClipTextShape
from exchange.refusal import CannotExpress
from towers.clip_bpe import ClipBpe
from towers.image.preprocessing import recipe_of
from towers.preprocess import FILTERS


class ProjectedVision(nn.Module):
    """transformers' image tower and its projection."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision, self.projection = model.vision_model, model.visual_projection

    def forward(self, pixels_B3SS: torch.Tensor) -> torch.Tensor:
        """[B, E], not normalised."""
        return self.projection(self.vision(pixel_values=pixels_B3SS).pooler_output)


def read_transformers(folder: Path) -> Checkpoint:
    """A folder that `CLIPModel.save_pretrained` and its processor's wrote."""
    kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    if kind != "clip":
        raise CannotExpress(
            f"{folder} holds a model of type {kind}: of transformers' layouts only clip is imported. No isolate holds SigLIP's "
            "text towers (B/16: 105 MiB in int8) nor LLM2CLIP's, which is a language model: their image towers are backbones of recipes "
            "(docs/towers.md)"
        )
    from transformers import CLIPModel

    model: Any = CLIPModel.from_pretrained(folder, attn_implementation="eager").eval().float()
    return Checkpoint(
        image=UnitVectors(ProjectedVision(model)).eval(),
        text=transformers_text(model),
        tokenizer=transformers_tokenizer(folder),
        preprocess=transformers_preprocessing(folder),
        logit_scale=float(model.logit_scale.detach().exp()),
        logit_bias=None,
    )


def transformers_text(model: Any) -> ClipText:
    """transformers' CLIPTextTransformer."""
    text, config = model.text_model, model.config.text_config
    if config.hidden_act not in ("gelu", "quick_gelu"):
        raise CannotExpress(f"the text tower computes {config.hidden_act}; gelu and quick_gelu are served")
    shape = ClipTextShape(
        vocabulary_size=config.vocab_size,
        context_length=config.max_position_embeddings,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        layers=config.num_hidden_layers,
        hidden=config.intermediate_size,
        embed_dim=model.config.projection_dim,
        activation=config.hidden_act,
        eps=config.layer_norm_eps,
        padding=None,
    )
    parts = []
    for layer in text.encoder.layers:
        attention = layer.self_attn
        heads = (attention.q_proj, attention.k_proj, attention.v_proj)
        qkv = (torch.cat([each.weight for each in heads]), torch.cat([each.bias for each in heads]))
        parts.append(
            {
                "norm_attention": layer.layer_norm1,
                "qkv": qkv,
                "out": attention.out_proj,
                "norm_feed_forward": layer.layer_norm2,
                "up": layer.mlp.fc1,
                "down": layer.mlp.fc2,
            }
        )
    rows, positions = text.embeddings.token_embedding.weight, text.embeddings.position_embedding.weight
    return clip_text(shape, rows, positions, parts, (text.final_layer_norm, model.text_projection.weight.T))


def transformers_tokenizer(folder: Path) -> ClipBpe:
    """From `vocab.json` and `merges.txt`, or from `tokenizer.json`."""
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        ids: dict[str, int] = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
        pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    elif (folder / "tokenizer.json").is_file():
        model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
        if model.get("type") != "BPE" or model.get("end_of_word_suffix") != "</w>":
            raise CannotExpress(f"{folder / 'tokenizer.json'} is no byte-pair encoding like CLIP's")
        ids, pairs = model["vocab"], [pair if isinstance(pair, list) else pair.split(" ") for pair in model["merges"]]
    else:
        raise CannotExpress(
            f"{folder} has no vocab.json with merges.txt, and no tokenizer.json: texts cannot be read without"
        )
    pieces = sorted(ids, key=lambda piece: ids[piece])
    if [ids[piece] for piece in pieces] != list(range(len(pieces))):
        raise CannotExpress(f"the ids of the vocabulary in {folder} have gaps")
    return ClipBpe(pieces, [(left, right) for left, right in pairs])


def transformers_preprocessing(folder: Path) -> PreprocessRecipe:
    """From `preprocessor_config.json`."""
    file = folder / "preprocessor_config.json"
    if not file.is_file():
        raise CannotExpress(f"{folder} has no preprocessor_config.json, which says how pictures are prepared")
    own = json.loads(file.read_text(encoding="utf-8"))
    size, crop = own["size"], own.get("crop_size")
    shortest = size if isinstance(size, int) else size.get("shortest_edge")
    side = crop if isinstance(crop, int) or crop is None else crop["height"]
    names = {2: "bilinear", 3: "bicubic"}
    interpolation = names.get(own.get("resample", 3), str(own.get("resample")))
    if interpolation not in FILTERS:
        raise CannotExpress(f"{file} resamples with filter {own.get('resample')}: {' and '.join(FILTERS)} are served")
    if shortest is not None and own.get("do_center_crop", True) and side == shortest:
        return recipe_of(shortest, "shortest", interpolation, own["image_mean"], own["image_std"])
    if isinstance(size, dict) and size.get("height") == size.get("width") and not own.get("do_center_crop", False):
        return recipe_of(size["height"], "squash", interpolation, own["image_mean"], own["image_std"])
    raise CannotExpress(
        f"{file} resizes to {size} and crops to {crop}: served are a squashed square, and a cropped one of one side"
    )
