"""Pictures and classes: zero-shot by CLIP's 80 templates, and a linear probe on the vectors of pictures.

Shapes: I images, C classes, T templates, E dimensions.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from evaluation.bench import Figures
from evaluation.layouts.imagenet import Split
from evaluation.layouts.items import Labelled
from evaluation.streaming.encoder import Encoder
from evaluation.streaming.rows import Rows
from evaluation.suites.outcome import Outcome, Queries
from towers.metrics import recall_at, target_ranks

BLOCK = 4096
ONE_TEMPLATE = "a photo of a {}."
# CLIP's search for the strength of regularisation (arXiv:2103.00020, A.3): powers of ten, then steps halved around the best.
FIRST_EXPONENTS = (-6, -4, -2, 0, 2, 4, 6)
STEPS = (1.0, 0.5, 0.25, 0.125)
MOST_ITERATIONS = 1000
HELD_OUT = 10  # every tenth picture of train chooses it


def templates() -> list[str]:
    """The 80 of CLIP's authors, with `{}` for the name."""
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    return [template("{}") for template in OPENAI_IMAGENET_TEMPLATES]


def zero_shot(found: Labelled, encoder: Encoder) -> Outcome:
    """Top-1, top-5 and the mean of the classes' recalls by all 80 templates; `one_template` by "a photo of a {}." alone."""
    known = templates()
    pictures = encoder.pictures(found.pictures)
    prompts = encoder.texts([template.replace("{}", name) for name in found.names for template in known])
    class_of_I = np.array(found.class_of)
    all_CE, one_CE = class_vectors(prompts, len(found.names), known)
    rank_I, first_I = ranks(pictures, all_CE, class_of_I)
    one_rank_I, _ = ranks(pictures, one_CE, class_of_I)
    figures = accuracy(rank_I, class_of_I)
    figures |= {f"one_template_{name}": value for name, value in accuracy(one_rank_I, class_of_I).items()}
    asked = Queries(
        rank_I,
        first_I,
        lambda image: found.pictures[image],
        lambda image: found.names[class_of_I[image]],
        lambda _, number: found.names[number],
    )
    return Outcome(figures | {"pictures": len(class_of_I), "classes": len(found.names)}, {"classes": asked})


def class_vectors(prompts: Rows, classes: int, known: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit vectors [C, E] of classes: the mean of all prompts, and that of the one template."""
    means, ones = [], []
    for number in range(classes):
        prompts_TE = torch.from_numpy(prompts.part(number * len(known), (number + 1) * len(known)))
        means.append(prompts_TE.mean(0))
        ones.append(prompts_TE[known.index(ONE_TEMPLATE)])
    return F.normalize(torch.stack(means), dim=-1), F.normalize(torch.stack(ones), dim=-1)


def ranks(pictures: Rows, classes_CE: torch.Tensor, class_of_I: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 0-based rank of each picture's class, and the class that came first."""
    rank_parts, first_parts = [], []
    for start in range(0, len(pictures), BLOCK):
        scores_IC = torch.from_numpy(pictures.part(start, min(start + BLOCK, len(pictures)))) @ classes_CE.T
        rank_parts.append(target_ranks(scores_IC, torch.from_numpy(class_of_I[start : start + BLOCK])).numpy())
        first_parts.append(scores_IC.nan_to_num(-torch.inf).argmax(1).numpy())
    return np.concatenate(rank_parts), np.concatenate(first_parts)


def accuracy(rank_I: np.ndarray, class_of_I: np.ndarray) -> Figures:
    """Shares of pictures whose class is first, or among the first five; the mean over classes of the first."""
    found = {f"top{k}": recall_at(torch.from_numpy(rank_I), k) for k in (1, 5)}
    count_C, right_C = np.bincount(class_of_I), np.bincount(class_of_I, weights=rank_I == 0)
    there_C = count_C > 0
    return found | {"mean_per_class_recall": float((right_C[there_C] / count_C[there_C]).mean())}


def linear_probe(found: Split, encoder: Encoder) -> Callable[[], Outcome]:
    """Logistic regression on the unit vectors of train pictures, measured on test pictures.

    Returns what fits it: one process alone does, when the vectors are there, and the others need not wait.
    """
    train, test = encoder.pictures(found.train.pictures), encoder.pictures(found.test.pictures)
    return lambda: Outcome(fit_and_measure(train, np.array(found.train.class_of), test, np.array(found.test.class_of)))


def fit_and_measure(train: Rows, train_class_I: np.ndarray, test: Rows, test_class_I: np.ndarray) -> Figures:
    """L-BFGS with the strength that is best on every tenth train picture, then on all of them."""
    from sklearn.linear_model import LogisticRegression

    def fitted(images_IE: np.ndarray, class_I: np.ndarray, exponent: float) -> LogisticRegression:
        return LogisticRegression(C=10.0**exponent, max_iter=MOST_ITERATIONS).fit(images_IE, class_I)

    train_IE, test_IE = train.part(0, len(train)), test.part(0, len(test))
    held_out_I = np.arange(len(train_IE)) % HELD_OUT == HELD_OUT - 1
    score_of: dict[float, float] = {}

    def try_out(exponent: float) -> None:
        if exponent not in score_of:
            model = fitted(train_IE[~held_out_I], train_class_I[~held_out_I], exponent)
            score_of[exponent] = float(model.score(train_IE[held_out_I], train_class_I[held_out_I]))

    for exponent in FIRST_EXPONENTS:
        try_out(exponent)
    for step in STEPS:
        best = max(score_of, key=lambda exponent: score_of[exponent])
        try_out(best - step)
        try_out(best + step)
    best = max(score_of, key=lambda exponent: score_of[exponent])
    model = fitted(train_IE, train_class_I, best)
    order_IC = np.argsort(-model.decision_function(test_IE), axis=1)
    rank_I = (model.classes_[order_IC] == test_class_I[:, None]).argmax(1)
    figures = accuracy(rank_I, test_class_I)
    return figures | {"strength_log10_C": best, "train_pictures": len(train_IE), "pictures": len(test_IE)}
