"""Reads contrastively pretrained checkpoints (CLIP, EVA-CLIP, SigLIP, PE, MobileCLIP, CoCa) with open_clip.

Image tower, projection, logit scale and bias; towers/text/checkpoint.py has the text tower. Names: `open_clip:MODEL@PRETRAINED`,
where PRETRAINED is a tag of open_clip or a checkpoint file (OpenAI's own TorchScript archives too), or
`open_clip:local-dir:FOLDER` for a folder of open_clip_config.json and open_clip_model.safetensors, the public layout.
Shapes: B images, S side in pixels, F pooled features, E dimensions of the checkpoint's own joint space.
"""

import json
import pickle
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import nn

from contracts.types import PreprocessRecipe
from towers.image.eva_names import eva_tensors, is_eva, open_clip_names
from towers.image.input_size import built_size, is_open_clip, set_input_size
from towers.image.preprocessing import recipe_of

PREFIX = "open_clip:"
LOCAL = f"{PREFIX}local-dir:"  # begins names of folders in the public layout
QUICK = "-quickgelu"  # ends open_clip's names of models with OpenAI's activation
NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size")  # numbers in OpenAI's archives that no model has


class WrongActivation(ValueError):
    """Weights that learned with QuickGELU, in a model that computes GELU. `right`: open_clip's name of the one to take, if it has one."""

    def __init__(self, model: str, tag: str) -> None:
        from open_clip import list_models

        self.right = f"{model}{QUICK}" if f"{model}{QUICK}" in list_models() else None
        spelled = "it cannot be used" if self.right is None else f"name it {PREFIX}{self.right}@{tag}"
        super().__init__(f"{PREFIX}{model}@{tag} learned with QuickGELU, but {model} computes GELU: {spelled}")


class ClipBackbone(nn.Module):
    """The image tower without its projection, under timm's names: pixels [B, 3, S, S] to pooled features [B, F].

    `projection` (weight [E, F], bias [E]) maps the features into the checkpoint's joint space: a head that is initialised
    with it keeps that space. `logit_scale` is the logarithm of what the checkpoint multiplies its cosines with, `logit_bias`
    what a model of sigmoid loss adds to them, both None on the meta device.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        visual = model.visual
        self.logit_scale = number_in(model.logit_scale)
        bias = getattr(model, "logit_bias", None)
        self.logit_bias = None if bias is None else number_in(bias)
        self.loss: Literal["softmax", "sigmoid"] = "softmax" if bias is None else "sigmoid"
        self.projection = take_projection(visual)
        self.num_features = self.projection[0].shape[1]
        if getattr(visual, "output_tokens", False):
            visual.output_tokens = False  # CoCa's tower gives (pooled, tokens): the tokens are for its captioner
        self.visual = visual
        self.native_size = built_size(self) or side_of(visual.preprocess_cfg["size"])
        # Sine position embeddings are parameters that open_clip means to keep.
        self.fixed_parameters = frozenset(name for name, p in self.named_parameters() if not p.requires_grad)

    def forward_features(self, pixels_BCSS: torch.Tensor) -> torch.Tensor:
        """Pooled features: the tower pools by itself."""
        return self.visual(pixels_BCSS)

    def forward_head(self, features_BF: torch.Tensor, *, pre_logits: bool) -> torch.Tensor:
        """The features as they are: the tower has no classifier."""
        if not pre_logits:
            raise ValueError("a CLIP tower has no classifier: its classes are texts")
        return features_BF

    def forward(self, pixels_BCSS: torch.Tensor) -> torch.Tensor:
        """The checkpoint's own image vectors [B, E], not normalised."""
        weight_EF, bias_E = self.projection
        return self.visual(pixels_BCSS) @ weight_EF.to(pixels_BCSS).T + bias_E.to(pixels_BCSS)

    def preprocess_recipe(self, size: int) -> PreprocessRecipe:
        """The checkpoint's own preprocessing."""
        own = self.visual.preprocess_cfg
        return recipe_of(size, own["resize_mode"], own["interpolation"], own["mean"], own["std"])


def number_in(parameter: torch.Tensor) -> float | None:
    """The value of a tensor of one element, None on the meta device."""
    return None if parameter.is_meta else float(parameter.detach().reshape(()))


def side_of(size: int | tuple[int, int] | list[int]) -> int:
    """The side of a square that open_clip writes as one number or two."""
    return size if isinstance(size, int) else size[0]


def read_backbone(name: str, size: int | None = None, *, pretrained: bool = True) -> ClipBackbone:
    """The image tower of a checkpoint by its `open_clip:` name, in eval mode; random weights unless `pretrained`.

    `size` is the side of its input in pixels, None for that of the checkpoint.
    """
    backbone = ClipBackbone(read_model(name, pretrained=pretrained)).eval()
    if size is not None:
        set_input_size(backbone, size)
    return backbone


def configuration_of(name: str) -> dict[str, Any]:
    """What open_clip builds both towers from: of a folder's file, or by the name of an architecture; empty for an unknown one."""
    import open_clip

    if not name.startswith(LOCAL):
        return open_clip.get_model_config(name.removeprefix(PREFIX).partition("@")[0]) or {}
    whole = json.loads((Path(name.removeprefix(LOCAL)) / "open_clip_config.json").read_text(encoding="utf-8"))
    return whole.get("model_cfg", whole)


