"""One small checkpoint of each layout that files and folders of open_clip come in: imported, it gives open_clip's vectors."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from published_open_clip import MODELS, authors_names, published
from safetensors.torch import save_file
from torch.nn import functional as F

from edge_clip import load
from exchange.incoming.read import read_checkpoint, read_image_side
from exchange.incoming.take_in import ImportOptions, import_into
from exchange.refusal import CannotExpress
from towers.preprocess import preprocess
from warm import ROOT

PHOTOS = ROOT / "api" / "playground" / "samples"
TEXTS = ["a dog runs", "Ünïcode 犬 👍🏽", "two dogs and a man . " * 20]
LAYOUTS: dict[str, Callable[[Path, Any], Path]] = {
    "folder of open_clip": lambda folder, model: folder,
    "safetensors": lambda folder, model: folder / "open_clip_model.safetensors",
    "pt, weights alone": lambda folder, model: saved(folder / "weights.pt", model.state_dict()),
    "pt of EVA-CLIP's authors": lambda folder, model: saved(folder / "EVA02.pt", authors_names(model.state_dict())),
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


CASES = [("CLIP", layout) for layout in LAYOUTS if "EVA" not in layout] + [
    ("EVA-CLIP", "pt, weights alone"),
    ("EVA-CLIP", "pt of EVA-CLIP's authors"),
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


def test_every_tensor_of_evas_larger_towers_has_its_name():
    from timm.models.eva import Eva

    from towers.image.eva_names import open_clip_names

    trunk = Eva(
        img_size=28, patch_size=14, num_classes=6, embed_dim=32, depth=2, num_heads=2, qkv_fused=False, swiglu_mlp=True,
        scale_mlp=True, scale_attn_inner=True, use_rot_pos_emb=True, global_pool="token",
    )  # fmt: skip
    own = {f"visual.trunk.{name}": value for name, value in trunk.state_dict().items()}
    model = SimpleNamespace(visual=SimpleNamespace(trunk=trunk))
    text = {"text.text_projection": torch.ones(2, 2), "logit_scale": torch.ones(())}
    theirs = authors_names(own) | text
    assert {"visual.blocks.1.attn.inner_attn_ln.weight", "visual.blocks.1.mlp.w3.bias"} <= set(theirs)
    found = open_clip_names(theirs, model, "EVA02.pt")
    assert set(found) == set(own | text)
    assert all(torch.equal(found[name], value) for name, value in (own | text).items())
    with pytest.raises(ValueError, match=r"EVA02\.pt has an image tower of EVA-CLIP's: name an architecture"):
        open_clip_names(theirs, SimpleNamespace(visual=SimpleNamespace()), "EVA02.pt")


@pytest.mark.parametrize("name", ["CLIP", "EVA-CLIP"])
def test_the_image_tower_of_a_checkpoint_of_llm2clips_trainer_is_read_into_its_own_space(name, tmp_path):
    published(tmp_path, name)
    wider = 24  # its trainer sets the joint space anew, and leaves the text tower out
    config = MODELS[name] | {"embed_dim": wider}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    model: Any = open_clip.create_model(f"local-dir:{tmp_path}", load_weights=False).eval()
    state: Any = {key: value for key, value in model.state_dict().items() if key.startswith("visual.")}
    state = authors_names(state) if name == "EVA-CLIP" else state
    adapter = {f"text.text_adaptor.{key}": value for key, value in {
        "0.weight": torch.ones(8), "0.bias": torch.ones(8), "1.weight": torch.ones(wider, 8), "1.bias": torch.ones(wider),
    }.items()}  # fmt: skip
    file = saved(tmp_path / "LLM2CLIP.pt", {"module": state | adapter | {"logit_scale": torch.tensor(3.0)}})
    side = read_image_side(file, f"twin-{name}")
    size = side.preprocess["size"]
    pixels = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        np.testing.assert_allclose(side.image(pixels), F.normalize(model.encode_image(pixels), dim=-1), atol=1e-5)
    assert side.logit_scale == pytest.approx(np.exp(3.0))
    with pytest.raises(CannotExpress, match=r"name its image tower as open_clip calls it"):
        read_image_side(file)
    alone = saved(tmp_path / "adapter.pt", adapter)
    with pytest.raises(CannotExpress, match=r"adapter\.pt is an adapter alone"):
        read_image_side(alone, f"twin-{name}")
    state.pop("visual.patch_embed.proj.bias" if name == "EVA-CLIP" else "visual.conv1.weight")
    short = saved(tmp_path / "short.pt", state | adapter)
    with pytest.raises(CannotExpress, match=r"is not that of its architecture: it lacks"):
        read_image_side(short, f"twin-{name}")


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
