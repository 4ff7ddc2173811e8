"""Whether a search found anything: fits what the cosine of the best hit says, by how many things were searched.

Why no more than that cosine: on 256 Flickr8k dev photos the area under the ROC curve of searches with the right photo
against the same without it is 0.64 for the cosine of the best hit. Sums over all hits, the margin to the second hit, means
and best of background images and captions, and logistic mixtures of them stay within 0.02 of it (trainer/LOG.md). Why dev and
not train: the towers have learnt the train pairs, whose cosines are higher than those of pairs that they never saw.

Names have verdicts of their own (towers/names_verdict.py).
"""

from collections.abc import Iterable
from typing import NamedTuple, cast

import numpy as np
import torch

from contracts.types import SearchVerdict, SearchVerdicts
from towers.calibration import fit_logistic
from towers.metrics import auc

COUNTS = (1, 4, 16, 64, 256, 1024)
JUDGED_AMONG = 256  # how many things the published figures are measured among
# Of the searches for what is there that may be called absent, and of the others that may be called found.
MISJUDGED = 0.1
SEARCHES = 2000  # for each count, times the queries of a thing
BINS = 10  # of the calibration error
FOLDS = 2
LEAST_HALF = 4  # things: of fewer no figure means anything


class Searches(NamedTuple):
    """Cosines of the best hits among `things` things, of the same queries with and without what matches."""

    things: int
    present_N: np.ndarray
    absent_N: np.ndarray


class Sides(NamedTuple):
    """What searches and what is searched: unit vectors, and for every query the number of the one thing that matches."""

    queries_QE: np.ndarray
    match_Q: np.ndarray
    things_TE: np.ndarray


