"""What the adapter inherits of a frozen image tower: the targets that text features are regressed onto, and the image head.

Target `clip_text`: a two-tower checkpoint has a text encoder. The adapter over the LLM features of a caption is regressed
onto the checkpoint's vector of that caption, and the image head is initialised with the checkpoint's projection.

Target `classifier_rows`: an ImageNet backbone has no text encoder, but its classifier has one vector per class, onto which
the adapter over the LLM features of the class's prompts is regressed. A fixed map puts both into the joint space, the
principal axes of the frozen tower's features, with which the image head is initialised, too.

Target `features`: a tower that knows neither texts nor classes (InternViT, DINO) has its features of pictures alone. The
adapter over the LLM features of a caption is regressed onto the features of the caption's own picture, in the principal
axes of such features.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from contracts.types import InheritConfig, PreprocessRecipe
from data.copies import images_of, shards_in
from data.features import features_of_set
from data.manifest import read_manifest, shards_of
from engine.run import Run
from towers.class_targets import ClassTargets, of_classifier, of_texts, save_class_targets
from towers.data import Row, class_rows, each_row, first_pairs, read_images, read_rows
from towers.image.checkpoint import ClipBackbone
from towers.image.tower import ImageTower, pca_head
from towers.preprocess import pixel_batches
from towers.text.checkpoint import checkpoint_vectors

CLIP_TEXTS = ("pairs.train", "groups.train", "prompts")  # sets of `embed_captions`
MEASURED_IMAGES = 4000  # train images whose features say what the axes are
MOST_TEXTS = 300_000  # of one set that clip_text learns from, the first ones: the checkpoint embeds each of them
MEASURED_TEXTS = 1000  # texts for which the report says whether the nearest target is their own


class Inputs(NamedTuple):
    """Folders of the stages before."""

    prepare: Path
    embed_captions: Path


@dataclass
class RegressionProblem:
    """Text features [N, D] to be mapped onto targets [M, E] by number [N], and the head (weight [E, F], bias [E])."""

    features_ND: torch.Tensor
    targets_ME: torch.Tensor
    target_of_N: torch.Tensor
    weight_EF: torch.Tensor
    bias_E: torch.Tensor
    classes: ClassTargets | None

    def nearest_is_own(self, adapter: nn.Module, device: torch.device) -> float:
        """How many of some texts are put nearest to their own target."""
        with torch.no_grad():
            measured = torch.linspace(0, len(self.features_ND) - 1, min(MEASURED_TEXTS, len(self.features_ND))).long()
            nearest = (adapter(self.features_ND[measured].to(device)).cpu() @ self.targets_ME.T).argmax(1)
        return (nearest == self.target_of_N[measured]).float().mean().item()

    def save(self, folder: Path) -> dict[str, str]:
        """Write the head and what the tower knows of classes; the files by name."""
        save_file({"weight": self.weight_EF.contiguous(), "bias": self.bias_E}, folder / "head.safetensors")
        files = {"head": "head.safetensors"}
        return files if self.classes is None else files | {"classes": save_class_targets(self.classes, folder)}


def regression_problem(
    run: Run[InheritConfig], inputs: Inputs, backbone: Any, recipe: PreprocessRecipe
) -> RegressionProblem:
    """The one that the recipe names."""
    if run.config["target"] == "clip_text":
        return clip_text(run, inputs.embed_captions, backbone)
    if run.config["target"] == "features":
        return own_pictures(run, inputs, backbone, recipe)
    return classifier_rows(run, inputs, backbone, recipe)


def own_pictures(run: Run[InheritConfig], inputs: Inputs, backbone: Any, recipe: PreprocessRecipe) -> RegressionProblem:
    """Captions onto the features of their own pictures, in the principal axes of those features; nothing of classes."""
    pooled_IF = frozen_features(run, inputs.prepare, backbone, recipe)
    weight_EF, bias_E = pca_head(pooled_IF, run.config["embed_dim"])
    pictures = first_pairs(inputs.prepare, "train", MEASURED_IMAGES)
    number_of = {row["key"]: number for number, row in enumerate(pictures)}
    embedded = inputs.embed_captions
    # They lie in the order of the pictures: those of further pictures are not read.
    captions = list(
        islice(each_row(embedded / "captions.pairs.train.jsonl"), sum(len(p["captions"]) for p in pictures))
    )
    known = [number for number, row in enumerate(captions) if row["id"] in number_of]
    if not known:
        raise ValueError(
            "inherit.target features learns from captions of the train images: embed_captions has none of them"
        )
    features_ND = features_of_set(embedded, "pairs.train").gather_numbers(np.array(known))
    targets_IE = F.normalize(F.linear(pooled_IF, weight_EF, bias_E), dim=-1)
    picture_of_N = torch.tensor([number_of[captions[number]["id"]] for number in known])
    return RegressionProblem(features_ND, targets_IE, picture_of_N, weight_EF, bias_E, None)


def classifier_rows(
    run: Run[InheritConfig], inputs: Inputs, backbone: Any, recipe: PreprocessRecipe
) -> RegressionProblem:
    """Class prompts onto the centred rows of the backbone's classifier, in the principal axes of its features."""
    if isinstance(backbone, ClipBackbone):
        raise ValueError("a CLIP tower has no classifier: set inherit.target to clip_text, or to features")
    named = class_rows(inputs.prepare)
    classes = of_classifier(backbone, named)
    run.log(f"{len(classes.class_K)} of {len(named)} classes are the backbone's")
    weight_EF, bias_E = pca_head(frozen_features(run, inputs.prepare, backbone, recipe), run.config["embed_dim"])
    embedded = inputs.embed_captions
    prompts = read_rows(embedded / "captions.prompts.jsonl")
    row_of = {int(number): row for row, number in enumerate(classes.class_K)}
    known = [number for number, row in enumerate(prompts) if int(row["id"]) in row_of]
    if not known:
        raise ValueError("inherit needs prompts for the backbone's classes: set embed_captions.prompt_templates")
    features_ND = load_file(embedded / "features.prompts.safetensors")["features"][known].float()
    targets_KE = F.normalize(classes.rows_KF @ weight_EF.T, dim=-1)
    row_of_N = torch.tensor([row_of[int(prompts[number]["id"])] for number in known])
    return RegressionProblem(features_ND, targets_KE, row_of_N, weight_EF, bias_E, classes)


