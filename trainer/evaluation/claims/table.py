"""The table of claims: what the papers print, and which figures of ours answer the same question in small.

R@1 pairs are image to text / text to image. Averages of LLM2CLIP are over Flickr30k, COCO, ShareGPT4V, Urban-1k and DOCCI,
those of ProCLIP over six sets. Papers' figures are typed here and nowhere else; ours are read from reports.
"""

from dataclasses import dataclass
from typing import Literal

BASE = "base"  # the recipe itself, as in a comparison
STUDENT = "student"  # the exported model, whose students read translations
DEV_SETS = "dev_sets"  # where a figure is from that `npm run claims -- --measure` measures
START = "start"  # the same, of what `clip` started from

LLM2CLIP = "LLM2CLIP, 2411.04997v6"
PROCLIP = "ProCLIP, 2510.18795v3"

WHAT = {
    "mean_recall": "Flickr8k dev, mean recall",
    "zero_shot_top1": "ImageNet sample, top-1",
    "unseen_top1": "unseen nouns, top-1",
    "caption_retrieval": "caption retrieval, text tower",
    "features_caption_retrieval": "caption retrieval, teachers' vectors",
    "long_retrieval": "long descriptions, half finds half",
    "dev_accuracy.first": "caption retrieval, language model",
    "dev_accuracy.last": "caption retrieval, language model",
    "flickr-zh.mean_recall": "Flickr8k dev in Chinese (people), mean recall",
    "multi30k.mean_R@1": "Multi30k dev, R@1 of eight languages among English",
}


@dataclass(frozen=True)
class Figure:
    """A metric of an arm, in the report of a stage that it ran, or of the dev sets."""

    arm: str
    metric: str
    of: str = "clip"
    called: str = ""  # in the table, where the arm's name does not tell the two sides apart


@dataclass(frozen=True)
class Question:
    """Whether `more` is above `than`, or both are the same; a comparison with the recipe's `variants` makes the figures."""

    more: Figure
    than: Figure
    variants: tuple[str, ...]
    expects: Literal["more", "same"] = "more"

    @property
    def what(self) -> str:
        """What is measured, in words."""
        return WHAT[self.more.metric]

    @property
    def key(self) -> str:
        """What it is known by where its figures are kept."""
        return " > ".join(f"{figure.arm}:{figure.of}.{figure.metric}" for figure in (self.more, self.than))

    @property
    def is_measured(self) -> bool:
        """Whether its figures are made by `--measure`, after the runs."""
        return not {DEV_SETS, START}.isdisjoint((self.more.of, self.than.of))

    @property
    def run(self) -> str:
        """What makes the figures."""
        return f"--ablate {','.join(self.variants)}" + (", then --measure" if self.is_measured else "")


@dataclass(frozen=True)
class Claim:
    """One claim, the figures behind it, and what of it can be asked here."""

    claim: str
    paper: str
    source: str
    questions: tuple[Question, ...]


def between(more: str, than: str, *metrics: str, expects: Literal["more", "same"] = "more") -> tuple[Question, ...]:
    """The same question by several metrics of `clip`'s report, of two arms of one comparison."""
    variants = tuple(name for name in (more, than) if name != BASE)
    return tuple(Question(Figure(more, metric), Figure(than, metric), variants, expects) for metric in metrics)


def languages(more: str, than: str) -> tuple[Question, ...]:
    """Chinese written for the photographs, and translations of captions."""
    return tuple(
        Question(Figure(more, metric, DEV_SETS), Figure(than, metric, DEV_SETS), ("control",))
        for metric in ("flickr-zh.mean_recall", "multi30k.mean_R@1")
    )


