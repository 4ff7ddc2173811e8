"""What a suite finds: figures, and for each query its rank and what came first, from which examples are chosen.

Shapes: Q queries.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from evaluation.bench import Figures
from evaluation.layouts.items import Picture

Shown = str | Picture


@dataclass(frozen=True)
class Queries:
    """0-based ranks of the right answers, and the number of the answer that came first. The functions show one by its number."""

    rank_Q: np.ndarray
    first_Q: np.ndarray
    query: Callable[[int], Shown]
    right: Callable[[int], Shown]
    answer: Callable[[int, int], Shown]


@dataclass(frozen=True)
class Outcome:
    """Figures between 0 and 1 (counts are whole numbers), and queries by what was asked of what."""

    figures: Figures
    queries: dict[str, Queries] = field(default_factory=dict)
