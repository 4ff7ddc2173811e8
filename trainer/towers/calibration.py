"""Calibrates cosines of matching and random pairs: a logistic curve for even odds, likelihood ratios for other ones."""

import numpy as np

from contracts.types import ScoreDistribution, ScoreDistributions

NEWTON_STEPS = 100
RIDGE = 1e-6  # keeps the fit finite where the classes do not overlap
LEVELS = [0.0, 0.001, 0.01, 0.05, *(n / 10 for n in range(1, 10)), 0.95, 0.99, 0.999, 0.9999, 1.0]
RATIO_BINS = 32
EVEN = np.linspace(0, 1, 1001)  # quantiles of each kind, in equal numbers
RANDOM_PAIRS = 200_000  # enough for the 0.9999 quantile


def fit_logistic(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float]:
    """(scale, bias) of 1 / (1 + exp(-(scale * cosine + bias))) by maximum likelihood; both classes weigh the same."""
    x_N2 = np.stack(
        [np.concatenate([positive, negative]).astype(np.float64), np.ones(len(positive) + len(negative))], 1
    )
    label_N = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])
    weight_N = np.concatenate(
        [np.full(len(positive), 0.5 / len(positive)), np.full(len(negative), 0.5 / len(negative))]
    )

    def loss(theta_2: np.ndarray) -> float:
        z_N = x_N2 @ theta_2
        return float((weight_N * (np.logaddexp(0, z_N) - label_N * z_N)).sum() + 0.5 * RIDGE * theta_2 @ theta_2)

    theta_2 = np.zeros(2)
    for _ in range(NEWTON_STEPS):
        chance_N = 1 / (1 + np.exp(-np.clip(x_N2 @ theta_2, -500, 500)))
        gradient_2 = x_N2.T @ (weight_N * (chance_N - label_N)) + RIDGE * theta_2
        curvature_22 = (x_N2 * (weight_N * chance_N * (1 - chance_N))[:, None]).T @ x_N2 + RIDGE * np.eye(2)
        step_2 = np.linalg.solve(curvature_22, gradient_2)
        size = 1.0
        while size > 1e-8 and loss(theta_2 - size * step_2) > loss(theta_2):
            size /= 2
        theta_2 = theta_2 - size * step_2
        if np.abs(size * step_2).max() < 1e-10:
            break
    return float(theta_2[0]), float(theta_2[1])


def random_negative_pairs(count: int, groups: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two index arrays of `count` random pairs whose groups differ."""
    if len(np.unique(groups)) < 2:
        raise ValueError("random pairs that do not match need at least two different images")
    a, b = rng.integers(0, len(groups), (2, count))
    while (same := groups[a] == groups[b]).any():
        b[same] = rng.integers(0, len(groups), int(same.sum()))
    return a, b


def score_distribution(matching_N: np.ndarray, random_M: np.ndarray) -> ScoreDistribution:
    """Quantiles at LEVELS and the likelihood ratio of matching to random pairs, which never falls with the cosine.

    The ratio is counted in bins that hold equal shares of an even mixture of both. Half a pair more in each bin keeps it
    finite where one kind is missing, so that it claims no more than the number of pairs can show. Bins that fall are
    pooled with their neighbours.
    """
    mixture = np.concatenate([np.quantile(matching_N, EVEN), np.quantile(random_M, EVEN)])
    inner = np.unique(np.quantile(mixture, np.linspace(0, 1, RATIO_BINS + 1)[1:-1]))
    edges = np.concatenate([[-np.inf], inner, [np.inf]])
    matching_B, random_B = (np.histogram(values, edges)[0].astype(np.float64) for values in (matching_N, random_M))
    values = np.concatenate([matching_N, random_M])
    weights = np.concatenate([np.full(len(matching_N), 1 / len(matching_N)), np.full(len(random_M), 1 / len(random_M))])
    total_B, sum_B = (
        np.histogram(values, edges, weights=weights)[0],
        np.histogram(values, edges, weights=weights * values)[0],
    )
    pools: list[list[float]] = []  # matching, random, weight, weighted sum of cosines

    def ratio(pool: list[float]) -> float:
        shares = (pool[0] + 0.5) / (len(matching_N) + 0.5), (pool[1] + 0.5) / (len(random_M) + 0.5)
        return float(np.log(shares[0] / shares[1]))

    for pool in zip(matching_B, random_B, total_B, sum_B, strict=True):
        if pool[2] == 0:
            continue
        pools.append([float(number) for number in pool])
        while len(pools) > 1 and ratio(pools[-2]) >= ratio(pools[-1]):
            last = pools.pop()
            pools[-1] = [a + b for a, b in zip(pools[-1], last, strict=True)]
    if len(pools) == 1:
        pools *= 2  # no cosine tells anything: a line needs two points
    return {
        "random": [float(cosine) for cosine in np.quantile(random_M, LEVELS)],
        "matching": [float(cosine) for cosine in np.quantile(matching_N, LEVELS)],
        "cosines": [pool[3] / pool[2] for pool in pools],
        "log_ratios": [ratio(pool) for pool in pools],
    }


def score_distributions(
    texts_NE: np.ndarray,
    image_of_text: np.ndarray,
    images_ME: np.ndarray,
    views_VE: np.ndarray,
    rng: np.random.Generator,
) -> ScoreDistributions:
    """Of captions and images; views are other pictures of the first images."""
    own = np.flatnonzero(image_of_text[:-1] == image_of_text[1:])
    a, b = random_negative_pairs(RANDOM_PAIRS, image_of_text, rng)
    first, second = random_negative_pairs(RANDOM_PAIRS, np.arange(len(images_ME)), rng)
    view = first % len(views_VE)
    other = np.where(second == view, first, second)
    unlike = other != view
    return {
        "levels": LEVELS,
        "text_image": score_distribution(
            dots(texts_NE, images_ME[image_of_text]), dots(texts_NE[a], images_ME[image_of_text[b]])
        ),
        "text_text": score_distribution(dots(texts_NE[own], texts_NE[own + 1]), dots(texts_NE[a], texts_NE[b])),
        "image_image": score_distribution(
            dots(views_VE, images_ME[: len(views_VE)]), dots(views_VE[view[unlike]], images_ME[other[unlike]])
        ),
    }


def dots(a_NE: np.ndarray, b_NE: np.ndarray) -> np.ndarray:
    """Dot product of each row of a with the same row of b."""
    return (a_NE * b_NE).sum(1)
