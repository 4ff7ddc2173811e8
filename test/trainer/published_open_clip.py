"""Small random two-tower models in open_clip's layout of a folder, and EVA-CLIP's tensors as their authors name them."""

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file

PICTURES = {
    "mean": [0.48, 0.46, 0.41],
    "std": [0.27, 0.26, 0.28],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
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
# From timm's family Eva to the names in EVA-CLIP's repository (eva_vit_model.py), the longer ones first.
AUTHORS = {
    "visual.trunk.": "visual.", "attn.q_proj.bias": "attn.q_bias", "attn.v_proj.bias": "attn.v_bias",
    "attn.norm.": "attn.inner_attn_ln.", "mlp.norm.": "mlp.ffn_ln.", "mlp.fc1_g.": "mlp.w1.", "mlp.fc1_x.": "mlp.w2.",
    "mlp.fc2.": "mlp.w3.",
}  # fmt: skip


def authors_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """As EVA-CLIP's authors save it, with the rotary tables that they keep in every block."""
    found = {"visual.rope.freqs_cos": torch.zeros(4, 2), "visual.blocks.0.attn.rope.freqs_sin": torch.zeros(4, 2)}
    for name, value in state.items():
        for ours, theirs in AUTHORS.items() if name.startswith("visual.") else ():
            name = name.replace(ours, theirs)
        found[name] = value
    return found


def published(folder: Path, name: str) -> Any:
    """A folder of open_clip with random weights, whose name open_clip knows as an architecture, too; returns its model."""
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": MODELS[name], "preprocess_cfg": PICTURES}))
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
