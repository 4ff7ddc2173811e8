"""Variants of a recipe against the recipe itself: means over equal seeds, paired intervals over items, a table for people."""

from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np

from contracts import load
from contracts.constants import FILE_REPORT
from contracts.types import CompareConfig
from towers.items import read_items
from towers.metrics import paired_bootstrap

BASE = "base"  # the recipe itself


class Arm(TypedDict):
    """A metric of the recipe or of a variant, over the seeds; `sd` is absent with one seed."""

    values: list[float]
    mean: float
    sd: NotRequired[float]
    difference: NotRequired[float]  # to the recipe
    low: NotRequired[float]  # its 95 % interval, over resampled items; absent where the stage measures no items
    high: NotRequired[float]
    above_zero: NotRequired[float]


class Comparison(TypedDict):
    """`comparison.json`: arms by metric and variant, and the seconds that the last stage of each took."""

    at: str
    seeds: list[int]
    metrics: dict[str, dict[str, Arm]]
    seconds: dict[str, float]
    per_cent: list[str]
    notes: list[str]


class Measured:
    """The reports and items of one arm, seed by seed."""

    def __init__(self, folders: list[Path]) -> None:
        reports = [load("TrainingReport", (folder / FILE_REPORT).read_text(encoding="utf-8")) for folder in folders]
        self.metrics = [report["metrics"] for report in reports]
        self.seconds = float(np.mean([report["seconds"] for report in reports]))
        self.items = [read_items(folder) for folder in folders]

    def values(self, metric: str) -> list[float]:
        """The metric of every seed."""
        absent = [metrics for metrics in self.metrics if metric not in metrics]
        if absent:
            raise SystemExit(f"compare.metrics: no {metric} in a report; it has {', '.join(sorted(absent[0]))}")
        return [metrics[metric] for metrics in self.metrics]

    def items_of(self, metric: str) -> np.ndarray | None:
        """The contribution of every item [N], the mean over the seeds; None where a seed has none or others."""
        found = [items[metric] for items in self.items if metric in items]
        if len(found) < len(self.items) or len({len(values) for values in found}) != 1:
            return None
        return np.mean(found, axis=0)


def started(config: CompareConfig, arms: dict[str, Measured]) -> Comparison:
    """The document before any metric is compared."""
    return {
        "at": config["at"],
        "seeds": config["seeds"],
        "metrics": {},
        "seconds": {name: arm.seconds for name, arm in arms.items()},
        "per_cent": [],
        "notes": [f"seeds {', '.join(map(str, config['seeds']))} from stage {config['seeded_from']} on"],
    }


def compare_metric(document: Comparison, arms: dict[str, Measured], metric: str, samples: int, seed: int) -> None:
    """Add a metric of the recipe and of every variant: differences, and intervals over `samples` draws of items."""
    base_items = arms[BASE].items_of(metric)
    base = summary(arms[BASE].values(metric))
    # A fraction, to which one item may contribute more than 1: a picture of many captions does.
    if base_items is not None and base_items.min() >= 0 and base["mean"] <= 1:
        document["per_cent"].append(metric)
    document["metrics"][metric] = {BASE: base}
    for name in [name for name in arms if name != BASE]:
        arm = summary(arms[name].values(metric))
        arm["difference"] = arm["mean"] - base["mean"]
        items = arms[name].items_of(metric)
        if base_items is None or items is None or len(items) != len(base_items):
            document["notes"].append(f"{metric} of {name}: no interval, because it is not measured on equal items")
        else:
            drawn = paired_bootstrap(items, base_items, samples, seed)
            arm["low"], arm["high"], arm["above_zero"] = drawn["low"], drawn["high"], drawn["above_zero"]
        document["metrics"][metric][name] = arm


def summary(values: list[float]) -> Arm:
    """Mean and, of several seeds, standard deviation."""
    arm: Arm = {"values": values, "mean": float(np.mean(values))}
    if len(values) > 1:
        arm["sd"] = float(np.std(values, ddof=1))
    return arm


def flat(document: Comparison) -> dict[str, float]:
    """The figures of the report: `control.mean_recall.difference` and so on."""
    figures: dict[str, float] = {}
    for metric, arms in document["metrics"].items():
        for name, arm in arms.items():
            found = {key: arm.get(key) for key in ("mean", "sd", "difference", "low", "high")}
            figures |= {f"{name}.{metric}.{key}": value for key, value in found.items() if value is not None}
    return figures


def table(document: Comparison) -> str:
    """A Markdown table, a row for the recipe and each variant, fractions that are measured item by item in per cent."""
    metrics = document["metrics"]
    heads = [head for metric in metrics for head in (metric, "against base")]
    lines = [f"| {document['at']} | {' | '.join(heads)} | minutes |", "|" + " --- |" * (len(heads) + 2)]
    for name, seconds in document["seconds"].items():
        cells = []
        for metric, arms in metrics.items():
            arm, scale = arms[name], 100 if metric in document["per_cent"] else 1
            cells.append(number(arm["mean"] * scale) + (f" ± {number(arm['sd'] * scale)}" if "sd" in arm else ""))
            cells.append(against(arm, scale))
        lines.append(f"| {name} | {' | '.join(cells)} | {seconds / 60:.1f} |")
    return "\n".join([*lines, "", *(f"- {note}" for note in document["notes"])]) + "\n"


def against(arm: Arm, scale: float) -> str:
    """The difference to the recipe with its interval, empty for the recipe itself."""
    if "difference" not in arm:
        return ""
    low, high = arm.get("low"), arm.get("high")
    interval = "" if low is None or high is None else f" [{number(low * scale)}, {number(high * scale)}]"
    return f"{arm['difference'] * scale:+.2f}{interval}"


def number(value: float) -> str:
    """Two digits after the point."""
    return f"{value:.2f}"
