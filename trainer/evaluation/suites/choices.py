"""Is the right text nearer to the picture than every wrong one? A tie is wrong."""

import numpy as np

from evaluation.bench import Figures
from evaluation.layouts.items import Choices
from evaluation.streaming.encoder import Encoder
from evaluation.suites.outcome import Outcome, Queries

BLOCK = 4096
FEWEST = 25  # ARO counts attributes alone that occur this often


def accuracies(groups: list[str], right_N: np.ndarray) -> dict[str, tuple[float, int]]:
    """Share of right answers and number of cases by group."""
    group_N = np.array(groups)
    return {
        str(group): (float(right_N[group_N == group].mean()), int((group_N == group).sum()))
        for group in np.unique(group_N)
    }


def by_kind(found: Choices, encoder: Encoder) -> Outcome:
    """Accuracy of each group by its name, and the mean over groups."""
    rank_N, asked = answers(found, encoder)
    of_group = accuracies(found.groups, rank_N == 0)
    figures: Figures = {name: share for name, (share, _) in of_group.items()}
    figures |= {"accuracy": float(np.mean(list(figures.values()))), "cases": len(rank_N)}
    return Outcome(figures, {"choices": asked})


def over_groups(found: Choices, encoder: Encoder) -> Outcome:
    """Accuracy over cases, and the mean over groups: all of them, and those with at least 25 cases."""
    rank_N, asked = answers(found, encoder)
    of_group = accuracies(found.groups, rank_N == 0)
    figures: Figures = {"accuracy": float((rank_N == 0).mean()), "cases": len(rank_N)}
    figures["macro_accuracy"] = float(np.mean([share for share, _ in of_group.values()]))
    frequent = [share for share, count in of_group.values() if count >= FEWEST]
    if frequent:
        figures["macro_accuracy_of_frequent"] = float(np.mean(frequent))
    return Outcome(figures, {"choices": asked})


def answers(found: Choices, encoder: Encoder) -> tuple[np.ndarray, Queries]:
    """How many wrong texts are at least as near as the right one, of each case."""
    different = list(dict.fromkeys(found.pictures))
    number_of = {picture: number for number, picture in enumerate(different)}
    pictures = encoder.pictures(different)
    texts = encoder.texts([text for options in found.options for text in options])
    ends_N = np.cumsum([len(options) for options in found.options])
    rank_N, first_N = np.zeros(len(ends_N), np.int64), np.zeros(len(ends_N), np.int64)
    for start in range(0, len(ends_N), BLOCK):
        block = range(start, min(start + BLOCK, len(ends_N)))
        first_text = int(ends_N[start - 1]) if start else 0
        texts_NE = texts.part(first_text, int(ends_N[block.stop - 1]))
        pictures_NE = pictures.take(np.array([number_of[found.pictures[case]] for case in block]))
        for case in block:
            options = slice(ends_N[case] - len(found.options[case]) - first_text, ends_N[case] - first_text)
            scores = texts_NE[options] @ pictures_NE[case - start]
            rank_N[case] = (~(scores[1:] < scores[0])).sum()
            first_N[case] = int(np.argmax(scores)) if rank_N[case] == 0 else 1 + int(np.argmax(scores[1:]))
    asked = Queries(
        rank_N,
        first_N,
        lambda case: found.pictures[case],
        lambda case: found.options[case][0],
        lambda case, number: found.options[case][number],
    )
    return rank_N, asked
