"""Stage `inherit` (ProCLIP's first stage): trains the adapter towards the image tower's own space before images are trained.

Target `clip_text`: a two-tower checkpoint has a text encoder. The adapter over the LLM features of a caption is regressed
onto the checkpoint's vector of that caption, and the image head is initialised with the checkpoint's projection.

Target `classifier_rows`: an ImageNet backbone has no text encoder, but its classifier has one vector per class, onto which
the adapter over the LLM features of the class's prompts is regressed. A fixed map puts both into the joint space, the
principal axes of the frozen tower's features, with which the image head is initialised, too.

Target `features`: a tower that knows neither texts nor classes (InternViT, DINO) has its features of pictures alone. The
adapter over the LLM features of a caption is regressed onto the features of the caption's own picture, in the principal
axes of such features.

Besides adapter and head it writes what the frozen tower knows of the classes, for `clip` to keep (towers/class_targets.py).
"""

import copy
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from contracts.types import InheritConfig, PreprocessRecipe
from data.features import features_of_set
from engine.loop import Loop
from engine.run import Run
from tasks.inherit import Inherit, Regression
from towers.class_targets import ClassTargets, of_classifier, of_texts, read_classes, save_class_targets
from towers.data import Row, each_row, first_pairs, read_images, read_rows
from towers.image.backbone import create_backbone, preprocess_recipe
from towers.image.checkpoint import ClipBackbone, text_features
from towers.image.tower import ImageTower, pca_head
from towers.preprocess import pixel_batches
from towers.two_towers import Adapter, TowersShape

CLIP_TEXTS = ("pairs.train", "groups.train", "prompts")  # sets of `embed_captions`
MEASURED_IMAGES = 4000  # train images whose features say what the axes are
MOST_TEXTS = 300_000  # of one set that clip_text learns from, the first ones: the checkpoint embeds each of them
MEASURED_TEXTS = 1000  # texts for which the report says whether the nearest target is their own


@dataclass
class RegressionProblem:
    """Text features [N, D] to be mapped onto targets [M, E] by number [N], and the head (weight [E, F], bias [E])."""

    features_ND: torch.Tensor
    targets_ME: torch.Tensor
    target_of_N: torch.Tensor
    weight_EF: torch.Tensor
    bias_E: torch.Tensor
    classes: ClassTargets | None


def main() -> None:
    """Run the stage."""
    run = Run.start(InheritConfig)
    config = run.config
    backbone = create_backbone(**config["backbone"])
    recipe = preprocess_recipe(backbone, config["backbone"]["size"])
    problem = regression_problem(run, backbone, recipe)
    features_ND, targets_ME = problem.features_ND, problem.targets_ME

    torch.manual_seed(run.seed)
    adapter = Adapter(features_ND.shape[1], config["embed_dim"], **config["adapter"]).to(run.device).train()
    task = Inherit(run, adapter, Regression(features_ND, targets_ME, problem.target_of_N))
    Loop(run, task, config["schedule"]).train()
    run.leave_to_first()

    # ---- write -----------------------------------------------------------------------------------------------------------
    adapter.eval()
    with torch.no_grad():
        measured = torch.linspace(0, len(features_ND) - 1, min(MEASURED_TEXTS, len(features_ND))).long()
        nearest = (adapter(features_ND[measured].to(run.device)).cpu() @ targets_ME.T).argmax(1)
    save_file(adapter.cpu().state_dict(), run.output / "text_tower.safetensors")
    save_file({"weight": problem.weight_EF.contiguous(), "bias": problem.bias_E}, run.output / "head.safetensors")
    shape: TowersShape = {
        "text_tower": "llm",
        "llm_width": features_ND.shape[1],
        "embed_dim": config["embed_dim"],
        "adapter": config["adapter"],
        "backbone": config["backbone"],
        "preprocess": recipe,
    }
    (run.output / "clip.json").write_text(json.dumps(shape, indent=2))
    own = (nearest == problem.target_of_N[measured]).float().mean().item()
    metrics = {"loss.last": task.last, "nearest_target_is_own": own}
    files = {"adapter": "text_tower.safetensors", "head": "head.safetensors", "clip": "clip.json"}
    if problem.classes is not None:
        files["classes"] = save_class_targets(problem.classes, run.output)
        metrics["classes"] = len(problem.classes.class_K)
    run.finish(metrics, files)


