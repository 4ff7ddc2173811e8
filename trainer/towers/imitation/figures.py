"""How near students have come to the checkpoint, on captions that they did not learn from. N texts, E joint dimensions."""

from typing import Any

import torch

from towers.distillation import Distillation, mean_cosine
from towers.metrics import pair_hits

RANKED = 2000  # captions that the nearest one is looked for among


def figures(shared: Distillation, done: dict[str, Any], vectors: dict[str, torch.Tensor]) -> dict[str, float]:
    """Of every tier the mean cosine to the checkpoint's vectors, that before training, and how often a caption is recognised.

    `vectors`: of the dev captions [N, E] by tier. `dev_top1`: the share of captions whose vector is nearer to the checkpoint's
    vector of the same caption than to that of any other one. Vectors of a CLIP lie in a narrow cone: a high cosine alone says
    little.
    """
    targets_NE = shared.dev_targets.of(range(len(shared.dev_targets)))
    metrics: dict[str, float] = {"captions": len(shared.targets), "vocabulary": len(shared.wordpiece.pieces)}
    for name, found_NE in vectors.items():
        if name != "static":
            metrics[f"{name}.dev_cosine.first"] = done[name]["cosine"]
        metrics[f"{name}.dev_cosine"] = mean_cosine(found_NE, targets_NE)
        metrics[f"{name}.dev_top1"] = float(pair_hits(found_NE[:RANKED], targets_NE[:RANKED]).mean())
    return metrics | {"between.dev_cosine": between(targets_NE[:RANKED])}


def between(targets_NE: torch.Tensor) -> float:
    """The mean cosine of targets of different texts: what a student that always says the same would come near to."""
    count = len(targets_NE)
    whole = float(targets_NE.sum(0).square().sum()) - float(targets_NE.square().sum())
    return whole / max(1, count * (count - 1))
