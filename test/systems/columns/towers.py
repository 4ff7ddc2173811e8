"""Tiny twins of image towers: random weights in the public layout, made by the published configuration with smaller numbers.

The names of a twin's tensors are those of the published model but for the numbers of blocks, which `load` holds them to.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch
from open_clip.model import TimmModel
from safetensors.torch import load_file, save_file
from timm.models._hub import save_config_for_hf
from torch.nn import functional as F

from columns.system import Failed, Tower, near
from towers.image.backbone import create_backbone
from towers.image.checkpoint import PREFIX, published_preprocessing
from towers.image.table import TOWERS, measured
from towers.image.tower import ImageTower

SPACE = 32  # dimensions of a twin's joint space, and of the small recipe's
SMALL: dict[str, Any] = {"depth": 3, "embed_dim": 32, "num_heads": 2}
SMALL_TEXT: dict[str, Any] = {"width": 32, "heads": 2, "layers": 2}
CLOSE = 1e-5
PIXELS = 3  # pictures that are compared


# ---- writing --------------------------------------------------------------------------------------


def small_trunk(architecture: str, patches: int = 4) -> dict[str, Any]:
    """The arguments of timm's constructor that make an architecture small: few narrow blocks over few patches a side."""
    if architecture.startswith("fastvit"):
        model: Any = timm.create_model(architecture, device="meta")
        stages = len(model.stages)
        return {"layers": (1,) * stages, "embed_dims": (16, 16, 32, 32, 32)[:stages]}
    if architecture.startswith("convnext"):
        return {"depths": (1, 1, 1, 1), "dims": (16, 16, 32, 32)}
    if architecture.startswith(("test_", "resnet", "tf_efficientnet")):
        return {}
    if architecture == "vit_base_mci_224":  # its convolutions before the blocks are as wide as the published tower
        return {"depth": 1, "img_size": 16 * patches}
    patch = int(re.search(r"patch(\d+)", architecture)[1]) if "patch" in architecture else 16  # pyright: ignore[reportOptionalSubscript]
    args = SMALL if "naflex" in architecture else SMALL | {"img_size": patches * patch}
    return args | ({"attn_pool_num_heads": 2} if "pe_core" in architecture else {})


def write_trunk(folder: Path, architecture: str, *, with_weights: bool = True, **arguments: Any) -> Any:
    """A small model of timm in timm's layout of a folder: config.json, model.safetensors."""
    torch.manual_seed(0)
    model = timm.create_model(architecture, **small_trunk(architecture) | arguments).eval()
    move(model)
    folder.mkdir(parents=True, exist_ok=True)
    save_config_for_hf(model, str(folder / "config.json"))
    if with_weights:
        state = {name: value.contiguous() for name, value in model.state_dict().items()}
        save_file(state, folder / "model.safetensors")
    return model


