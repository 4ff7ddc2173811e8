"""How near students have come to the checkpoint, on captions that they did not learn from. N texts, E joint dimensions."""

from typing import Any

import torch

from towers.imitation.distillation import Imitation
from towers.student import load_static, load_student

RANKED = 2000  # captions that the nearest one is looked for among


@torch.no_grad()
def figures(shared: Imitation, done: dict[str, Any]) -> dict[str, float]:
    """Of every tier the mean cosine to the checkpoint's vectors, that before training, and how often a caption is recognised.

    `dev_top1`: the share of captions whose vector is nearer to the checkpoint's vector of the same caption than to that of any
    other one. Vectors of a CLIP lie in a narrow cone: a high cosine alone says little.
    """
    targets_NE = shared.dev_targets.of(range(len(shared.dev_targets)))
    vectors = {"static": load_static(shared.run.output).to(shared.run.device)(shared.dev_tokens).cpu()}
    for tier in shared.config["tiers"]:
        vectors[tier["tier"]] = load_student(shared.run.output, tier["tier"])[0].embed(shared.dev_ids)
    metrics: dict[str, float] = {"captions": len(shared.targets), "vocabulary": len(shared.wordpiece.pieces)}
    for name, found_NE in vectors.items():
        if name != "static":
            metrics[f"{name}.dev_cosine.first"] = done[name]["cosine"]
        metrics[f"{name}.dev_cosine"] = float((found_NE * targets_NE).sum(1).mean())
        metrics[f"{name}.dev_top1"] = top1(found_NE[:RANKED], targets_NE[:RANKED])
    return metrics | {"between.dev_cosine": between(targets_NE[:RANKED])}


def top1(found_NE: torch.Tensor, targets_NE: torch.Tensor) -> float:
    """The share of rows that are nearest to the target of the same number."""
    return float((found_NE @ targets_NE.T).argmax(1).eq(torch.arange(len(found_NE))).float().mean())


def between(targets_NE: torch.Tensor) -> float:
    """The mean cosine of targets of different texts: what a student that always says the same would come near to."""
    count = len(targets_NE)
    whole = float(targets_NE.sum(0).square().sum()) - float(targets_NE.square().sum())
    return whole / max(1, count * (count - 1))
