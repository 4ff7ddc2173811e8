"""One small checkpoint of each layout that files and folders of open_clip come in: imported, it gives open_clip's vectors."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from edge_clip import load
from exchange.incoming.read import read_checkpoint
from exchange.incoming.take_in import ImportOptions, import_into
from exchange.refusal import CannotExpress
from support import ROOT
from towers.preprocess import preprocess

PHOTOS = ROOT / "api" / "playground" / "samples"
TEXTS = ["a dog runs", "Ünïcode 犬 👍🏽", "two dogs and a man . " * 20]
TEXT: dict[str, Any] = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
TIMM: dict[str, Any] = {"timm_model_pretrained": False, "image_size": 256}
MODELS: dict[str, dict[str, Any]] = {
    "CLIP": {"embed_dim": 16, "quick_gelu": True, "text_cfg": TEXT, "vision_cfg": {
        "layers": 2, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 64,
    }},
    # The tower of open_clip's EVA02 models in the smallest size of timm's family.
    "EVA-CLIP": {"embed_dim": 16, "custom_text": True, "text_cfg": TEXT, "vision_cfg": {
        "image_size": 224, "timm_model_name": "eva02_tiny_patch14_224", "timm_model_pretrained": False, "timm_pool": "token", "timm_proj": None,
    }},
    "MobileCLIP2": {"embed_dim": 512, "custom_text": True, "text_cfg": TEXT | {"no_causal_mask": True}, "vision_cfg": TIMM | {
        "timm_model_name": "fastvit_mci0", "timm_pool": "avg", "timm_proj": None,
    }},
}  # fmt: skip
LAYOUTS: dict[str, Callable[[Path, Any], Path]] = {
    "folder of open_clip": lambda folder, model: folder,
    "safetensors": lambda folder, model: folder / "open_clip_model.safetensors",
    "pt, weights alone": lambda folder, model: saved(folder / "weights.pt", model.state_dict()),
    "pt of a trainer": lambda folder, model: saved(
        folder / "epoch_4.pt",
        {
            "epoch": 4,
            "name": "run",
            "state_dict": {f"module.{key}": value for key, value in model.state_dict().items()},
        },
    ),
}


def saved(file: Path, document: Any) -> Path:
    torch.save(document, file)
    return file


def published(folder: Path, name: str) -> Any:
    """A folder of open_clip with random weights, whose name open_clip knows as an architecture, too; returns its model."""
    pictures = {
        "mean": [0.48, 0.46, 0.41],
        "std": [0.27, 0.26, 0.28],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": MODELS[name], "preprocess_cfg": pictures}))
    (folder / f"twin-{name}.json").write_text(json.dumps(MODELS[name]))
    open_clip.add_model_config(folder / f"twin-{name}.json")
    torch.manual_seed(0)
    model: Any = open_clip.create_model(f"local-dir:{folder}", load_weights=False).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    save_file(
        {key: value.contiguous() for key, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    return model


CASES = [("CLIP", layout) for layout in LAYOUTS] + [
    ("EVA-CLIP", "pt, weights alone"),
    ("MobileCLIP2", "folder of open_clip"),
]


@pytest.mark.parametrize(("name", "layout"), CASES)
def test_a_checkpoint_of_each_layout_is_served_with_open_clips_vectors(name, layout, tmp_path):
    model = published(tmp_path, name)
    options = ImportOptions("twin", "1", PHOTOS, layout, "MIT", architecture=f"twin-{name}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        manifest = import_into(LAYOUTS[layout](tmp_path, model), tmp_path / "model", options)
    picture = PHOTOS / "cat.jpg"
    found = load(tmp_path / "model", device="cpu").embed(TEXTS, [str(picture)])
    pixels = torch.from_numpy(preprocess(picture.read_bytes(), manifest["image"]["preprocess"]))[None]
    with torch.no_grad():
        texts = F.normalize(model.encode_text(open_clip.get_tokenizer("ViT-B-32", context_length=24)(TEXTS)), dim=-1)
        image = F.normalize(model.encode_image(pixels), dim=-1)
    assert (found.texts * texts.numpy()).sum(1).min() > 0.99
    assert np.dot(found.images[0], image[0].numpy()) > 0.9999


@pytest.mark.parametrize("layout", ["folder of transformers", "checkpoint of the trainer", "adapter alone"])
def test_llm2clips_layouts_are_refused_with_what_their_texts_would_take(layout, tmp_path):
    width, blocks = 48, 4
    parts = {f"{block}.{name}": torch.zeros(shape) for block in range(blocks) for name, shape in {
        "ln.weight": (width,), "ln.bias": (width,), "fn.0.weight": (2 * width, width), "fn.0.bias": (2 * width,),
        "fn.3.weight": (width, 2 * width), "fn.3.bias": (width,),
    }.items()}  # fmt: skip
    parts |= {
        "4.weight": torch.ones(width),
        "4.bias": torch.ones(width),
        "5.weight": torch.ones(16, width),
        "5.bias": torch.ones(16),
    }
    prefix = "text_adapter.adaptor." if layout == "folder of transformers" else "text.text_adaptor."
    weights = {f"{prefix}{name}": value for name, value in parts.items()}
    if layout == "folder of transformers":
        config = {
            "model_type": "clip",
            "architectures": ["LLM2CLIPModel"],
            "auto_map": {"AutoModel": "modeling_llm2clip.LLM2CLIPModel"},
        }
        (tmp_path / "config.json").write_text(json.dumps(config))
        save_file(weights | {"vision_model.embeddings.class_embedding": torch.ones(8)}, tmp_path / "model.safetensors")
        source = tmp_path
    else:
        extra = {} if layout == "adapter alone" else {"visual.cls_token": torch.ones(1, 1, 8)}
        source = saved(tmp_path / "LLM2CLIP-EVA02-L-14-336.pt", weights | extra)
    count = sum(value.numel() for value in parts.values()) / 1e6
    with pytest.raises(
        CannotExpress, match=rf"a language model of width 48, which an adapter of {count:.1f} M parameters maps to 16"
    ):
        read_checkpoint(source)


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma3_text"])
def test_a_language_model_is_refused_with_where_it_belongs(kind, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(
        CannotExpress, match=rf"holds a language model \({kind}\), .* named in embed_captions\.teachers"
    ):
        read_checkpoint(tmp_path)
