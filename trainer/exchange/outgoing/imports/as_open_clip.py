"""open_clip's folder of an imported model: open_clip_config.json and open_clip_model.safetensors, opened as `local-dir:FOLDER`.

Shapes: D width, E joint dimensions.
"""

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from exchange.incoming.clip_text import ClipBlock, ClipText, ClipTextShape
from exchange.names import Published
from exchange.outgoing.imports.check import check_images, check_texts
from exchange.outgoing.imports.read import ImportedModel
from exchange.outgoing.imports.tokenizers import write_siglip_tokenizer
from exchange.outgoing.imports.vision_names import clip_to_open_clip, siglip_to_open_clip, timm_siglip
from exchange.outgoing.tokenizer_files import write_json
from exchange.refusal import CannotExpress
from towers.clip_bpe import ClipBpe
from towers.image.checkpoint import side_of
from towers.preprocess import keeps_shape

CLEANING = {"lower": "lower", "canonical": "canonicalize", "canonical_spaced": "canonicalize"}
LAYER_NORM_EPS = 1e-5  # PyTorch's, which open_clip's layers have unless a configuration says otherwise
BLOCK = {
    "ln_1": "norm_attention", "attn.out_proj": "out", "ln_2": "norm_feed_forward", "mlp.c_fc": "up", "mlp.c_proj": "down",
}  # fmt: skip


def write(model: ImportedModel, image: Published, out: Path) -> dict[str, float]:
    """Write the folder; returns how far its vectors are from the model's (`images`, `texts`)."""
    config, tensors = open_clip_form(model, image)
    pictures = model.manifest["image"]["preprocess"]
    settings = {name: pictures[name] for name in ("mean", "std", "interpolation", "resize_mode")}
    if keeps_shape(model.manifest["image"]["preprocess"]):  # open_clip's towers read squares alone
        settings["resize_mode"] = "squash"
    write_json(out / "open_clip_config.json", {"model_cfg": config, "preprocess_cfg": settings})
    theirs = built(out)
    tower: Any = theirs.text if hasattr(theirs, "text") else theirs
    prefix = "text." if hasattr(theirs, "text") else ""
    state = dict(tensors) | {f"{prefix}{name}": value for name, value in text_tensors(model.text, tower).items()}
    scale = model.manifest["calibration"]["text_image"]
    state["logit_scale"] = torch.tensor(math.log(scale["scale"])).reshape(theirs.logit_scale.shape)
    if theirs.logit_bias is not None:
        state["logit_bias"] = torch.tensor(scale["bias"]).reshape(theirs.logit_bias.shape)
    fill(theirs, state, model.name)
    save_file(
        {k: v.detach().contiguous().clone() for k, v in theirs.state_dict().items()},
        out / "open_clip_model.safetensors",
    )
    width = model.text.shape.context_length
    if not isinstance(model.tokenizer, ClipBpe):
        write_siglip_tokenizer(out, model.tokenizer, width, model.name, cleaned=True)
    return {
        "images": check_images(model, theirs.encode_image, size=side_of(theirs.visual.preprocess_cfg["size"])),
        "texts": check_texts(model, lambda ids: theirs.encode_text(padded(ids, width, model.text.shape))),
    }


def open_clip_form(model: ImportedModel, image: Published) -> tuple[dict[str, Any], Mapping[str, torch.Tensor]]:
    """How open_clip builds the model (`model_cfg`), and the image tower's tensors by its names."""
    config = dict(image.config)
    if image.library == "open_clip":
        return config, image.tensors
    vision = config["vision_config"]
    common = {"embed_dim": model.manifest["embed_dim"], "text_cfg": text_config(model, config["text_config"])}
    if config["model_type"] == "clip":
        acts = {config[part]["hidden_act"] == "quick_gelu" for part in ("vision_config", "text_config")}
        if len(acts) > 1:
            raise CannotExpress(
                "open_clip has one activation for both towers, QuickGELU or not: this checkpoint has two"
            )
        return common | {"quick_gelu": acts.pop(), "vision_cfg": vision_config(vision)}, clip_to_open_clip(
            image.tensors
        )
    tensors = siglip_to_open_clip(image.tensors, vision["patch_size"])
    # Position embeddings of SigLIP 2 may be fewer than the patches that are read.
    patches = vision.get("num_patches")
    side = round(patches**0.5) * vision["patch_size"] if patches else model.manifest["image"]["preprocess"]["size"]
    name = timm_siglip(vision, side, tensors)
    if name is None:
        raise CannotExpress(
            f"open_clip builds SigLIP's image towers by timm's names, and timm has none of {vision['num_hidden_layers']} layers of width "
            f"{vision['hidden_size']} for pictures of {side} pixels in patches of {vision['patch_size']}: --format hf has this shape"
        )
    timm = {
        "image_size": side,
        "timm_model_name": name,
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
    }
    return common | {"custom_text": True, "init_logit_bias": 0.0, "vision_cfg": timm}, tensors