def regression_problem(run: Run[InheritConfig], backbone: Any, recipe: PreprocessRecipe) -> RegressionProblem:
    """The one that the recipe names."""
    if run.config["target"] == "clip_text":
        return clip_text(run, backbone)
    if run.config["target"] == "features":
        return own_pictures(run, backbone, recipe)
    return classifier_rows(run, backbone, recipe)


def own_pictures(run: Run[InheritConfig], backbone: Any, recipe: PreprocessRecipe) -> RegressionProblem:
    """Captions onto the features of their own pictures, in the principal axes of those features; nothing of classes."""
    pooled_IF = frozen_features(run, backbone, recipe)
    weight_EF, bias_E = pca_head(pooled_IF, run.config["embed_dim"])
    pictures = first_pairs(run.input("prepare"), "train", MEASURED_IMAGES)
    number_of = {row["key"]: number for number, row in enumerate(pictures)}
    embedded = run.input("embed_captions")
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


def classifier_rows(run: Run[InheritConfig], backbone: Any, recipe: PreprocessRecipe) -> RegressionProblem:
    """Class prompts onto the centred rows of the backbone's classifier, in the principal axes of its features."""
    if isinstance(backbone, ClipBackbone):
        raise ValueError("a CLIP tower has no classifier: set inherit.target to clip_text, or to features")
    named = read_classes(run.input("prepare"))
    classes = of_classifier(backbone, named)
    run.log(f"{len(classes.class_K)} of {len(named)} classes are the backbone's")
    weight_EF, bias_E = pca_head(frozen_features(run, backbone, recipe), run.config["embed_dim"])
    embedded = run.input("embed_captions")
    prompts = read_rows(embedded / "captions.prompts.jsonl")
    row_of = {int(number): row for row, number in enumerate(classes.class_K)}
    known = [number for number, row in enumerate(prompts) if int(row["id"]) in row_of]
    if not known:
        raise ValueError("inherit needs prompts for the backbone's classes: set embed_captions.prompt_templates")
    features_ND = load_file(embedded / "features.prompts.safetensors")["features"][known].float()
    targets_KE = F.normalize(classes.rows_KF @ weight_EF.T, dim=-1)
    row_of_N = torch.tensor([row_of[int(prompts[number]["id"])] for number in known])
    return RegressionProblem(features_ND, targets_KE, row_of_N, weight_EF, bias_E, classes)


def clip_text(run: Run[InheritConfig], backbone: Any) -> RegressionProblem:
    """Captions and prompts onto the checkpoint's own vectors of them; the checkpoint's projection as the head."""
    if not isinstance(backbone, ClipBackbone):
        raise ValueError(
            "target clip_text needs a tower with a text encoder: a backbone named open_clip:…; features needs neither"
        )
    weight_EF, bias_E = backbone.projection
    if len(weight_EF) != run.config["embed_dim"]:
        raise ValueError(f"this checkpoint's space has {len(weight_EF)} dimensions: set embed_dim to that")
    embedded = run.input("embed_captions")
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
    targets_NE = text_features(name, texts, run.device, None if state is None else state["done"], tick)
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


def frozen_features(run: Run[InheritConfig], backbone: torch.nn.Module, recipe: PreprocessRecipe) -> torch.Tensor:
    """Pooled features of at most `MEASURED_IMAGES` train images [N, F] from a copy: the caller's backbone keeps dtype and device."""
    rows = first_pairs(run.input("prepare"), "train", MEASURED_IMAGES)
    tower = ImageTower(copy.deepcopy(backbone), 1).to_device(run.device, run.amp_dtype).eval()
    out, done = [], 0
    for pixels in pixel_batches(read_images(run.input("prepare"), rows), recipe, 64):
        batch = torch.from_numpy(pixels).to(run.device, run.amp_dtype, memory_format=torch.channels_last)
        with torch.inference_mode():
            out.append(tower.pooled_features(batch, 0).float().cpu())
        done += len(pixels)
        run.tick(done, len(rows) + 1, dict, "checkpoint-features")
    return torch.cat(out).clone()


if __name__ == "__main__":
    main()
