"""Languages of translated texts: which a row has, and how well a model understands each."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from towers.data import Row
from towers.metrics import recall_at, target_ranks

NOT_LANGUAGES = {"id", "source", "split", "en", "open", "key"}


def translations_in(row: Row) -> Iterator[tuple[str, str]]:
    """(language, text) of everything but English in a row {id, en, LANGUAGE: text}."""
    for language, text in row.items():
        if language not in NOT_LANGUAGES and isinstance(text, str):
            yield language, text


def translation_recalls(
    rows: Sequence[Row], embed: Callable[[list[str]], torch.Tensor], least: int = 1
) -> dict[str, float]:
    """R@1 of the rows' texts in each language among all English ones; equal English texts are one.

    `embed` gives unit vectors. A language with fewer than `least` texts is left out.
    """
    english = list(dict.fromkeys(row["en"] for row in rows))
    number_of = {text: number for number, text in enumerate(english)}
    found: dict[str, tuple[list[str], list[int]]] = {}
    for row in rows:
        for language, text in translations_in(row):
            texts, targets = found.setdefault(language, ([], []))
            texts.append(text)
            targets.append(number_of[row["en"]])
    if not found:
        return {}
    english_NE = embed(english)
    return {
        language: recall_at(target_ranks(embed(texts) @ english_NE.T, torch.tensor(targets)), 1)
        for language, (texts, targets) in found.items()
        if len(texts) >= least
    }


def from_numpy(embed: Callable[[list[str]], np.ndarray]) -> Callable[[list[str]], torch.Tensor]:
    """The same with tensors."""
    return lambda texts: torch.from_numpy(embed(texts))
