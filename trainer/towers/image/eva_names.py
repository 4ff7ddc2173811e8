"""EVA-CLIP's own checkpoints (`.pt` of its authors, and of trainers built on its code) under open_clip's names.

The authors' image tower is timm's family Eva under other names: `visual.blocks.N.attn.inner_attn_ln`, `mlp.w1` and so on, with
biases of queries and values alone. timm reads them (timm/models/eva.py), open_clip's loader does not call it. The names of their text
tower are open_clip's.
"""

import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file

IMAGE = "visual."
TRUNK = "visual.trunk."
PATCHES = "visual.patch_embed.proj.weight"  # open_clip's tower has it below `visual.trunk`
WRAPPED = ("state_dict", "module", "model")  # of open_clip's trainer, of DeepSpeed, of EVA's
PARALLEL = "module."


def is_eva(names: Iterable[str]) -> bool:
    """Whether tensors have the names of EVA-CLIP's authors."""
    return PATCHES in names


def eva_tensors(file: Path) -> dict[str, torch.Tensor] | None:
    """The tensors of a file in their own names; None for a file of another layout, which others read or refuse."""
    if not file.is_file():
        return None
    if file.suffix == ".safetensors":
        with safe_open(file, "pt") as opened:
            return load_file(file) if is_eva(opened.keys()) else None
    try:
        loaded: Any = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except (pickle.UnpicklingError, RuntimeError, EOFError):
        return None
    for key in WRAPPED:
        loaded = loaded.get(key, loaded) if isinstance(loaded, dict) else {}
    tensors = {name.removeprefix(PARALLEL): value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
    return tensors if is_eva(tensors) else None


def open_clip_names(tensors: Mapping[str, torch.Tensor], model: Any, where: str) -> dict[str, torch.Tensor]:
    """The same tensors as open_clip's model of the architecture has them; `model` may be on the meta device."""
    from timm.models.eva import Eva, checkpoint_filter_fn

    trunk = getattr(model.visual, "trunk", None)
    if not isinstance(trunk, Eva):
        raise ValueError(
            f"{where} has an image tower of EVA-CLIP's: name an architecture that has one, EVA02-B-16 or EVA02-L-14-336 for instance"
        )
    image = checkpoint_filter_fn(dict(tensors), trunk)
    others = {name: value for name, value in tensors.items() if not name.startswith(IMAGE)}
    return others | {f"{TRUNK}{name}": value for name, value in image.items()}