def vision_config(vision: Mapping[str, Any]) -> dict[str, Any]:
    """Of transformers' CLIP as open_clip's VisionTransformer."""
    width = vision["hidden_size"]
    found = {
        "image_size": vision["image_size"],
        "layers": vision["num_hidden_layers"],
        "width": width,
        "head_width": width // vision["num_attention_heads"],
        "patch_size": vision["patch_size"],
        "mlp_ratio": ratio(vision["intermediate_size"], width),
    }
    return found | normal_layers(vision["layer_norm_eps"], vision["hidden_act"])


def text_config(model: ImportedModel, text: Mapping[str, Any]) -> dict[str, Any]:
    """Of the text tower, for a checkpoint of transformers."""
    shape = model.text.shape
    found: dict[str, Any] = {
        "context_length": shape.context_length,
        "vocab_size": shape.vocabulary_size,
        "width": shape.width,
        "heads": shape.heads,
        "layers": shape.layers,
        "mlp_ratio": ratio(shape.hidden, shape.width),
    }
    found |= normal_layers(text["layer_norm_eps"], text["hidden_act"])
    if shape.padding is not None:
        found |= {"no_causal_mask": True, "pad_id": shape.padding}
    if shape.pooling == "context":
        found["pool_type"] = "last"
    if shape.projection_bias:
        found["proj_bias"] = True
    if not isinstance(model.tokenizer, ClipBpe):
        # A folder's tokenizer is read from the folder, whatever the name: open_clip asks only that there is one.
        clean = CLEANING[model.tokenizer.cleaning or "lower"]
        found |= {"hf_tokenizer_name": model.name, "tokenizer_kwargs": {"clean": clean}}
    return found


def normal_layers(eps: float, activation: str) -> dict[str, Any]:
    """What differs from open_clip's layers: their normalisation's epsilon and GELU's approximation."""
    norm = {} if eps == LAYER_NORM_EPS else {"norm_kwargs": {"eps": eps}}
    return norm | ({} if activation in ("gelu", "quick_gelu") else {"act_kwargs": {"approximate": "tanh"}})


def ratio(hidden: int, width: int) -> float:
    """What open_clip multiplies a width with and cuts to a whole number."""
    exact = hidden / width
    return exact if int(width * exact) == hidden else math.ceil(exact * 1e4) / 1e4


def text_tensors(text: ClipText, theirs: Any) -> dict[str, torch.Tensor]:
    """The text tower's by the names of open_clip's TextTransformer."""
    found = {
        "token_embedding.weight": text.table.weight,
        "positional_embedding": text.positions,
        "ln_final.weight": text.norm.weight,
        "ln_final.bias": text.norm.bias,
    }
    for number, block in enumerate(text.blocks):
        assert isinstance(block, ClipBlock)
        layer = f"transformer.resblocks.{number}"
        found |= {f"{layer}.attn.in_proj_{kind}": getattr(block.qkv, kind) for kind in ("weight", "bias")}
        for name, own in BLOCK.items():
            found |= {f"{layer}.{name}.{kind}": getattr(getattr(block, own), kind) for kind in ("weight", "bias")}
    projection = theirs.text_projection
    if isinstance(projection, nn.Linear):
        found |= {f"text_projection.{name}": value for name, value in text.projection.named_parameters()}
    elif projection is not None:
        found["text_projection"] = text.projection.weight.T
    return found


def padded(ids: list[list[int]], width: int, shape: ClipTextShape) -> torch.Tensor:
    """Ids as open_clip's tokenizers fill them up: with zeros, or with what every token was trained to see."""
    filling = 0 if shape.padding is None else shape.padding
    return torch.tensor([row + [filling] * (width - len(row)) for row in ids])


def built(folder: Path) -> Any:
    """open_clip's model of a configuration, with weights that are not yet the checkpoint's."""
    import open_clip

    with quiet():
        return open_clip.create_model(f"local-dir:{folder}", load_weights=False).eval()


@contextmanager
def quiet() -> Iterator[None]:
    """Without what open_clip says of weights that are loaded afterwards."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def fill(theirs: nn.Module, state: Mapping[str, torch.Tensor], name: str) -> None:
    """Load all tensors; raises CannotExpress where the library's model has others."""
    try:
        theirs.load_state_dict(dict(state))
    except RuntimeError as error:
        raise CannotExpress(f"open_clip builds another model of the configuration of {name}: {error}") from error
