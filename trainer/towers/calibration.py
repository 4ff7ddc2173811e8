"""Calibrates cosines: a logistic curve fitted to matching and random pairs gives the probability of a match."""

import numpy as np

NEWTON_STEPS = 100
RIDGE = 1e-6  # keeps the fit finite where the classes do not overlap


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