def search(sides: Sides, count: int, rng: np.random.Generator) -> Searches:
    """Random searches. Of `count` + 1 things that hold the match, those without one other and those without the match.

    Where few things have a query, one of these is among those of every search.
    """
    queries_QE, match_Q, things_TE = sides
    if len(things_TE) <= count:
        raise ValueError(f"a search among {count} needs more than {len(things_TE)} things")
    matched_S = np.unique(match_Q)
    present, absent = [], []
    for _ in range(max(1, SEARCHES // (count + 1))):
        chosen_C = rng.permutation(len(things_TE))[: count + 1]
        if len(matched_S) < len(things_TE) and not np.isin(chosen_C, matched_S).any():
            chosen_C[0] = rng.choice(matched_S)
        place_T = np.full(len(things_TE), -1)
        place_T[chosen_C] = np.arange(count + 1)
        asked = np.flatnonzero(place_T[match_Q] >= 0)
        own_N = place_T[match_Q[asked]]
        scores_NC = queries_QE[asked] @ things_TE[chosen_C].T
        rows = np.arange(len(asked))
        matching_N = scores_NC[rows, own_N]
        scores_NC[rows, own_N] = -np.inf
        absent.append(scores_NC.max(1))
        scores_NC[rows, (own_N + 1) % (count + 1)] = matching_N
        present.append(scores_NC.max(1))
    return Searches(count, np.concatenate(present), np.concatenate(absent))


def counts_of(things: int) -> list[int]:
    """How many things searches are made among, where there are so many."""
    if things < 2:
        raise ValueError("a search that finds nothing needs at least two things")
    return [*(count for count in COUNTS if count < things - 1), things - 1]


def fit_verdict(searches: Iterable[Searches]) -> SearchVerdict:
    """The logistic map and both thresholds at every count."""
    found: SearchVerdict = {"counts": [], "scales": [], "biases": [], "absent_below": [], "present_above": []}
    for count, present_N, absent_N in searches:
        scale, bias = fit_logistic(present_N, absent_N)
        if scale <= 0:
            scale, bias = 0.0, 0.0  # the cosine tells nothing
        below, above = float(np.quantile(present_N, MISJUDGED)), float(np.quantile(absent_N, 1 - MISJUDGED))
        if below > above:
            # Both kinds are told apart with fewer errors than may be: one threshold, where they are equally probable.
            below = above = min(max(-bias / scale, above), below)
        found["counts"].append(count)
        found["scales"].append(scale)
        found["biases"].append(bias)
        found["absent_below"].append(below)
        found["present_above"].append(above)
    return found


def among(count: int, verdict: SearchVerdict, values: list[float], onward: tuple[float, float]) -> float:
    """A list's number at a count, linear in its logarithm; `onward`: bounds of its slope beyond the last count."""
    counts, x = np.log(verdict["counts"]), np.log(count)
    if x <= counts[-1] or len(counts) == 1:
        return float(np.interp(x, counts, values))
    slope = (values[-1] - values[-2]) / (counts[-1] - counts[-2])
    return float(values[-1] + np.clip(slope, *onward) * (x - counts[-1]))


def probability(cosine_N: np.ndarray, count: int, verdict: SearchVerdict) -> np.ndarray:
    """That anything matches, as api/core/similarity/verdict.ts computes it."""
    scale = among(count, verdict, verdict["scales"], (0, 0))
    return 1 / (1 + np.exp(-(scale * cosine_N + among(count, verdict, verdict["biases"], (-np.inf, 0)))))


def called_absent(top_N: np.ndarray, tokens: list[int], count: int, verdicts: SearchVerdicts) -> np.ndarray:
    """Whether texts with these best hits among `count` images are told that nothing matches, as servers tell it."""
    short = verdicts.get("short_texts")
    is_short_N = np.array([short is not None and of_text <= short["max_tokens"] for of_text in tokens], bool)

    def least(verdict: SearchVerdict) -> float:
        return among(count, verdict, verdict["absent_below"], (0, np.inf))

    of_captions = least(verdicts["text_image"])
    return top_N < np.where(is_short_N, least(short["text_image"]) if short else of_captions, of_captions)


def judge(searches: list[Searches], verdict: SearchVerdict) -> dict[str, float]:
    """Figures of a verdict on searches that it was not fitted on, all among the same count."""
    count = searches[0].things
    present_N = np.concatenate([each.present_N for each in searches])
    absent_N = np.concatenate([each.absent_N for each in searches])
    chance_N = probability(np.concatenate([present_N, absent_N]), count, verdict)
    is_there_N = np.concatenate([np.ones(len(present_N)), np.zeros(len(absent_N))])
    below = among(count, verdict, verdict["absent_below"], (0, np.inf))
    above = among(count, verdict, verdict["present_above"], (0, np.inf))
    return {
        "auc": auc(torch.from_numpy(present_N), torch.from_numpy(absent_N)),
        "ece": calibration_error(chance_N, is_there_N),
        "brier": float(((chance_N - is_there_N) ** 2).mean()),
        "present_called_absent": float((present_N < below).mean()),
        "absent_called_absent": float((absent_N < below).mean()),
        "present_called_present": float((present_N > above).mean()),
        "absent_called_present": float((absent_N > above).mean()),
    }


def calibration_error(chance_N: np.ndarray, is_true_N: np.ndarray) -> float:
    """Expected calibration error: mean distance of predicted chance and frequency, over bins of equally many."""
    bins = np.array_split(np.argsort(chance_N, kind="stable"), BINS)
    distances = [len(each) * abs(chance_N[each].mean() - is_true_N[each].mean()) for each in bins if len(each)]
    return float(sum(distances) / len(chance_N))


def measure(sides: Sides, rng: np.random.Generator) -> dict[str, float]:
    """Figures by cross-validation: things are split in two, each half is judged by what was fitted on the other."""
    if len(sides.things_TE) < 2 * LEAST_HALF:
        return {}
    fold_T = rng.permutation(len(sides.things_TE)) % FOLDS
    halves = [half_of(sides, fold_T == fold) for fold in range(FOLDS)]
    count = min(JUDGED_AMONG, min(len(half.things_TE) for half in halves) - 1)
    found = []
    for fold, half in enumerate(halves):
        other = halves[1 - fold]
        verdict = fit_verdict([search(other, each, rng) for each in counts_of(len(other.things_TE))])
        found.append(judge([search(half, count, rng)], verdict))
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


def half_of(sides: Sides, chosen_T: np.ndarray) -> Sides:
    """Only some of the things, with the queries that they match."""
    number_T = np.cumsum(chosen_T) - 1
    kept_Q = chosen_T[sides.match_Q]
    return Sides(sides.queries_QE[kept_Q], number_T[sides.match_Q[kept_Q]], sides.things_TE[chosen_T])


def search_verdicts(
    texts_NE: np.ndarray,
    image_of_text: np.ndarray,
    images_ME: np.ndarray,
    views_VE: np.ndarray,
    rng: np.random.Generator,
) -> tuple[SearchVerdicts, dict[str, float]]:
    """Of captions, images and other pictures of the first images; with figures of texts that search images."""
    first_M = np.unique(image_of_text, return_index=True)[1]
    if len(first_M) != len(images_ME):
        raise ValueError("every image needs a caption")
    others = np.setdiff1d(np.arange(len(texts_NE)), first_M)
    captions_ME = texts_NE[first_M]
    sides = {
        "text_image": Sides(texts_NE, image_of_text, images_ME),
        "image_text": Sides(images_ME, np.arange(len(images_ME)), captions_ME),
        "text_text": Sides(texts_NE[others], image_of_text[others], captions_ME),
        "image_image": Sides(views_VE, np.arange(len(views_VE)), images_ME),
    }
    verdicts = {
        name: fit_verdict([search(side, count, rng) for count in counts_of(len(side.things_TE))])
        for name, side in sides.items()
    }
    return cast(SearchVerdicts, verdicts), measure(sides["text_image"], rng)
