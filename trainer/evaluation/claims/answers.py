"""What the runs say to each question: both arms over equal seeds, their difference with its interval, and whether it is as claimed."""

from collections.abc import Iterable
from typing import NotRequired, TypedDict

import numpy as np

from evaluation.claims.arms import Comparison, Found
from evaluation.claims.table import CLAIMS, Question
from towers.metrics import paired_bootstrap

SAMPLES, SEED = 2000, 1  # of the bootstrap

NOT_RUN = "not run"
YES = "reproduced"
NO = "did not reproduce"


class Arm(TypedDict):
    """One arm's figure over the seeds; `sd` is absent with one run."""

    name: str
    values: list[float]
    mean: float
    devices: list[str]  # on which kinds of device the runs were made: rounding differs between them
    sd: NotRequired[float]


class Answer(TypedDict):
    """What is known of a question; without figures it has not been run."""

    what: str
    run: str
    verdict: str
    seeds: list[int]
    more: NotRequired[Arm]
    than: NotRequired[Arm]
    difference: NotRequired[float]
    low: NotRequired[float]  # the 95 % interval of a bootstrap that is paired over items; absent where there are none
    high: NotRequired[float]


class Answered(TypedDict):
    """A claim and the answers to it."""

    claim: str
    paper: str
    source: str
    answers: list[Answer]


def answer_all(comparisons: list[Comparison]) -> list[Answered]:
    """Every claim of the table."""
    return [
        {
            "claim": claim.claim,
            "paper": claim.paper,
            "source": claim.source,
            "answers": [answer(question, comparisons) for question in claim.questions],
        }
        for claim in CLAIMS
    ]


def answer(question: Question, comparisons: Iterable[Comparison]) -> Answer:
    """By the comparison that has the question's arms with most seeds, of equal ones the newest."""
    best: tuple[int, float, list[int], Comparison] | None = None
    for comparison in comparisons:
        seeds = sorted(comparison.seeds_of(question.more) & comparison.seeds_of(question.than))
        if seeds and (best is None or (len(seeds), comparison.changed) > best[:2]):
            best = (len(seeds), comparison.changed, seeds, comparison)
    if best is None:
        return {"what": question.what, "run": question.run, "verdict": NOT_RUN, "seeds": []}
    _, _, seeds, comparison = best
    more, than = comparison.found(question.more, seeds), comparison.found(question.than, seeds)
    names = [figure.called or figure.arm for figure in (question.more, question.than)]
    arms = (arm_of(names[0], more), arm_of(names[1], than))
    found: Answer = {
        "what": question.what,
        "run": question.run,
        "verdict": "",
        "seeds": seeds,
        "more": arms[0],
        "than": arms[1],
        "difference": arms[0]["mean"] - arms[1]["mean"],
    }
    if more.items is not None and than.items is not None and len(more.items) == len(than.items):
        drawn = paired_bootstrap(more.items, than.items, SAMPLES, SEED)
        found["low"], found["high"] = drawn["low"], drawn["high"]
    found["verdict"] = verdict(question, found)
    return found


def verdict(question: Question, found: Answer) -> str:
    """Whether the figures say what the papers say. An interval that holds 0 shows no difference."""
    difference = found.get("difference", 0.0)
    low, high = found.get("low", difference), found.get("high", difference)
    if question.expects == "same":
        return YES if low <= 0 <= high else f"{NO}: there is a difference"
    if low > 0:
        return YES if "low" in found else f"{YES}, without an interval"
    return f"{NO}: the opposite" if high < 0 else f"{NO}: no difference is seen"


def arm_of(name: str, found: Found) -> Arm:
    """Mean and, of several runs, standard deviation."""
    arm: Arm = {
        "name": name,
        "values": found.values,
        "mean": float(np.mean(found.values)),
        "devices": found.devices,
    }
    if len(found.values) > 1:
        arm["sd"] = float(np.std(found.values, ddof=1))
    return arm
