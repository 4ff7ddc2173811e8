"""Stage `evaluate`: measures the model on dev and reports JSON, a page with a plot and a table on standard error.

Teacher, float student and served tiers are measured against the same image vectors. Variants of the recipe, the control
from scratch among them, are measured by stage `compare`.
"""

import json
import shutil

import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from contracts.types import EvaluateConfig
from engine.run import Run, write_atomically
from evaluation.bench import Figures, Place
from evaluation.cache import VectorCache
from evaluation.card import with_dev_sets
from evaluation.measure import Measured, flat, measure
from evaluation.page import Evaluation, render_page, render_table
from evaluation.progress import Progress
from evaluation.registry import BY_NAME
from evaluation.served import ServedModel
from evaluation.trained import TrainedModel
from towers.class_targets import classifier_rows, read_classes
from towers.data import Row, read_images, read_pairs, read_rows
from towers.image.backbone import create_backbone
from towers.image.checkpoint import ClipBackbone, text_features
from towers.metrics import retrieval, zero_shot
from towers.preprocess import pixel_batches
from towers.served_text import EmbedTexts
from towers.student import load_student
from towers.two_towers import load_adapter, load_image_tower, load_preprocess, read_shape

# What the first tier is called in reports and at the gate; the others keep their names.
STUDENT = "student_int8"
STEPS = 4
CARD = "MODEL_CARD.md"
VECTORS = "vectors"


def main() -> None:
    """Run the stage."""
    run = Run.start(EvaluateConfig)
    prepared, clip, exported = run.input("prepare"), run.input("clip"), run.input("export")
    pairs = read_pairs(prepared, "dev")
    texts = [caption for row in pairs for caption in row["captions"]]
    image_of_N = torch.tensor([number for number, row in enumerate(pairs) for _ in row["captions"]])

    # ---- retrieval on dev: every text tier against the image tower of the main run ----------------------------------------
    image_IE = load_file(clip / "dev_images.safetensors")["features"]
    teacher_NE = load_file(clip / "dev_captions.safetensors")["features"]
    student, wordpiece = load_student(run.input("distill"))
    shape = student.shape
    model = ServedModel(exported)
    served = {STUDENT if name == "base" else name: tier.embed for name, tier in model.tiers.items()}
    tiers = {
        "teacher": teacher_NE,
        "student_float": student.embed(wordpiece.encode(texts, shape.context_length)),
        **{name: torch.from_numpy(embed(texts)) for name, embed in served.items()},
    }
    rows: dict[str, Figures] = {name: retrieval(image_IE, text_NE, image_of_N) for name, text_NE in tiers.items()}
    run.tick(1, STEPS)
    for dim in shape.matryoshka_dims[1:]:
        rows[f"student_int8@{dim}"] = retrieval(
            F.normalize(image_IE[:, :dim], dim=-1), F.normalize(tiers["student_int8"][:, :dim], dim=-1), image_of_N
        )

    # ---- zero-shot on the class images: a sanity check, the backbone was trained on similar pictures ----------------------------
    zero_shots = zero_shot_metrics(run, served)
    run.tick(2, STEPS)

    # ---- dev sets: the exported model as it is served --------------------------------------------------------------------------
    dev_sets = on_dev_sets(run, model)
    run.tick(3, STEPS)

    # ---- report ----------------------------------------------------------------------------------------------------------------
    text_retention = rows["student_int8"]["text_to_image_R@10"] / max(rows["teacher"]["text_to_image_R@10"], 1e-9)
    image_retention = rows["student_int8"]["image_to_text_R@10"] / max(rows["teacher"]["image_to_text_R@10"], 1e-9)
    document: Evaluation = {
        "images": len(pairs),
        "captions": len(texts),
        "retrieval": rows,
        "zero_shot": zero_shots,
        "student_share_of_teacher_R@10": {"text_to_image": text_retention, "image_to_text": image_retention},
        "dev_sets": dev_sets,
    }
    write_atomically(run.output / "evaluation.json", json.dumps(document, indent=2))
    write_atomically(run.output / "evaluation.html", render_page(document))
    run.log("\n" + render_table(document))
    metrics = {f"{name}.{key}": value for name, found in rows.items() for key, value in found.items()}
    metrics |= {f"{name}.{key}": value for name, found in zero_shots.items() for key, value in found.items()}
    metrics |= {"student_share.text_to_image_R@10": text_retention, "student_share.image_to_text_R@10": image_retention}
    metrics |= flat(dev_sets)
    card = (exported / CARD).read_text(encoding="utf-8")
    write_atomically(run.output / CARD, with_dev_sets(card, dev_sets))
    run.tick(STEPS, STEPS)
    run.finish(metrics, {"evaluation": "evaluation.json", "page": "evaluation.html", CARD: CARD})


class StageProgress(Progress):
    """Progress of a measurement within a stage: a stop is noticed while vectors are computed."""

    def __init__(self, run: Run[EvaluateConfig]) -> None:
        super().__init__(quiet=True)
        self.run = run

    def tick(self, done: int, total: int, what: str) -> None:
        """Report the stage's step; its parts are not steps of their own."""
        self.run.tick(2, STEPS, dict, share=done / total)


def on_dev_sets(run: Run[EvaluateConfig], model: ServedModel) -> Measured:
    """The exported model on the dev sets of the recipe; vectors are kept until the stage has ended, for its next attempt."""
    names = run.config.get("dev_sets", [])
    if not names:
        return {"sets": {}, "left_out": {}}
    place = Place(run.input("data"), VectorCache(run.output / VECTORS), StageProgress(run))
    sets = [BY_NAME[name] for name in names]
    measured = measure(model, sets, place)
    # The teacher is a hundred times slower than what it taught: on texts alone.
    inputs = {"embed_captions": run.input("embed_captions")}
    if "contrastive" in run.job["inputs"]:
        inputs["contrastive"] = run.input("contrastive")
    teacher = measure(TrainedModel(run.input("clip"), inputs), [row for row in sets if row.texts_only], place)
    for name, of_set in teacher["sets"].items():
        measured["sets"][name] |= of_set
    shutil.rmtree(run.output / VECTORS, ignore_errors=True)
    return measured


def zero_shot_metrics(run: Run[EvaluateConfig], served: dict[str, EmbedTexts]) -> dict[str, Figures]:
    """Zero-shot top-1 and top-5 of teacher and served tiers; beside them the tower before it was trained."""
    prepared, clip = run.input("prepare"), run.input("clip")
    prompts = read_rows(run.input("embed_captions") / "captions.prompts.jsonl")
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
    features_PD = load_file(run.input("embed_captions") / "features.prompts.safetensors")["features"].float()
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
        own_PE = text_features(named["name"], [row["text"] for row in prompts], torch.device("cpu"))
        found["frozen_tower"] = zero_shot(torch.cat(frozen_parts), classes(own_PE), class_of_I)
    elif getattr(backbone, "num_classes", 0):
        found |= by_classifier(torch.cat(frozen_parts), class_of_I, read_classes(prepared))
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


if __name__ == "__main__":
    main()
