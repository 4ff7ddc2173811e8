"""Figures item by item, beside a stage's report: what a paired comparison of two runs draws from."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from engine.folders.files import write_atomically

FILE = "items.json"


def write_items(output: Path, items: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Write the contribution of every item [N] to a metric of the report by its name; returns files for `Run.finish`.

    The mean over the items is the metric. Equal items have equal places in runs that are to be compared.
    """
    rounded = {name: [float(f"{value:.6g}") for value in values] for name, values in items.items()}
    write_atomically(output / FILE, json.dumps(rounded))
    return {"items": FILE}


def read_items(output: Path) -> dict[str, np.ndarray]:
    """What `write_items` wrote, empty where the stage wrote none."""
    file = output / FILE
    if not file.exists():
        return {}
    return {name: np.array(values) for name, values in json.loads(file.read_text(encoding="utf-8")).items()}