def read_model(name: str, *, pretrained: bool = True) -> Any:
    """open_clip's model of both towers; a name without weights is an error, never a random tower."""
    import open_clip

    model, _, tag = name.removeprefix(PREFIX).partition("@")
    if pretrained and not tag and ":" not in model:
        raise ValueError(f"{name} names no weights: {PREFIX}MODEL@PRETRAINED, or {PREFIX}local-dir:FOLDER")
    if pretrained and tag:
        check_activation(model, tag, is_quick=is_torchscript(Path(tag)))
    own = {} if pretrained else published_preprocessing(model, tag)
    with tensors_of(model, tag) if pretrained else nullcontext() as source:
        try:
            return open_clip.create_model(
                model,
                pretrained=source or None,
                load_weights=pretrained,
                require_pretrained=pretrained,
                device=torch.get_default_device(),
                weights_only=True,
                force_preprocess_cfg=own,
            ).eval()
        except pickle.UnpicklingError as error:
            raise ValueError(
                f"{name}: the file holds more than tensors, which could run code and is not read: ask its publisher for "
                "safetensors, or save its state_dict() alone"
            ) from error


@contextmanager
def tensors_of(model: str, tag: str) -> Iterator[str]:
    """A tag as open_clip reads it without running anything: what an archive of TorchScript holds, as a file of tensors.

    torch.load opens such archives only where it may run what a file says, and a file may only look like one. A file of EVA-CLIP's
    authors gets open_clip's names.
    """
    tensors = archived(tag) if is_torchscript(Path(tag)) else eva_tensors(Path(tag))
    if tensors is not None and is_eva(tensors):
        with torch.device("meta"):
            twin = read_model(f"{PREFIX}{model}", pretrained=False)
        tensors = open_clip_names(tensors, twin, tag)
    if tensors is None:
        yield tag
        return
    with tempfile.TemporaryDirectory() as folder:
        whole = {name: value.contiguous() for name, value in tensors.items()}
        save_file(whole, f"{folder}/weights.safetensors")
        yield f"{folder}/weights.safetensors"


def archived(tag: str) -> dict[str, torch.Tensor]:
    """The tensors in an archive of TorchScript."""
    try:
        state = torch.jit.load(tag, map_location="cpu").state_dict()
    except RuntimeError as error:
        raise ValueError(f"{tag} calls itself an archive of TorchScript, but cannot be read as one") from error
    return {name: value for name, value in state.items() if name not in NOT_WEIGHTS}


def published_preprocessing(model: str, tag: str) -> dict[str, Any]:
    """What open_clip's table says of a tag's pictures, which it reads with the weights alone."""
    from open_clip.pretrained import get_pretrained_cfg

    settings = (tag and get_pretrained_cfg(model, tag)) or {}
    return {key: settings[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in settings}


def is_torchscript(file: Path) -> bool:
    """Whether a file is an archive of TorchScript, as torch tells them; OpenAI's own files are."""
    if not file.is_file() or not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(Path(name).name == "constants.pkl" for name in archive.namelist())


def check_activation(model: str, tag: str, *, is_quick: bool = False) -> None:
    """Refuse weights that learned with QuickGELU in a model with GELU, which open_clip only warns of.

    OpenAI's, and some of later authors. `is_quick`: a file is known to hold such weights.
    """
    from open_clip import get_model_config
    from open_clip.pretrained import get_pretrained_cfg

    is_quick = is_quick or bool((get_pretrained_cfg(model, tag) or {}).get("quick_gelu", False))
    if not is_quick or (get_model_config(model) or {}).get("quick_gelu", False):
        return
    raise WrongActivation(model, tag)


# ---- the projection ------------------------------------------------------------------------------


class Unprojected(nn.Module):
    """Stands where an attention pool looks for its output projection: the identity, neither trained nor saved."""

    def __init__(self, like: nn.Linear) -> None:
        super().__init__()
        device = like.weight.device
        self.register_buffer("weight", torch.eye(like.in_features, device=device), persistent=False)
        self.register_buffer("bias", torch.zeros(like.in_features, device=device), persistent=False)


def take_projection(visual: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Remove the projection from the tower and return it as (weight [E, F], bias [E])."""
    if isinstance(getattr(visual, "proj", None), torch.Tensor):  # open_clip's VisionTransformer: a matrix [F, E]
        weight_EF, bias_E = visual.proj.detach().T, None
        visual.proj = None
    elif is_open_clip(visual, "ModifiedResNet"):  # the last step of its attention pool
        last = visual.attnpool.c_proj
        weight_EF, bias_E = last.weight.detach(), last.bias
        visual.attnpool.c_proj = Unprojected(last)
    elif hasattr(visual, "trunk"):
        weight_EF, bias_E = take_adapter_projection(visual)
    else:
        raise ValueError(
            f"{type(visual).__name__} has no linear projection that an image head could be initialised with"
        )
    zeros_E = torch.zeros(len(weight_EF), device=weight_EF.device)
    return weight_EF.clone(), zeros_E if bias_E is None else bias_E.detach().clone()


def take_adapter_projection(visual: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The projection (weight [E, F], bias [E]) of a timm tower in open_clip: a linear head, the trunk's classifier, or none."""
    children, classifier = set(dict(visual.head.named_children())), visual.trunk.get_classifier()
    if "proj" in children and children <= {"drop", "proj"}:
        linear = visual.head.proj
        visual.head = nn.Identity()
    elif children == {"mlp"}:  # its first layer is the end of the tower, its second one the projection
        linear = visual.head.mlp.fc2
        visual.head.mlp.fc2 = nn.Identity()
    elif not children and isinstance(classifier, nn.Linear):
        linear = classifier
        visual.trunk.reset_classifier(0)
    elif not children:
        return torch.eye(visual.trunk.num_features), None
    else:
        raise ValueError(
            f"this tower's projection is not linear ({', '.join(sorted(children))}): an image head cannot be initialised with it"
        )
    return linear.weight.detach(), linear.bias