def clip_text(run: Run[InheritConfig], embedded: Path, backbone: Any) -> RegressionProblem:
    """Captions and prompts onto the checkpoint's own vectors of them; the checkpoint's projection as the head."""
    if not isinstance(backbone, ClipBackbone):
        raise ValueError(
            "target clip_text needs a tower with a text encoder: a backbone named open_clip:…; features needs neither"
        )
    weight_EF, bias_E = backbone.projection
    if len(weight_EF) != run.config["embed_dim"]:
        raise ValueError(f"this checkpoint's space has {len(weight_EF)} dimensions: set embed_dim to that")
    rows: list[Row] = []
    parts = []
    for name in CLIP_TEXTS:
        found = [{**row, "set": name} for row in islice(each_row(embedded / f"captions.{name}.jsonl"), MOST_TEXTS)]
        parts.append(features_of_set(embedded, name).gather_numbers(np.arange(len(found))))
        rows += found
    texts = [row["text"] for row in rows]
    state = run.resume("checkpoint-clip-text")

    def tick(count: int, done: Callable[[], torch.Tensor]) -> None:
        run.tick(count, len(texts) + 1, lambda: {"done": done()}, "checkpoint-clip-text")

    name = run.config["backbone"]["name"]
    targets_NE = checkpoint_vectors(name, texts, run.device, None if state is None else state["done"], tick)
    prompts: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        if row["set"] == "prompts":
            prompts.setdefault(int(row["id"]), []).append(number)
    classes = None
    if prompts:
        vectors_KE = torch.stack([F.normalize(targets_NE[numbers].mean(0), dim=-1) for numbers in prompts.values()])
        assert backbone.logit_scale is not None
        scale = math.exp(backbone.logit_scale)
        classes = of_texts(list(prompts), vectors_KE, scale, (weight_EF, bias_E))
    return RegressionProblem(torch.cat(parts), targets_NE, torch.arange(len(texts)), weight_EF, bias_E, classes)


def frozen_features(
    run: Run[InheritConfig], prepared: Path, backbone: torch.nn.Module, recipe: PreprocessRecipe
) -> torch.Tensor:
    """Pooled features of at most `MEASURED_IMAGES` train images [N, F] from a copy: the caller's backbone keeps dtype and device."""
    rows = first_pairs(prepared, "train", MEASURED_IMAGES)
    tower = ImageTower(copy.deepcopy(backbone), 1).to_device(run.device, run.amp_dtype).eval()
    manifest = read_manifest(prepared)
    # A container leaves the tars in the store: only those of these images are copied.
    files = shards_in(prepared, run.remote_input("prepare"))
    tars = None if manifest is None else images_of(shards_of(manifest, "pairs", "train"), files)
    out, done = [], 0
    for pixels in pixel_batches(read_images(prepared, rows, tars), recipe, 64):
        batch = torch.from_numpy(pixels).to(run.device, run.amp_dtype, memory_format=torch.channels_last)
        with torch.inference_mode():
            out.append(tower.pooled_features(batch, 0).float().cpu())
        done += len(pixels)
        run.tick(done, len(rows) + 1, dict, "checkpoint-features")
    return torch.cat(out).clone()
