"""LLM2CLIP's published layouts: an image tower and an adapter over a language model that is published beside it.

- the released folders of transformers: `vision_model.…` and `visual_projection.weight` of transformers' CLIP, `text_adapter.adaptor.…`
- checkpoints of its trainer (`.pt`): `visual.…` of open_clip's CLIP or of EVA-CLIP's authors, `text.text_adaptor.…`
- an adapter alone

Texts are vectors of the language model, so that students learn them from features that were computed elsewhere (stage
`imitate`); the image tower is served as it is. Shapes: E joint dimensions.
"""

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from contracts.types import PreprocessRecipe
from exchange.incoming.checkpoint import ImageSide, UnitVectors
from exchange.incoming.from_open_clip import open_clip_image
from exchange.incoming.isolate import ISOLATE_MIB
from exchange.names import Published
from exchange.pictures import picture_settings, transformers_preprocessing
from exchange.refusal import CannotExpress
from towers.exported_files import MIB
from towers.image.checkpoint import is_torchscript, published_preprocessing
from towers.image.eva_names import is_eva, open_clip_names
from towers.image.preprocessing import recipe_of
from towers.published_weights import UNREADABLE, in_one_line
from towers.text.published_adapter import PublishedAdapter, read_published_adapter

SCALE = 100.0  # of cosines, where the weights hold none: what its authors multiply with in their examples
VISION, PROJECTION, VISUAL = "vision_model.", "visual_projection.weight", "visual."
WRAPPED = ("state_dict", "module")  # of open_clip's trainer, of DeepSpeed
# open_clip builds a text tower beside every image tower: the smallest, which nothing reads.
UNREAD_TEXT = {"context_length": 2, "vocab_size": 2, "width": 8, "heads": 1, "layers": 1}


def llm2clip_adapter(source: Path) -> PublishedAdapter | None:
    """The adapter of a source of these layouts; None for one of another layout, whose reader says what else is wrong with it."""
    try:
        return None if is_torchscript(source) else read_published_adapter(source)
    except UNREADABLE:
        return None


def refusal_of(source: Path, adapter: PublishedAdapter) -> CannotExpress:
    """Why one is not served as it is: what its texts would take, and what can be served."""
    parameters = sum(weight.numel() for weight in adapter.weights.values())
    return CannotExpress(
        f"{source.name} is LLM2CLIP's: {texts_of(adapter)}, which an adapter of {parameters / 1e6:,.1f} M parameters maps to "
        f"{adapter.embed_dim} dimensions. The adapter alone takes {parameters / MIB:,.0f} MiB in int8, an isolate of Workers has {ISOLATE_MIB:g}, "
        "and the language model runs in none; a model without a text side is none that a Worker serves. With --distil --captions FILE "
        "text students learn from the language model's vectors of captions, and its image tower is served beside them: "
        "--language-model FOLDER computes them, --features FILE holds them (docs/guides/models-in-and-out.md). In a recipe the adapter is inherit.adapter_from, the language model a teacher of embed_captions "
        "(docs/adding/language-model.md)"
    )


def texts_of(adapter: PublishedAdapter) -> str:
    """What the adapter reads, by the widths that were published."""
    known = {4096: "Llama 3 8B", 2048: "Llama 3.2 1B"}.get(adapter.width)
    return f"its texts are vectors of a language model of width {adapter.width}" + (f" ({known})" if known else "")


def check_features(file: Path, adapter: PublishedAdapter) -> None:
    """Refuse features that are neither the language model's nor of the joint space."""
    try:
        with safe_open(file, "pt") as opened:
            shape = opened.get_slice("features").get_shape() if "features" in opened.keys() else []  # noqa: SIM118
    except UNREADABLE as error:
        raise CannotExpress(f"{file} is no safetensors file: {in_one_line(error, file)}") from error
    if len(shape) != 2:
        raise CannotExpress(f"{file} has no `features` [captions, numbers]")
    if shape[1] not in (adapter.width, adapter.embed_dim):
        raise CannotExpress(
            f"{file} has features of {shape[1]} numbers: {texts_of(adapter)}, and its joint space has {adapter.embed_dim}"
        )


# ---- the image tower -------------------------------------------------------------------------------------------------


def read_llm2clip_image(source: Path, architecture: str | None) -> ImageSide:
    """The image tower of either layout. `architecture`: open_clip's name of it, for a checkpoint of the trainer."""
    return image_of_folder(source) if source.is_dir() else image_of_file(source, architecture)


