"""transformers' layout of an imported model: the whole model where transformers has its class, else its towers in folders of their own.

.         CLIPModel, SiglipModel or Siglip2Model with tokenizer and image processor
student/  otherwise: the text tower, CLIPTextModelWithProjection or SiglipTextModel
image/    otherwise: the image tower, as vision_towers.py has it
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from exchange.incoming.from_transformers import VISIONS
from exchange.names import Published
from exchange.outgoing.imports.as_open_clip import padded
from exchange.outgoing.imports.check import check_images, check_texts
from exchange.outgoing.imports.read import ImportedModel
from exchange.outgoing.imports.text_towers import fill, sizes_of, write_clip, write_siglip
from exchange.outgoing.imports.tokenizers import clip_tokenizer, write_siglip_tokenizer
from exchange.outgoing.imports.vision_towers import (
    VISION,
    load_strictly,
    own_shape_patch,
    vision_form,
    write_image,
    write_processor,
)
from exchange.refusal import CannotExpress
from towers.clip_bpe import ClipBpe


def write(model: ImportedModel, out: Path) -> tuple[list[str], dict[str, float], list[str]]:
    """(what a user opens, how far its vectors are from the model's, sentences on what is not there)."""
    image = model.image
    whole = None if image is None else whole_form(model, image)
    if whole is not None:
        return ["."], write_whole(model, whole[0], whole[1], out), []
    written: list[str] = []
    found: dict[str, float] = {}
    absent: list[str] = []
    try:
        write_text_tower(model, out / "student")
        written.append("student")
    except CannotExpress as error:
        absent.append(f"The text tower is not here: {error}.")
    try:
        found["images"] = write_image(model, image, out / "image")
        written.append("image")
    except CannotExpress as error:
        absent.append(f"The image tower is not here: {error}.")
    if not written:
        raise CannotExpress(" ".join(absent).removesuffix("."))
    return written, found, absent


def write_text_tower(model: ImportedModel, out: Path) -> None:
    """The class of transformers that has such a text tower."""
    shape = model.text.shape
    if shape.pooling == "context":
        write_siglip(model, out)
    elif shape.padding is None:
        write_clip(model, out)
    else:
        raise CannotExpress(
            f"every token of the text tower of {model.name} sees the padding, up to {shape.context_length} tokens, which transformers' "
            "CLIP cannot: --format open_clip and --format safetensors have it"
        )


# ---- the whole model -----------------------------------------------------------------------------


def whole_form(model: ImportedModel, image: Published) -> tuple[dict[str, Any], Mapping[str, torch.Tensor]] | None:
    """transformers' configuration and the image tower's tensors by its names; None: it has no class for the whole."""
    if image.library == "transformers":
        config = dict(image.config)
        if config["model_type"] == "clip":  # so that transformers' classes of one tower open the folder, too
            joint = {"projection_dim": model.manifest["embed_dim"]}
            config |= {part: config[part] | joint for part in ("text_config", "vision_config")}
        return config, image.tensors
    form, shape = vision_form(model, image), model.text.shape
    if form is None or not isinstance(model.tokenizer, ClipBpe) or shape.padding is not None or shape.pooling != "end":
        return None
    parts = {"text_config": clip_text_config(model), "vision_config": form.config}
    return {"model_type": form.kind, "projection_dim": shape.embed_dim, **parts}, form.tensors


def clip_text_config(model: ImportedModel) -> dict[str, Any]:
    """Of the text tower."""
    assert isinstance(model.tokenizer, ClipBpe)
    end = model.tokenizer.end
    return sizes_of(model.text.shape) | {
        "hidden_act": {"gelu_tanh": "gelu_pytorch_tanh"}.get(model.text.shape.activation, model.text.shape.activation),
        "projection_dim": model.text.shape.embed_dim,
        "bos_token_id": model.tokenizer.start,
        "eos_token_id": end,
        "pad_token_id": end,
    }


def write_whole(
    model: ImportedModel, config: dict[str, Any], tensors: Mapping[str, torch.Tensor], out: Path
) -> dict[str, float]:
    """Model, tokenizer and image processor; returns how far vectors are."""
    from transformers import AutoModel
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    theirs: Any = AutoModel.from_config(CONFIG_MAPPING[config["model_type"]].from_dict(config)).eval().float()
    load_strictly(
        theirs.vision_model, {name: value for name, value in tensors.items() if name.startswith(VISION)}, model
    )
    if config["model_type"] == "clip":
        theirs.visual_projection.load_state_dict({"weight": tensors["visual_projection.weight"]})
    text, shape, calibration = theirs.text_model, model.text.shape, model.manifest["calibration"]["text_image"]
    fill(text, model.text)
    is_siglip = hasattr(text, "head")
    with torch.no_grad():
        projection = text.head if is_siglip else theirs.text_projection
        projection.load_state_dict(model.text.projection.state_dict())
        theirs.logit_scale.fill_(calibration["scale"]).log_()
        if is_siglip:
            theirs.logit_bias.fill_(calibration["bias"])
    length, tokenizer = shape.context_length, model.tokenizer
    if isinstance(tokenizer, ClipBpe):
        clip_tokenizer(tokenizer, length).save_pretrained(out)
    else:
        write_siglip_tokenizer(out, tokenizer, length, model.name)
    theirs.save_pretrained(out)
    write_processor(model, config["model_type"], config["vision_config"], out)

    def embed_texts(ids: list[list[int]]) -> torch.Tensor:
        if is_siglip:
            return text(input_ids=padded(ids, length, shape)).pooler_output
        return torch.cat([theirs.text_projection(text(input_ids=torch.tensor([row])).pooler_output) for row in ids])

    return {
        "images": check_images(model, VISIONS[config["model_type"]](theirs), own_shape_patch(model)),
        "texts": check_texts(model, embed_texts),
    }
