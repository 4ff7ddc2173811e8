"""Zero-shot figures on the class images: a sanity check, since the backbone was trained on similar pictures."""

import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from evaluation.bench import Figures
from evaluation.recipe.retrieval import Inputs
from towers.class_targets import classifier_rows
from towers.data import Row, class_rows, read_images, read_rows
from towers.image.backbone import create_backbone
from towers.image.checkpoint import ClipBackbone
from towers.image.of_run import load_image_tower
from towers.metrics import zero_shot
from towers.preprocess import pixel_batches
from towers.served_text import EmbedTexts
from towers.text.checkpoint import checkpoint_vectors
from towers.two_towers import load_adapter, load_preprocess, read_shape


def zero_shot_metrics(inputs: Inputs, served: dict[str, EmbedTexts]) -> dict[str, Figures]:
    """Zero-shot top-1 and top-5 of teacher and served tiers; beside them the tower before it was trained."""
    prepared, clip = inputs.prepare, inputs.clip
    prompts = read_rows(inputs.embed_captions / "captions.prompts.jsonl")
    if not prompts or not (prepared / "class_images.jsonl").exists():
        return {}
    rows = read_rows(prepared / "class_images.jsonl")
    recipe, tower = load_preprocess(clip), load_image_tower(clip)
    named = read_shape(clip)["backbone"]
    backbone = create_backbone(**named)
    image_parts, frozen_parts = [], []
    for pixels in pixel_batches(read_images(prepared, rows), recipe, 32):
        batch = torch.from_numpy(pixels)
        with torch.inference_mode():
            image_parts.append(tower(batch))
            frozen_parts.append(backbone(batch))
    class_of_I = torch.tensor([row["index"] for row in rows])
    class_of_P = torch.tensor([int(row["id"]) for row in prompts])
    features_PD = load_file(inputs.embed_captions / "features.prompts.safetensors")["features"].float()
    with torch.inference_mode():
        teacher_PE = load_adapter(clip)(features_PD)
    texts = [row["text"] for row in prompts]
    prompts_of = {"teacher": teacher_PE} | {name: torch.from_numpy(embed(texts)) for name, embed in served.items()}

    def classes(vectors_PE: torch.Tensor) -> torch.Tensor:
        """The mean vector of each class's prompts [C, E]."""
        sums_CE = torch.zeros(int(class_of_P.max()) + 1, vectors_PE.shape[1]).index_add_(0, class_of_P, vectors_PE)
        return F.normalize(sums_CE, dim=-1)

    found = {
        tier: zero_shot(torch.cat(image_parts), classes(vectors_PE), class_of_I)
        for tier, vectors_PE in prompts_of.items()
    }
    if isinstance(backbone, ClipBackbone):
        # CLIP's own zero-shot: its images against its own vectors of the same prompts.
        own_PE = checkpoint_vectors(named["name"], [row["text"] for row in prompts], torch.device("cpu"))
        found["frozen_tower"] = zero_shot(torch.cat(frozen_parts), classes(own_PE), class_of_I)
    elif getattr(backbone, "num_classes", 0):
        found |= by_classifier(torch.cat(frozen_parts), class_of_I, class_rows(prepared))
    return found


def by_classifier(logits_IC: torch.Tensor, class_of_I: torch.Tensor, named: list[Row]) -> dict[str, Figures]:
    """The frozen tower's own choice among the classes of the class file that its classifier has, of pictures of those."""
    row_of = classifier_rows(logits_IC.shape[1], named)
    column_of = {number: column for column, number in enumerate(row_of)}
    known = [image for image, number in enumerate(class_of_I.tolist()) if number in column_of]
    if not known:
        return {}
    scores_IK = logits_IC[known][:, list(row_of.values())]
    column_of_I = torch.tensor([column_of[int(class_of_I[image])] for image in known])
    return {"frozen_tower": zero_shot(scores_IK, torch.eye(scores_IK.shape[1]), column_of_I)}