CLAIMS = (
    Claim(
        "a language model as the text side is better than CLIP's own text tower",
        "CLIP L/14-224, average R@1: 71.4/61.3 → 87.8/84.6",
        f"{LLM2CLIP}, table 1",
        between(BASE, "control", "mean_recall", "unseen_top1", "zero_shot_top1", "long_retrieval"),
    ),
    Claim(
        "captions of one image are far apart in a language model until it is tuned on them",
        "caption retrieval accuracy, Llama-3-8B: 5.2 → 29.5",
        f"{LLM2CLIP}, caption retrieval",
        (
            Question(
                Figure(BASE, "dev_accuracy.last", "contrastive", "after"),
                Figure(BASE, "dev_accuracy.first", "contrastive", "before"),
                ("control",),
            ),
            *between("llm", "llm_no_contrastive", "features_caption_retrieval"),
        ),
    ),
    Claim(
        "without that tuning an image tower learns less",
        "average R@1, 1B: supervised 80.4/77.9, masked prediction alone 70.1/67.0",
        f"{LLM2CLIP}, ablation of stage 1",
        (
            *between("llm", "llm_no_contrastive", "mean_recall", "unseen_top1"),
            *between(BASE, "no_contrastive", "mean_recall"),
        ),
    ),
    Claim(
        "a language model as it was released does not do",
        "average R@1, Llama-3.1-8B: as released 66.5/62.5, tuned 84.8/81.0",
        f"{LLM2CLIP}, ablation of text encoders",
        between("llm", "llm_raw", "mean_recall", "features_caption_retrieval"),
    ),
    Claim(
        "masked prediction before the tuning changes nothing",
        "average R@1, 1B: without 80.4/77.9, with 79.7/77.2",
        f"{LLM2CLIP}, ablation of stage 1",
        between(BASE, "no_mntp", "mean_recall", "caption_retrieval", expects="same"),
    ),
    Claim(
        "a tuned language model teaches more than a sentence encoder",
        "average R@1: Llama-3.2-1B tuned 80.4/77.9, e5 74.0/71.7, jina-v3 73.6/71.0",
        f"{LLM2CLIP}, ablation of text encoders",
        between("llm", "minilm", "mean_recall", "unseen_top1"),
    ),
    Claim(
        "a second text encoder beside the language model adds something (the paper's is CLIP's own; here MiniLM, because no CLIP is at hand)",
        "average R@1: 83.9/82.1 → 84.7/82.8",
        f"{LLM2CLIP}, ablation of the text side",
        between(BASE, "llm", "mean_recall", "unseen_top1"),
    ),
    Claim(
        "four blocks of adapter are better than two or none",
        "average R@1, 1B: 0: 78.3/75.5, 2: 80.1/76.8, 4: 80.4/77.9",
        f"{LLM2CLIP}, ablation of the adapter",
        (*between(BASE, "adapter_0", "mean_recall"), *between(BASE, "adapter_2", "mean_recall")),
    ),
    Claim(
        "a deeper adapter keeps more of what the image tower knew",
        "three times as deep: ImageNet 67.8 → 71.5, average R@1 86.2/82.6 → 86.8/82.8",
        PROCLIP,
        between("adapter_8", BASE, "zero_shot_top1", "mean_recall"),
    ),
    Claim(
        "training against the language model costs the image tower little of what it knew",
        "ImageNet, CLIP L/14: one template 73.7 → 73.2, 80 templates 75.5 → 74.3",
        f"{LLM2CLIP}, zero-shot classification",
        (
            Question(
                Figure(BASE, "zero_shot_top1", called="after"),
                Figure(BASE, "zero_shot_top1", START, "before"),
                ("control",),
                "same",
            ),
        ),
    ),
    Claim(
        "inheriting the image tower's space first keeps what it knew",
        "ImageNet 52.8 → 59.2, average R@1 82.0/79.1 → 82.9/80.2",
        f"{PROCLIP}, tables 4, 5 and 7",
        between(BASE, "no_inherit", "zero_shot_top1", "mean_recall"),
    ),
    Claim(
        "the regulariser keeps what it knew, at no cost in retrieval",
        "ImageNet 59.2 → 62.5, average R@1 82.9/80.2 → 83.0/80.5",
        f"{PROCLIP}, tables 4, 5 and 7",
        (
            *between(BASE, "no_regulariser", "zero_shot_top1"),
            *between(BASE, "no_regulariser", "mean_recall", expects="same"),
        ),
    ),
    Claim(
        "long texts in the mix are what long-text retrieval needs (the paper mixes captions of pictures; here the language model's texts)",
        "average R@1 at 0, 25, 50, 75 and 100 % long: 80.5/80.0, 83.5/81.9, 83.9/82.1, 84.1/82.2, 82.7/80.4",
        f"{LLM2CLIP}, ablation of the dense ratio",
        (
            *between("long_25", "long_0", "long_retrieval"),
            *between("long_50", "long_0", "long_retrieval", "mean_recall"),
        ),
    ),
    Claim(
        "images trained with English alone are found in other languages",
        "Flickr-CN R@1, EVA02 L/14: 4.4/0.9 → 90.6/75.6",
        f"{LLM2CLIP}, multilingual retrieval",
        languages(BASE, "control"),
    ),
    Claim(
        "… and with translations in distillation (not in the paper: the students of `api/model` beside the teacher here)",
        "",
        "",
        languages(STUDENT, BASE),
    ),
)
