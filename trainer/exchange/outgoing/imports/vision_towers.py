"""Image towers of imported models as classes of transformers: CLIP's, SigLIP's, or timm's in its wrapper.

Shapes: B images, S side in pixels, E joint dimensions.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from exchange.incoming.from_transformers import VISIONS
from exchange.names import Published
from exchange.outgoing.imports.check import Served, check_images
from exchange.outgoing.imports.vision_names import clip_to_transformers
from exchange.outgoing.preprocessor import write_preprocessor
from exchange.refusal import CannotExpress
from towers.preprocess import FILTERS, keeps_shape

TRUNK, VISION = "visual.trunk.", "vision_model."
VISION_MODELS = {
    "clip": "CLIPVisionModelWithProjection",
    "siglip": "SiglipVisionModel",
    "siglip2": "Siglip2VisionModel",
}
NO_NAMES = (
    "it is a graph without the names of its library. An import keeps them now: import the checkpoint again "
    "(`npm run model -- import SOURCE`); a model of a recipe has them in its runs (--runs FOLDER). --format onnx and --format "
    "safetensors write what is served"
)
# What open_clip's VisionTransformer may be built with to be transformers' CLIP; other settings give it parts that CLIP has not.
PLAIN = {
    "image_size",
    "layers",
    "width",
    "head_width",
    "patch_size",
    "mlp_ratio",
    "act_kwargs",
    "norm_kwargs",
    "patch_dropout",
}


@dataclass(frozen=True)
class VisionForm:
    """An image tower that transformers has a class for: the model's type, the tower's configuration, its tensors by its names."""

    kind: str
    config: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]


def vision_form(model: Served, image: Published) -> VisionForm | None:
    """Of CLIP, SigLIP or SigLIP 2; None: it is none of them."""
    if image.library == "transformers":
        return VisionForm(image.config["model_type"], image.config["vision_config"], image.tensors)
    vision = image.config["vision_cfg"]
    if not set(vision) <= PLAIN or not isinstance(vision.get("layers", 12), int):
        return None
    width, head = vision.get("width", 768), vision.get("head_width", 64)
    tanh = (vision.get("act_kwargs") or {}).get("approximate") == "tanh"
    config = {
        "hidden_size": width,
        "intermediate_size": int(width * vision.get("mlp_ratio", 4.0)),
        "num_hidden_layers": vision.get("layers", 12),
        "num_attention_heads": width // head,
        "image_size": model.manifest["image"]["preprocess"]["size"],
        "patch_size": vision.get("patch_size", 16),
        "hidden_act": "quick_gelu" if image.config.get("quick_gelu") else "gelu_pytorch_tanh" if tanh else "gelu",
        "layer_norm_eps": (vision.get("norm_kwargs") or {}).get("eps", 1e-5),
        "projection_dim": model.manifest["embed_dim"],
    }
    return VisionForm("clip", config, clip_to_transformers(image.tensors))


def write_image(model: Served, image: Published | None, out: Path) -> float:
    """The class of transformers that has such an image tower, or timm's in its wrapper; returns how far its vectors are."""
    if image is None:
        raise CannotExpress(NO_NAMES)
    form = vision_form(model, image)
    return write_timm(model, image, out) if form is None else write_vision(model, form, out)


def write_vision(model: Served, form: VisionForm, out: Path) -> float:
    """CLIPVisionModelWithProjection, SiglipVisionModel or Siglip2VisionModel."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind: Any = getattr(transformers, VISION_MODELS[form.kind])
    config: Any = CONFIG_MAPPING[form.kind]
    whole: Any = config(vision_config=dict(form.config)).vision_config
    if form.kind == "clip":
        whole.projection_dim = model.manifest["embed_dim"]
    theirs: Any = kind(whole).eval().float()
    tower = getattr(theirs, "vision_model", theirs)
    load_strictly(tower, {name: value for name, value in form.tensors.items() if name.startswith(VISION)}, model)
    parts = SimpleNamespace(vision_model=tower, config=SimpleNamespace(vision_config=whole))
    if form.kind == "clip":
        theirs.visual_projection.load_state_dict({"weight": form.tensors["visual_projection.weight"]})
        parts.visual_projection = theirs.visual_projection
    tower = VISIONS[form.kind](parts)  # pyright: ignore[reportCallIssue] - they take what has the parts
    apart = check_images(model, tower, own_shape_patch(model))
    theirs.save_pretrained(out)
    write_processor(model, form.kind, form.config, out)
    return apart


def own_shape_patch(model: Served) -> int:
    """The side of a patch, in pixels, of a model whose pictures keep their shape; 0 of others."""
    return model.manifest["image"]["preprocess"].get("patch", 0)


def load_strictly(tower: nn.Module, tensors: Mapping[str, torch.Tensor], model: Served) -> None:
    """An image tower's tensors, all of them."""
    try:
        found = tower.load_state_dict(
            {name.removeprefix(VISION): value for name, value in tensors.items()}, strict=False
        )
    except RuntimeError as error:
        raise CannotExpress(
            f"transformers builds another tower than that of {model.manifest['name']}: {error}"
        ) from error
    buffers = {name for name, _ in tower.named_buffers()}
    left = sorted({*found.missing_keys, *found.unexpected_keys} - buffers)
    if left:
        raise CannotExpress(
            f"transformers builds another tower than that of {model.manifest['name']}: {left[0]} differs"
        )