def move(model: torch.nn.Module) -> None:
    """Move what starts at nought: a tensor that a loader forgets would not show."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim:
                parameter.add_(0.02 * torch.randn_like(parameter))


def write_two_towers(folder: Path, published: str, tokenizer: Any = None) -> str:
    """A small twin of open_clip's `published` model (MODEL@PRETRAINED) in open_clip's layout of a folder; its name for a recipe."""
    model, _, tag = published.partition("@")
    config: Any = json.loads(json.dumps(open_clip.get_model_config(model)))
    vision, text = config["vision_cfg"], config["text_cfg"]
    config["embed_dim"] = SPACE
    text |= SMALL_TEXT
    folder.mkdir(parents=True, exist_ok=True)
    if "timm_model_name" in vision:
        # The published trunk, small: open_clip reads a folder where the library's name stands.
        trunk = write_trunk(folder / "trunk", vision["timm_model_name"], with_weights=False)
        vision |= {"timm_model_name": f"local-dir:{folder / 'trunk'}", "image_size": side_of(trunk)}
    else:
        vision |= {"layers": 3, "width": 32, "head_width": 16, "image_size": 4 * vision["patch_size"]}
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
        text["vocab_size"] = len(tokenizer)
    pictures = published_preprocessing(model, tag)
    document = {"model_cfg": config, "preprocess_cfg": {**pictures, "size": vision["image_size"]}}
    (folder / "open_clip_config.json").write_text(json.dumps(document, indent=2), encoding="utf-8")
    torch.manual_seed(0)
    twin = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    move(twin)
    state = {name: value.contiguous() for name, value in twin.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return f"{PREFIX}local-dir:{folder}"


def side_of(trunk: Any) -> int:
    """The side that a small trunk of timm reads, in pixels."""
    size = getattr(getattr(trunk, "patch_embed", None), "img_size", None)
    return 64 if size is None else size[0]


# ---- the columns ----------------------------------------------------------------------------------


def construct(tower: Tower) -> str:
    """Build every published tower of a row on the meta device, where nothing is allocated; the row of docs/towers.md has to be right."""
    counts = []
    for row in TOWERS:
        if row.name in tower.towers:
            found = measured(row.name, row.backbone)
            if found != row:
                raise Failed(f"{row.name} is {found}, and the table says {row}")
            counts.append(row.parameters)
    for name in tower.further:
        with torch.device("meta"):
            built = ImageTower(create_backbone(name, pretrained=False), 1)
        counts.append(sum(parameter.numel() for parameter in built.backbone.parameters()))
    if len(counts) != len(tower.towers) + len(tower.further):
        raise Failed(f"docs/towers.md has not all of {tower.towers}")
    said = " to ".join(f"{count / 1e6:,.1f}" for count in dict.fromkeys((min(counts), max(counts))))
    return f"{len(counts)} {'tower' if len(counts) == 1 else 'towers'} of {said} M"


@torch.inference_mode()
def load(tower: Tower, folder: Path, name: str) -> str:
    """Open the twin as a recipe does; its features are the library's, whole and cut after the first block."""
    files = sorted(folder.glob("*.safetensors"))
    shapes = published_names(tower)
    if shapes is not None and (differing := shapes ^ patterns(load_file(files[0]))):
        raise Failed(f"the twin's tensors are not those of the published layout: {sorted(differing)[:3]}")
    backbone = create_backbone(name)
    own = ImageTower(backbone, 1).eval()
    pixels = torch.randn(PIXELS, 3, *(2 * (native_side(backbone, tower),)), generator=torch.Generator().manual_seed(1))
    found = own.pooled_features(pixels, 0)
    if name.startswith(PREFIX):
        library: Any = open_clip.create_model(name.removeprefix(PREFIX)).eval()
        weight, bias = backbone.projection
        expected, found = library.encode_image(pixels), F.linear(found, weight, bias)
    else:
        library = timm.create_model(name, pretrained=True).eval()
        expected = library.forward_head(library.forward_features(pixels), pre_logits=True)
    apart = float((found - expected).abs().max())
    if own.block_count:
        cut = own.pooled_features(own.forward_frozen(pixels, 1), 1)
        apart = max(apart, float((cut - own.pooled_features(pixels, 0)).abs().max()))
    if not apart <= CLOSE or float(expected.std()) < 1e-4:
        raise Failed(f"features are {apart:.1e} from those of the library")
    return f"{len(patterns(load_file(files[0])))} kinds of tensors, features {near(apart)} {library_of(name)}"


def library_of(name: str) -> str:
    """Who judges."""
    return "open_clip" if name.startswith(PREFIX) else "timm"


def native_side(backbone: Any, tower: Tower) -> int:
    """Pixels of a side that the twin was written for."""
    return getattr(backbone, "native_size", None) or side_of(backbone) or tower.size


def published_names(tower: Tower) -> set[str] | None:
    """Names of tensors of the published models of a row, None where each has others than the first."""
    names = [row.backbone for row in TOWERS if row.name in tower.towers[-1:]] or [*tower.further[-1:]]
    (name,) = names
    with torch.device("meta"):
        if not name.startswith(PREFIX):
            return patterns(timm.create_model(name).state_dict())
        model: Any = open_clip.create_model(
            name.removeprefix(PREFIX).partition("@")[0], load_weights=False, device="meta"
        )
    assert isinstance(model.visual, TimmModel) or model.visual is not None
    return patterns(model.state_dict())


def patterns(names: Iterable[str]) -> set[str]:
    """Names of tensors with N for every number of a block."""
    return {re.sub(r"\.\d+(?=\.|$)", ".N", name) for name in names}
