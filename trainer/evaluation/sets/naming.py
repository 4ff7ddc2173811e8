"""Photos and names: which of the names is nearest to the photo (zero-shot classification)."""

import json
from collections.abc import Callable, Sequence

import torch

from evaluation.bench import Bench, Figures
from towers.data import Row
from towers.labels import is_held_out, normalised_label
from towers.metrics import recall_at, target_ranks

# Of the 80 templates that CLIP's authors use for ImageNet the first 24, and the bare name, which is what people type.
CLIP_TEMPLATES = 24
BARE = "{}"
# Of sets with thousands of labels: 25 prompts of each would take most of the time of all dev sets.
FEW_TEMPLATES = ("a photo of a {}.", BARE)
CLASSES = "imagenet1k-sample/classes.json"
HELD_OUT = 0.1
UNSEEN_SETS = ("nouns", "objects", "food", "products")


def top(images_IE: torch.Tensor, classes_CE: torch.Tensor, class_of_I: Sequence[int]) -> Figures:
    """Top-1 and top-5."""
    rank_I = target_ranks(images_IE @ classes_CE.T, torch.tensor(class_of_I))
    return {f"top{k}": recall_at(rank_I, k) for k in (1, 5)}


def templates_of(bench: Bench) -> list[str]:
    """CLIP's own 80."""
    return json.loads((bench.data / CLASSES).read_text(encoding="utf-8"))["templates"]


def prompts_of(bench: Bench, names: Sequence[str], count: int = CLIP_TEMPLATES) -> list[list[str]]:
    """Every name in the first `count` templates and alone."""
    return in_templates(names, [*templates_of(bench)[:count], BARE])


def in_templates(names: Sequence[str], templates: Sequence[str]) -> list[list[str]]:
    """Every name in every template."""
    return [[template.replace("{}", name) for template in templates] for name in names]


def imagenet(bench: Bench, shard: str, count: int = CLIP_TEMPLATES) -> Figures:
    """Photos with `index`, against the 1,000 names."""
    classes = json.loads((bench.data / CLASSES).read_text(encoding="utf-8"))["classes"]
    names = [row["name"] for row in sorted(classes, key=lambda row: row["index"])]
    rows = bench.rows(shard.replace("-000.tar", ".jsonl").replace(".tar", ".jsonl"))
    classes_CE = bench.classes(prompts_of(bench, names, count))
    return top(bench.photos(shard, rows), classes_CE, [row["index"] for row in rows])


def imagenet_sample(bench: Bench) -> Figures:
    """One photo for each class."""
    return imagenet(bench, "imagenet1k-sample/imagenet1k-sample.tar")


def imagenet_all_templates(bench: Bench) -> Figures:
    """The same with all 80 templates and the bare name."""
    return imagenet(bench, "imagenet1k-sample/imagenet1k-sample.tar", 80)


def imagenet_ccby(bench: Bench) -> Figures:
    """Photographs that no classifier was trained on."""
    return imagenet(bench, "images/imagenet-ccby-000.tar")


def cifar(bench: Bench) -> Figures:
    """Ten names."""
    rows = bench.rows("cifar10-mini/cifar10-mini.jsonl")
    names = sorted({row["label"] for row in rows})
    photos_IE = bench.photos("cifar10-mini/cifar10-mini.tar", rows)
    return top(photos_IE, bench.classes(prompts_of(bench, names)), [names.index(row["label"]) for row in rows])


def grocery(bench: Bench) -> Figures:
    """81 fine names, the same with the shop's descriptions, and the coarse names."""
    rows = bench.rows("grocery/grocery-val.jsonl")
    classes = json.loads((bench.data / "grocery/classes.json").read_text(encoding="utf-8"))
    photos_IE = bench.photos("grocery/grocery-val.tar", rows)
    coarse = {row["coarse_id"]: row["coarse"] for row in classes}
    numbers = sorted(coarse)
    fine_CE = bench.classes(prompts_of(bench, [row["name"] for row in classes]))
    # A description weighs as much as all prompts of the name together.
    described_CE = torch.nn.functional.normalize(fine_CE + bench.texts([row["description"] for row in classes]), dim=-1)
    coarse_CE = bench.classes(prompts_of(bench, [coarse[number] for number in numbers]))
    fine_of_I = [row["class_id"] for row in rows]
    found = {
        "": top(photos_IE, fine_CE, fine_of_I),
        "described_": top(photos_IE, described_CE, fine_of_I),
        "coarse_": top(photos_IE, coarse_CE, [numbers.index(row["coarse_id"]) for row in rows]),
    }
    return {f"{kind}{name}": value for kind, figures in found.items() for name, value in figures.items()}


def unseen(sets: Sequence[str]) -> Callable[[Bench], Figures]:
    """Photos of held-out labels among all labels of these sets; beside them photos of the other labels.

    `new_top1` is of labels that are no ImageNet class either: nobody, the backbone's makers included, has trained on them.
    """

    def measure(bench: Bench) -> Figures:
        rows_of = {name: bench.rows(f"images/{name}.jsonl") for name in sets}
        label_of_I = [normalised_label(row["label"]) for rows in rows_of.values() for row in rows]
        labels = list(dict.fromkeys(label_of_I))
        classes_CE = bench.classes(in_templates(labels, FEW_TEMPLATES))
        photos_IE = torch.cat([bench.photos(f"images/{name}-000.tar", rows) for name, rows in rows_of.items()])
        number_of = {label: number for number, label in enumerate(labels)}
        known = imagenet_words(bench)

        def figures(prefix: str, wanted: Callable[[str], bool]) -> Figures:
            chosen = [number for number, label in enumerate(label_of_I) if wanted(label)]
            if not chosen:
                return {}
            found = top(photos_IE[chosen], classes_CE, [number_of[label_of_I[number]] for number in chosen])
            return {f"{prefix}{name}": value for name, value in found.items()} | {f"{prefix}photos": len(chosen)}

        return (
            figures("", lambda label: is_held_out(label, HELD_OUT))
            | figures("new_", lambda label: is_held_out(label, HELD_OUT) and label not in known)
            | figures("other_", lambda label: not is_held_out(label, HELD_OUT))
        )

    return measure


def imagenet_words(bench: Bench) -> set[str]:
    """Names and synonyms of the 1,000 classes."""
    rows: list[Row] = bench.rows("text/imagenet-classes.jsonl.gz")
    return {normalised_label(word) for row in rows for word in (row["name"], *row["synonyms"])}
