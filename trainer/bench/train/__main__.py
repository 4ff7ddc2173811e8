"""How fast training is on this machine, against other people's code in the same run: `npm run bench:train`.

    PYTHONPATH=trainer:contracts/python python3 -m bench.train [--json] [--quick] [--only WORD] [--minutes N]

Ratios are of medians of rounds in which all ways take turns. What would not fit into the time is left out and says so.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import towers  # noqa: F401 - makes torchvision importable beside a CPU build of torch
from bench.losses import PUBLISHED
from bench.losses import measured_rows as loss_rows
from bench.train import attention, loader, texts
from bench.train import towers as loops
from bench.train.report import Item, run_items, table
from engine.failure import words_given
from engine.run import fast_dtype

MINUTES = 5.0
PACKAGES = ("torch", "open_clip_torch", "timm", "transformers", "pillow", "torchvision", "simplejpeg")


def main() -> int:
    """Measure and print."""
    options = arguments()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    items = [item for item in all_items(device, quick=options.quick) if options.only in item.name]
    if not items:
        names = sorted({item.name.split(",")[0] for item in all_items(device, quick=options.quick)})
        print(f"bench:train: nothing is called {options.only}; there are {', '.join(names)}", file=sys.stderr)
        return 2
    started = time.monotonic()
    result: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "machine": machine(device),
        "versions": {name: found for name in PACKAGES if (found := installed(name)) is not None},
        "quick": options.quick,
        "published": PUBLISHED,
    }
    result["rows"] = run_items(items, started, 60 * options.minutes)
    result["seconds"] = round(time.monotonic() - started, 1)
    print(json.dumps(result, indent=2) if options.json else table(result), flush=True)
    return 1 if any(row.get("failed") for row in result["rows"]) else 0


def all_items(device: torch.device, *, quick: bool) -> list[Item]:
    """What there is to measure, with the seconds that it is thought to take on two cores."""
    on_gpu = device.type == "cuda"
    of_texts = texts.QUICK if quick else texts.ON_GPU if on_gpu else texts.ON_CPU
    of_towers = loops.QUICK if quick else loops.ON_GPU if on_gpu else loops.ON_CPU
    of_attention = attention.QUICK if quick else attention.FULL
    items = [
        Item("loader", 2 if quick else 12, lambda: loader.measure(loader.QUICK if quick else loader.FULL)),
        Item("texts", 2 if quick else 60 if on_gpu else 125, lambda: texts.measure(device, of_texts)),
        *([] if on_gpu else [Item("attention", 1 if quick else 12, lambda: attention.measure(of_attention))]),
        Item("step", 6 if quick else 25 if on_gpu else 45, lambda: loops.measure(device, of_towers)),
        *(
            [Item("open_clip's own model", 30, lambda: loops.measure_own_model(device, replace(of_towers, steps=3)))]
            if not quick
            else []
        ),
        Item("closed form", 1, loops.closed_form),
    ]
    costs = {512: (4, 4, 4)} if quick else {8192: (9, 7, 4), 32768: (90, 60, 12), 65536: (360, 240, 40)}
    for rows, each in costs.items():
        # One of eight ranks first: that is what a GPU of eight does.
        for name, seconds in reversed([*zip(("whole_matrix", "tiled", "share"), each, strict=True)]):
            items.append(Item(f"loss, {name}, {rows}", seconds, lambda name=name, rows=rows: loss_rows(name, rows)))
    return items


def machine(device: torch.device) -> dict[str, Any]:
    """What computes."""
    return {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "dtype": str(fast_dtype(device)).removeprefix("torch."),
    }


def device_name(device: torch.device) -> str:
    """As its maker calls it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return next(cpu_names(), platform.processor() or platform.machine())


def cpu_names() -> Iterator[str]:
    """Of the processors, as Linux says."""
    file = Path("/proc/cpuinfo")
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        if line.startswith("model name"):
            yield line.partition(":")[2].strip()


def installed(name: str) -> str | None:
    """The version of a package, or nothing."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench:train", description="How fast training is on this machine.")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that everything runs, not how fast")
    parser.add_argument("--only", default="", metavar="WORD", help="what has this word in its name")
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="what is beyond is left out (default: %(default)s)"
    )
    return parser.parse_args(words_given())


if __name__ == "__main__":
    sys.exit(main())
