"""Stage `evaluate`: measures the model on dev and reports JSON, a page with a plot and a table on standard error.

Teacher, float student, served (int8) student, static tier and the control from scratch are measured against the same
image vectors; the comparison of the two arms of `clip` is paired, image by image, over every seed.
"""

import base64
import html
import io
import json
from typing import TypedDict, cast

import matplotlib
import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from contracts import load
from contracts.constants import FILE_MANIFEST
from contracts.types import EvaluateConfig, ModelManifest
from towers.clip_checkpoint import ClipBackbone, text_features
from towers.data import read_images, read_pairs, read_rows
from towers.metrics import RECALL_AT, mean_recall_per_image, paired_bootstrap, retrieval, zero_shot
from towers.preprocess import preprocess
from towers.run import Run, write_atomically
from towers.served_text import EmbedTexts, served_tiers
from towers.student import load_student
from towers.two_towers import load_adapter, load_image_tower, load_preprocess, read_shape
from towers.vision import create_backbone

matplotlib.use("Agg")
from matplotlib import pyplot as plt

Metrics = dict[str, float]

# `evaluation.json`: metrics by the name of what was measured.
Evaluation = TypedDict(
    "Evaluation",
    {
        "images": int,
        "captions": int,
        "retrieval": dict[str, Metrics],
        "comparison": Metrics,
        "zero_shot": dict[str, Metrics],
        "student_share_of_teacher_R@10": Metrics,
    },
)


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
    ids = wordpiece.encode(texts, shape.context_length)
    manifest = cast(ModelManifest, load("ModelManifest", (exported / FILE_MANIFEST).read_text(encoding="utf-8")))
    served = served_tiers(exported, manifest)
    tiers = {
        "teacher": teacher_NE,
        "student_float": student.embed(ids),
        "student_int8": torch.from_numpy(served["student"](texts)),
        **{tier: torch.from_numpy(embed(texts)) for tier, embed in served.items() if tier != "student"},
    }
    rows: dict[str, Metrics] = {name: retrieval(image_IE, text_NE, image_of_N) for name, text_NE in tiers.items()}
    run.tick(1, 4)
    for dim in shape.matryoshka_dims[1:]:
        rows[f"student_int8@{dim}"] = retrieval(
            F.normalize(image_IE[:, :dim], dim=-1), F.normalize(tiers["student_int8"][:, :dim], dim=-1), image_of_N
        )

    # ---- LLM-taught against the control, seed by seed ------------------------------------------------------------------------
    arms: dict[str, dict[str, np.ndarray]] = {"llm": {}, "scratch": {}}
    for role in sorted(run.job["inputs"]):
        for arm, runs in arms.items():
            if role.startswith(f"clip_{arm}_"):
                folder = run.input(role)
                vectors = [load_file(folder / f"dev_{side}.safetensors")["features"] for side in ("images", "captions")]
                seed = role.removeprefix(f"clip_{arm}_")
                rows[f"{arm}, seed {seed}"] = retrieval(vectors[0], vectors[1], image_of_N)
                runs[seed] = mean_recall_per_image(vectors[0] @ vectors[1].T, image_of_N)
    comparison: Metrics = {}
    if arms["llm"] and arms["llm"].keys() == arms["scratch"].keys():
        means = {arm: np.array([values.mean() for values in runs.values()]) for arm, runs in arms.items()}
        comparison = paired_bootstrap(
            np.mean(list(arms["llm"].values()), axis=0),
            np.mean(list(arms["scratch"].values()), axis=0),
            run.config["bootstrap_samples"],
            run.seed,
        )
        for arm, values in means.items():
            comparison |= {
                f"{arm}.mean": float(values.mean()),
                f"{arm}.sd": float(values.std(ddof=1 if len(values) > 1 else 0)),
            }
    run.tick(2, 4)

    # ---- zero-shot on the class images: a sanity check, the backbone was trained on similar pictures ----------------------------
    zero_shots = zero_shot_metrics(run, served["student"])
    run.tick(3, 4)

    # ---- report ----------------------------------------------------------------------------------------------------------------
    text_retention = rows["student_int8"]["text_to_image_R@10"] / max(rows["teacher"]["text_to_image_R@10"], 1e-9)
    image_retention = rows["student_int8"]["image_to_text_R@10"] / max(rows["teacher"]["image_to_text_R@10"], 1e-9)
    document: Evaluation = {
        "images": len(pairs),
        "captions": len(texts),
        "retrieval": rows,
        "comparison": comparison,
        "zero_shot": zero_shots,
        "student_share_of_teacher_R@10": {"text_to_image": text_retention, "image_to_text": image_retention},
    }
    write_atomically(run.output / "evaluation.json", json.dumps(document, indent=2))
    write_atomically(run.output / "evaluation.html", render_page(document))
    run.log("\n" + render_table(document))
    metrics = {f"{name}.{key}": value for name, found in rows.items() for key, value in found.items()}
    metrics |= {f"comparison.{key}": value for key, value in comparison.items()}
    metrics |= {f"{name}.{key}": value for name, found in zero_shots.items() for key, value in found.items()}
    metrics |= {"student_share.text_to_image_R@10": text_retention, "student_share.image_to_text_R@10": image_retention}
    run.tick(4, 4)
    run.finish(metrics, {"evaluation": "evaluation.json", "page": "evaluation.html"})


