"""FG-CLIP's terms on regions against sums that are written out by hand, and the gradient of the contrast in closed form."""

import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from contracts.types import RegionTerms
from engine.world import ALONE_ON_CPU
from tasks.clip.regions import RegionObjective
from towers.regions.seen import NONE_DRAWN, Drawn, Regions

ONLY = {"weight": 0.0, "negatives_weight": 0.0, "text_contrast_weight": 0.0}
SCALE = 4.0


def drawn(*texts: list[str]) -> Drawn:
    return Drawn(np.tile(np.array([0, 0, 1, 1], np.float32), (len(texts), 1)), [*texts], [], 0)


def seen_of(*pictures: Drawn) -> tuple[Any, Regions, torch.Tensor]:
    """A step with these regions, whose texts have random unit vectors."""
    regions = Regions.of(pictures, 2)
    vectors = F.normalize(torch.randn(len(regions.texts), 5, generator=torch.Generator().manual_seed(1)), dim=-1)
    return SimpleNamespace(regions=lambda: regions, region_inputs=lambda numbers: vectors[numbers]), regions, vectors


def objective(**weights: float) -> RegionObjective:
    return RegionObjective(
        cast(RegionTerms, {"per_picture": 2, **ONLY, **weights}), ALONE_ON_CPU, lambda inputs: inputs
    )


def random_regions(count: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, 5, generator=torch.Generator().manual_seed(2)), dim=-1)


def contrast(logits: list[list[float]], kept: list[list[bool]]) -> float:
    """Both ways' cross-entropy with the diagonal, of the pairs that are kept."""
    total, count = 0.0, len(logits)
    for i in range(count):
        row = sum(math.exp(logits[i][j]) for j in range(count) if kept[i][j])
        column = sum(math.exp(logits[j][i]) for j in range(count) if kept[j][i])
        total += 0.5 * (math.log(row) + math.log(column)) - logits[i][i]
    return total / count


def test_regions_find_their_phrases_among_those_of_all_pictures_but_not_among_equal_ones():
    seen, regions, vectors = seen_of(drawn(["ball"], ["sky"]), NONE_DRAWN, drawn(["ball"]))
    region, phrase = random_regions(3), vectors[regions.phrases()]
    logits = (SCALE * region @ phrase.T).tolist()
    kept = [[True, True, False], [True, True, True], [False, True, True]]
    total, parts = objective(weight=0.2).terms(seen, (region, phrase), torch.tensor(SCALE))
    assert [*parts] == ["regions"]
    assert parts["regions"].item() == pytest.approx(contrast(logits, kept), abs=1e-5)
    assert total.item() == pytest.approx(0.2 * contrast(logits, kept), abs=1e-5)


def test_the_gradient_of_a_region_is_what_its_softmaxes_miss():
    seen, regions, vectors = seen_of(drawn(["a"], ["b"]), drawn(["c"]))
    region, phrase = random_regions(3).requires_grad_(), vectors[regions.phrases()]
    total, _ = objective(weight=1.0).terms(seen, (region, phrase), torch.tensor(SCALE))
    total.backward()
    logits = SCALE * region.detach() @ phrase.T
    missed = (logits.softmax(1) - torch.eye(3)) + (logits.softmax(0) - torch.eye(3))
    torch.testing.assert_close(region.grad, SCALE / 6 * missed @ phrase, atol=1e-6, rtol=1e-5)


def test_a_phrase_has_to_beat_its_own_wrong_texts_and_the_margin_follows():
    seen, regions, vectors = seen_of(drawn(["a", "not a", "nor a"], ["b"]), drawn(["c", "not c"]))
    region, phrase = random_regions(3), vectors[regions.phrases()]
    term, scale = objective(negatives_weight=0.5), torch.tensor(SCALE)
    right = [SCALE * float(region[n] @ phrase[n]) for n in range(3)]
    wrong = [[SCALE * float(region[n] @ vectors[t]) for t in texts] for n, texts in enumerate(([1, 2], [], [5]))]

    def expected(margin: float) -> float:
        total = 0.0
        for own, others in zip(right, wrong, strict=True):
            if others:
                pair = math.log(math.exp(own) + sum(math.exp(x) for x in others)) - own
                total += 3 * pair + 0.4 * sum(max(0.0, margin + x - own) for x in others) / len(others)
        return total / 2

    _, parts = term.terms(seen, (region, phrase), scale)
    assert parts["region_negatives"].item() == pytest.approx(expected(0.0), abs=1e-5)
    flat = [x for others in wrong for x in others]
    margin = min(max((right[0] + right[2]) / 2 - sum(flat) / 3, 0.0), 10.0)
    assert float(term.margin) == pytest.approx(margin, abs=1e-5)
    _, parts = term.terms(seen, (region, phrase), scale)
    assert parts["region_negatives"].item() == pytest.approx(expected(margin), abs=1e-5)


def test_phrases_are_held_apart_as_captions_are():
    seen, regions, vectors = seen_of(drawn(["a"], ["b"]), drawn(["c"]))
    phrase = vectors[regions.phrases()]
    _, parts = objective(text_contrast_weight=0.1).terms(seen, (random_regions(3), phrase), torch.tensor(SCALE))
    cosines = (phrase @ phrase.T).tolist()
    rows = [[0.0 if i == j or cosines[i][j] > 0.95 else cosines[i][j] for j in range(3)] for i in range(3)]
    expected = sum(math.log(sum(math.exp(x) for x in row)) for row in rows) / 3
    assert parts["region_text_contrast"].item() == pytest.approx(expected, abs=1e-5)


def test_a_step_without_a_region_costs_nothing():
    seen, _, vectors = seen_of(NONE_DRAWN, NONE_DRAWN)
    everything = objective(weight=1.0, negatives_weight=1.0, text_contrast_weight=1.0)
    total, parts = everything.terms(seen, (vectors.view(0, 5), vectors.view(0, 5)), torch.tensor(SCALE))
    assert total.item() == 0 and [part.item() for part in parts.values()] == [0, 0, 0]