class ProjectedVision(nn.Module):
    """transformers' image tower with its projection: pixels to [B, E], not normalised."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels_B3SS: torch.Tensor) -> torch.Tensor:
        """[B, E]."""
        return self.model(pixel_values=pixels_B3SS).image_embeds


def image_of_folder(folder: Path) -> ImageSide:
    """Of a released folder of transformers, whose own code is not run: its image tower is transformers' CLIP."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tensors = folder_tensors(folder, (VISION, PROJECTION, "logit_scale"))
    if PROJECTION not in tensors or f"{VISION}embeddings.class_embedding" not in tensors:
        raise CannotExpress(
            f"the image tower in {folder} is none of transformers' CLIP: import the checkpoint of the same release as one file (.pt), "
            "with --architecture EVA02-L-14-336 for instance"
        )
    scale = tensors.pop("logit_scale", None)
    vision: Any = CLIPVisionConfig(**{**config["vision_config"], "projection_dim": len(tensors[PROJECTION])})
    vision._attn_implementation = "eager"
    model: Any = CLIPVisionModelWithProjection(vision)
    load_whole(model, {name: tensor.float() for name, tensor in tensors.items()}, str(folder))
    has_own = picture_settings(folder) is not None
    return ImageSide(
        image=UnitVectors(ProjectedVision(model)).eval(),
        preprocess=transformers_preprocessing(folder) if has_own else openai_preprocessing(vision.image_size),
        logit_scale=SCALE if scale is None else float(scale.float().exp()),
        logit_bias=None,
        published=Published(
            "transformers", {"model_type": "clip", "vision_config": vision.to_dict()}, model.state_dict()
        ),
    )


def openai_preprocessing(size: int) -> PreprocessRecipe:
    """What its authors prepare pictures with, whose folders bring no file that says so: that of OpenAI's CLIP."""
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    return recipe_of(size, "shortest", "bicubic", list(OPENAI_DATASET_MEAN), list(OPENAI_DATASET_STD))


def folder_tensors(folder: Path, prefixes: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """Those of a folder of transformers whose names begin with one of these."""
    found: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            found |= {name: opened.get_tensor(name) for name in opened.keys() if name.startswith(prefixes)}  # noqa: SIM118
    for file in sorted(folder.glob("pytorch_model*.bin")) if not found else ():
        loaded = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        found |= {name: tensor for name, tensor in loaded.items() if name.startswith(prefixes)}
    return found


def image_of_file(file: Path, architecture: str | None) -> ImageSide:
    """Of a checkpoint of its trainer: the tower of an architecture that open_clip knows, with the joint space of its own."""
    import open_clip

    tensors = file_tensors(file)
    if not any(name.startswith(VISUAL) for name in tensors):
        raise CannotExpress(
            f"{file.name} is an adapter alone: it has no image tower to serve. inherit.adapter_from of a recipe starts from it"
        )
    config = architecture and open_clip.get_model_config(architecture)
    if not config:
        raise CannotExpress(
            f"{file.name} holds weights alone: name its image tower as open_clip calls it, --architecture EVA02-L-14-336 for instance"
        )
    with tempfile.TemporaryDirectory() as folder:
        own = {**config, "embed_dim": joint_width(tensors, config["embed_dim"]), "text_cfg": UNREAD_TEXT}
        tag = next(iter(open_clip.list_pretrained_tags_by_model(str(architecture))), "")
        pictures = published_preprocessing(str(architecture), tag)
        (Path(folder) / "open_clip_config.json").write_text(json.dumps({"model_cfg": own, "preprocess_cfg": pictures}))
        logging.disable(logging.WARNING)  # that its weights are random: they are loaded below
        try:
            model: Any = open_clip.create_model(f"local-dir:{folder}", load_weights=False).eval()
        finally:
            logging.disable(logging.NOTSET)
    if is_eva(tensors):
        try:
            tensors = open_clip_names(tensors, model, file.name)
        except ValueError as error:
            raise CannotExpress(str(error)) from error
    visual = {name.removeprefix(VISUAL): value.float() for name, value in tensors.items() if name.startswith(VISUAL)}
    load_whole(model.visual, visual, file.name)
    if "logit_scale" in tensors:
        model.logit_scale.data.fill_(float(tensors["logit_scale"]))
    return ImageSide(**open_clip_image(model.float(), own))


def file_tensors(file: Path) -> dict[str, torch.Tensor]:
    """All but those of the adapter."""
    if file.suffix == ".safetensors":
        loaded: Any = load_file(file)
    else:
        loaded = torch.load(file, map_location="cpu", weights_only=True)
        for key in WRAPPED:
            loaded = loaded.get(key, loaded)
    named = {name.removeprefix("module."): value for name, value in loaded.items()}
    return {name: value for name, value in named.items() if not name.startswith("text.")}


def joint_width(tensors: dict[str, torch.Tensor], otherwise: int) -> int:
    """E, which LLM2CLIP's trainer sets anew for the image tower."""
    for name, axis in {"visual.head.weight": 0, "visual.trunk.head.weight": 0, "visual.proj": 1}.items():
        if name in tensors:
            return tensors[name].shape[axis]
    return otherwise


def load_whole(module: nn.Module, tensors: dict[str, torch.Tensor], where: str) -> None:
    """Load them; what is missing, left over or of another shape is refused: weights would be random."""
    try:
        found = module.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise CannotExpress(f"the image tower of {where} has another shape than its architecture: {error}") from error
    buffers = {name for name, _ in module.named_buffers()}
    missing = sorted(set(found.missing_keys) - buffers)
    left = sorted(set(found.unexpected_keys) - {f"{VISION}embeddings.position_ids"})
    if missing or left:
        raise CannotExpress(
            f"the image tower of {where} is not that of its architecture: it lacks {missing[:1] or 'nothing'}, and has {left[:1] or 'nothing'} beside it"
        )