def write_timm(model: Served, image: Published, out: Path) -> float:
    """timm's tower in transformers' wrapper."""
    from transformers import TimmWrapperConfig, TimmWrapperForImageClassification, TimmWrapperModel

    vision = image.config["vision_cfg"]
    name = vision.get("timm_model_name")
    head = {key: value for key, value in image.tensors.items() if not key.startswith(TRUNK)}
    if name is None or set(head) - {"visual.head.proj.weight", "visual.head.proj.bias"}:
        raise CannotExpress(
            f"transformers has no class for the image tower of {model.manifest['name']}, neither CLIP's nor one of timm's with a linear "
            "projection"
        )
    width = 0 if vision.get("timm_proj") == "none" else model.manifest["embed_dim"]
    size = model.manifest["image"]["preprocess"]["size"]
    options: dict[str, Any] = {"num_labels": width, "model_args": {"global_pool": vision.get("timm_pool", "avg")}}
    if size != built_for(name):
        options["model_args"]["img_size"] = size
    config: Any = TimmWrapperConfig(architecture=name, **options)
    wrapped: Any = (TimmWrapperForImageClassification if width else TimmWrapperModel)(config).eval()
    state = {key.removeprefix(TRUNK): value for key, value in image.tensors.items() if key.startswith(TRUNK)}
    if head:
        classifier = wrapped.timm_model.get_classifier()
        place = next(path for path, module in wrapped.timm_model.named_modules() if module is classifier)
        weight = head["visual.head.proj.weight"]
        state |= {
            f"{place}.weight": weight,
            f"{place}.bias": head.get("visual.head.proj.bias", torch.zeros(len(weight))),
        }
    load_strictly(wrapped.timm_model, state, model)
    apart = check_images(model, lambda pixels: vectors_of(wrapped, pixels))
    wrapped.save_pretrained(out)
    write_preprocessor(out, model.manifest["image"]["preprocess"])
    return apart


def image_code(folder: Path) -> str:
    """The lines that open an image tower's folder, named `image` in them."""
    kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"][0]
    field = {"CLIPVisionModelWithProjection": "image_embeds", "TimmWrapperForImageClassification": "logits"}.get(
        kind, "pooler_output"
    )
    return f"""from transformers import AutoImageProcessor, {kind}

pixels = AutoImageProcessor.from_pretrained("image")(picture, return_tensors="pt")
vectors = {kind}.from_pretrained("image")(**pixels).{field}  # not yet at unit length"""


def vectors_of(wrapped: nn.Module, pixels_B3SS: torch.Tensor) -> torch.Tensor:
    """[B, E]: what stands for classes, or the pooled features where the tower has no projection."""
    found: Any = wrapped(pixel_values=pixels_B3SS)
    return found.logits if hasattr(found, "logits") else found.pooler_output


def built_for(name: str) -> int:
    """The side of the pictures that timm builds a tower for."""
    import timm

    settings = timm.models.get_pretrained_cfg(name)
    if settings is None:
        raise CannotExpress(f"timm knows no {name}, which transformers would build by that name")
    return settings.input_size[-1]


def write_processor(model: Served, kind: str, vision: Mapping[str, Any], out: Path) -> None:
    """How pictures are prepared, in the words of the model's own processor."""
    pictures = model.manifest["image"]["preprocess"]
    if kind != "siglip2":
        write_preprocessor(out, pictures)
        return
    if not keeps_shape(pictures):
        raise CannotExpress(
            f"{model.manifest['name']} was imported when SigLIP 2's pictures were squeezed into squares, and transformers' processor keeps their "
            "shape: import the checkpoint again"
        )
    from transformers import Siglip2ImageProcessor

    patch = vision["patch_size"]
    Siglip2ImageProcessor(
        patch_size=patch,
        max_num_patches=(pictures["size"] // patch) ** 2,
        resample=int(FILTERS[pictures["interpolation"]]),
        image_mean=list(pictures["mean"]),
        image_std=list(pictures["std"]),
    ).save_pretrained(out)