def zero_shot_metrics(run: Run[EvaluateConfig], served: EmbedTexts) -> dict[str, Metrics]:
    """Zero-shot top-1 and top-5 of teacher and served student; beside them the tower before it was trained."""
    prepared, clip = run.input("prepare"), run.input("clip")
    prompts = read_rows(run.input("embed_captions") / "captions.prompts.jsonl")
    if not prompts or not (prepared / "class_images.jsonl").exists():
        return {}
    rows = read_rows(prepared / "class_images.jsonl")
    recipe, tower = load_preprocess(clip), load_image_tower(clip)
    name = read_shape(clip)["backbone"]["name"]
    backbone = create_backbone(name)
    image_parts, frozen_parts, pixels = [], [], []
    for number, (_, data) in enumerate(read_images(prepared, rows), 1):
        pixels.append(preprocess(data, recipe))
        if len(pixels) == 32 or number == len(rows):
            batch = torch.from_numpy(np.stack(pixels))
            with torch.inference_mode():
                image_parts.append(tower(batch))
                frozen_parts.append(backbone(batch))
            pixels = []
    class_of_I = torch.tensor([row["index"] for row in rows])
    class_of_P = torch.tensor([int(row["id"]) for row in prompts])
    features_PD = load_file(run.input("embed_captions") / "features.prompts.safetensors")["features"].float()
    with torch.inference_mode():
        teacher_PE = load_adapter(clip)(features_PD)
    student_PE = torch.from_numpy(served([row["text"] for row in prompts]))

    def classes(vectors_PE: torch.Tensor) -> torch.Tensor:
        """The mean vector of each class's prompts [C, E]."""
        sums_CE = torch.zeros(int(class_of_P.max()) + 1, vectors_PE.shape[1]).index_add_(0, class_of_P, vectors_PE)
        return F.normalize(sums_CE, dim=-1)

    found = {
        tier: zero_shot(torch.cat(image_parts), classes(vectors_PE), class_of_I)
        for tier, vectors_PE in (("teacher", teacher_PE), ("student_int8", student_PE))
    }
    if isinstance(backbone, ClipBackbone):
        # CLIP's own zero-shot: its images against its own vectors of the same prompts.
        own_PE = text_features(name, [row["text"] for row in prompts], torch.device("cpu"))
        found["frozen_tower"] = zero_shot(torch.cat(frozen_parts), classes(own_PE), class_of_I)
    else:
        logits_IC = torch.cat(frozen_parts)
        found["frozen_tower"] = zero_shot(logits_IC, torch.eye(logits_IC.shape[1]), class_of_I)
    return found


def render_table(document: Evaluation) -> str:
    """The metrics as people read them, in per cent."""
    keys = [f"{way}_R@{k}" for way in ("image_to_text", "text_to_image") for k in RECALL_AT] + ["mean_recall"]
    lines = [
        f"dev: {document['images']} images, {document['captions']} captions; per cent",
        f"{'':24}{'I2T R@1':>9}{'R@5':>7}{'R@10':>7}{'T2I R@1':>9}{'R@5':>7}{'R@10':>7}{'mean':>7}",
    ]
    for name, found in document["retrieval"].items():
        widths = (9, 7, 7, 9, 7, 7, 7)
        cells = (f"{100 * found[key]:>{width}.1f}" for key, width in zip(keys, widths, strict=True))
        lines.append(f"{name:24}{''.join(cells)}")
    retention = document["student_share_of_teacher_R@10"]
    lines.append(
        f"the served student keeps {100 * retention['text_to_image']:.1f} % (text to image) and "
        f"{100 * retention['image_to_text']:.1f} % (image to text) of the teacher's R@10"
    )
    if document["comparison"]:
        c = document["comparison"]
        lines.append(
            f"LLM-taught {100 * c['llm.mean']:.1f} ± {100 * c['llm.sd']:.1f}, control {100 * c['scratch.mean']:.1f} ± "
            f"{100 * c['scratch.sd']:.1f}: difference {100 * c['difference']:.1f} "
            f"[{100 * c['low']:.1f}, {100 * c['high']:.1f}] (paired bootstrap over images, 95 %)"
        )
    for name, found in document["zero_shot"].items():
        lines.append(
            f"class images, {name}: top-1 {100 * found['zero_shot_top1']:.1f}, top-5 {100 * found['zero_shot_top5']:.1f}"
        )
    return "\n".join(lines)


def render_page(document: Evaluation) -> str:
    """The report as one HTML file: the table and a bar chart of the mean recalls."""
    names = list(document["retrieval"])
    figure, axes = plt.subplots(figsize=(8, 0.4 * len(names) + 1))
    axes.barh(names[::-1], [100 * document["retrieval"][name]["mean_recall"] for name in names[::-1]])
    axes.set_xlabel("mean of R@1/5/10 both ways, per cent")
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    plt.close(figure)
    image = base64.b64encode(buffer.getvalue()).decode()
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Evaluation</title>"
        "<style>body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}pre{overflow:auto}"
        "img{max-width:100%}</style><h1>Evaluation on dev</h1>"
        f"<pre>{html.escape(render_table(document))}</pre><img alt='mean recall of every row' src='data:image/png;base64,{image}'></html>"
    )


if __name__ == "__main__":
    main()
