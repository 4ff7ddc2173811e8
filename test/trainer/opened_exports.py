"""Exported models, opened by the libraries that they were written for: unit vectors of texts and of a picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from torch.nn import functional as F

import published_siglip
from contracts.types import PreprocessRecipe
from towers.preprocess import preprocess

Found = dict[str, np.ndarray]


def opened(layout: str, folder: Path, texts: list[str], picture: Path, recipe: PreprocessRecipe) -> Found:
    """`texts` [N, E] and `images` [1, E], as far as the folder has towers; `layout` is `hf` or `open_clip`."""
    if layout == "open_clip":
        return by_open_clip(folder, texts, picture)
    return by_transformers(folder, texts, picture, recipe)


@torch.no_grad()
def by_open_clip(folder: Path, texts: list[str], picture: Path) -> Found:
    """By its own way from a picture and from texts."""
    name = f"local-dir:{folder}"
    model: Any
    prepare: Any
    model, _, prepare = open_clip.create_model_and_transforms(name)
    pixels, ids = prepare(Image.open(picture).convert("RGB"))[None], open_clip.get_tokenizer(name)(texts)
    model = model.eval()
    return {
        "texts": model.encode_text(ids, normalize=True).numpy(),
        "images": model.encode_image(pixels, normalize=True).numpy(),
    }


@torch.no_grad()
def by_transformers(folder: Path, texts: list[str], picture: Path, recipe: PreprocessRecipe) -> Found:
    """By its classes; pixels are the server's, because transformers' processors resize to within a level or two of 255."""
    import transformers

    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kind, name = settings["model_type"], settings["architectures"][0]
    model: Any = getattr(transformers, name).from_pretrained(folder).eval()
    pixels = torch.from_numpy(preprocess(picture.read_bytes(), recipe))[None]
    found: dict[str, torch.Tensor] = {}
    if name.startswith("TimmWrapper"):
        answer = model(pixel_values=pixels)
        found["images"] = answer.logits if name.endswith("Classification") else answer.pooler_output
    else:
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        filling = "max_length" if kind.startswith("siglip") else True
        inputs = tokenizer(texts, padding=filling, truncation=True, return_tensors="pt")
        if name == "CLIPTextModelWithProjection":
            found["texts"] = model(**inputs).text_embeds
        elif kind == "clip":
            found["texts"] = model.text_projection(model.text_model(**inputs).pooler_output)
            found["images"] = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
        elif name == "SiglipTextModel":
            found["texts"] = model(input_ids=inputs["input_ids"]).pooler_output
        else:
            found["texts"] = model.get_text_features(input_ids=inputs["input_ids"]).pooler_output
            found["images"] = published_siglip.image_features(model, pixels)
    return {part: F.normalize(vectors, dim=-1).numpy() for part, vectors in found.items()}
