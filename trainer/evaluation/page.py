"""What stage `evaluate` found, for people: a table, and a page with it and a plot."""

import base64
import html
import io
import json
from pathlib import Path
from typing import TypedDict

import matplotlib

from engine.folders.files import write_atomically
from evaluation.bench import Figures
from evaluation.measure import Measured, table
from evaluation.registry import DEV_SETS
from towers.metrics import RECALL_AT

matplotlib.use("Agg")
from matplotlib import pyplot as plt

# `evaluation.json`: figures by the name of what was measured.
Evaluation = TypedDict(
    "Evaluation",
    {
        "images": int,
        "captions": int,
        "retrieval": dict[str, Figures],
        "zero_shot": dict[str, Figures],
        "student_share_of_teacher_R@10": Figures,
        "dev_sets": Measured,
    },
)


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
    for name, found in document["zero_shot"].items():
        lines.append(
            f"class images, {name}: top-1 {100 * found['zero_shot_top1']:.1f}, top-5 {100 * found['zero_shot_top5']:.1f}"
        )
    if document["dev_sets"]["sets"]:
        lines += ["", table(document["dev_sets"], DEV_SETS)]
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


def write_evaluation(folder: Path, document: Evaluation) -> dict[str, str]:
    """Write the document as JSON and as a page; the names of both."""
    files = {"evaluation": "evaluation.json", "page": "evaluation.html"}
    write_atomically(folder / files["evaluation"], json.dumps(document, indent=2))
    write_atomically(folder / files["page"], render_page(document))
    return files
