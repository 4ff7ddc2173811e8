"""Time and memory of a contrastive loss, forwards and backwards: in tiles, against the whole matrix of logits.

    python -m bench.losses [--json] [--rows 8192,32768,65536] [--width 768] [--tile 2048] [--share 8]

Every figure comes from a process of its own. Memory is the peak above what the features take: gradients, gathered columns,
tiles. "share" is what one of several ranks does, its rows against the columns of all, which are copied here where ranks would
gather them. Reads /proc: Linux.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from bench.rounds import Row, synchronise
from engine.failure import words_given
from losses import matrices
from losses.contrastive import global_info_nce, global_sigmoid
from losses.ranks import Ranks

PUBLISHED = {
    "source": "Inf-CL (2410.17243), loss of CLIP ViT-L/14 on 8 A800, memory of one of them",
    "rows": 65536,
    "gb": {"inf_cl": 0.36, "open_clip": 8.63, "whole_matrix": 66.1},
}
MATRICES = 6  # of rows x rows numbers at once that the whole matrix takes with its softmaxes and gradients
SCALE = 1 / 0.07


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.losses", description="Time and memory of contrastive losses."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--rows", default="8192,32768,65536", help="batches, with commas between (default: %(default)s)"
    )
    parser.add_argument("--width", type=int, default=768, help="dimensions of a feature (default: %(default)s)")
    parser.add_argument("--tile", type=int, help="rows and columns of a tile (default: what the device takes)")
    parser.add_argument("--share", type=int, default=8, help="ranks, of which one is measured (default: %(default)s)")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args(words_given())
    if options.measure is not None:
        print(json.dumps(measured(options.measure, int(options.rows), options)))
        return
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    result: dict[str, Any] = {
        "machine": {"device": device, "cores": os.cpu_count(), "threads": torch.get_num_threads()},
        "torch": torch.__version__,
        "width": options.width,
        "tile": Ranks(tile=options.tile).tile_on(torch.device("cuda" if torch.cuda.is_available() else "cpu")),
        "published": PUBLISHED,
        "losses": [],
    }
    for rows in map(int, options.rows.split(",")):
        for name in LOSSES:
            line = {"rows": rows, "loss": name} | in_a_process(name, rows, options)
            result["losses"].append(line)
            if not options.json:
                print(sentence(line), flush=True)
    if options.json:
        print(json.dumps(result, indent=2))


def measured_rows(name: str, rows: int) -> Iterator[Row]:
    """A loss as lines of `npm run bench:train`; one of eight ranks against the published figure where that is of as many rows."""
    found = in_a_process(name, rows, argparse.Namespace(width=768, share=8, tile=None))
    what = f"{WAYS[name]}, {rows:,} rows"
    if "left_out" in found:
        yield {"what": what, "unit": "", "left_out": found["left_out"]}
        return
    yield {"what": f"{what}, both passes", "value": found["seconds"], "unit": "s"}
    row: Row = {
        "what": f"{what}, memory",
        "value": found["gb"],
        "unit": "GB",
        "note": f"beside {found['features_gb']} GB of features",
    }
    if name == "share" and rows == PUBLISHED["rows"]:
        row = {
            **row,
            "most": PUBLISHED["gb"]["inf_cl"],
            "note": f"published: {PUBLISHED['source']}; open_clip {PUBLISHED['gb']['open_clip']} GB",
        }
    yield row


def in_a_process(name: str, rows: int, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one loss, or why there are none."""
    if name == "whole_matrix":
        needed, free = 4 * MATRICES * rows**2, free_bytes()
        if needed > free:
            return {"left_out": f"needs about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"}
    settings = [f"--width={options.width}", f"--share={options.share}"]
    settings += [] if options.tile is None else [f"--tile={options.tile}"]
    command = [sys.executable, "-m", "bench.losses", f"--measure={name}", f"--rows={rows}", *settings]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {"left_out": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}"}
    return json.loads(done.stdout)


def whole_matrix(a_BE: torch.Tensor, b_BE: torch.Tensor, scale: torch.Tensor, _: argparse.Namespace) -> torch.Tensor:
    """InfoNCE as everybody writes it."""
    return matrices.info_nce(a_BE, b_BE, scale)


def tiled(a_BE: torch.Tensor, b_BE: torch.Tensor, scale: torch.Tensor, options: argparse.Namespace) -> torch.Tensor:
    """InfoNCE in tiles."""
    return global_info_nce(a_BE, b_BE, scale, ranks=Ranks(tile=options.tile))


def tiled_sigmoid(
    a_BE: torch.Tensor, b_BE: torch.Tensor, scale: torch.Tensor, options: argparse.Namespace
) -> torch.Tensor:
    """The sigmoid loss in tiles."""
    return global_sigmoid(a_BE, b_BE, (scale, -10.0), ranks=Ranks(tile=options.tile))


class Pretended(Ranks):
    """Ranks that this one is the first of, all with the same columns: what it computes, without what travels."""

    def __init__(self, size: int, tile: int | None) -> None:
        super().__init__(tile=tile)
        self.size = size

    def gather(self, own: torch.Tensor, counts: list[int]) -> torch.Tensor:
        """Own rows as often as there are ranks."""
        return own.repeat(len(counts), *([1] * (own.ndim - 1)))

    def add(self, values: torch.Tensor) -> torch.Tensor:
        """Nothing comes from others."""
        return values

    def sum_at(self, owner: int, values: torch.Tensor) -> torch.Tensor:
        """Nothing comes from others."""
        return values

    def log_sum_exp(self, values_C: torch.Tensor) -> torch.Tensor:
        """Nothing comes from others."""
        return values_C


def share(a_BE: torch.Tensor, b_BE: torch.Tensor, scale: torch.Tensor, options: argparse.Namespace) -> torch.Tensor:
    """What one of several ranks computes of InfoNCE."""
    return global_info_nce(a_BE, b_BE, scale, ranks=Pretended(options.share, options.tile))


WAYS = {
    "whole_matrix": "loss, whole matrix",
    "tiled": "loss in tiles",
    "tiled_sigmoid": "sigmoid loss in tiles",
    "share": "loss in tiles, one of eight ranks",
}
SAME_VALUE = ("whole_matrix", "tiled")  # two ways to one number
LOSSES = {"whole_matrix": whole_matrix, "tiled": tiled, "tiled_sigmoid": tiled_sigmoid, "share": share}


def measured(name: str, rows: int, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds and bytes of one loss, and its value."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    own = rows // options.share if name == "share" else rows
    once(name, 64, device, options)  # libraries keep some memory from their first use on
    torch.manual_seed(0)
    a_BE, b_BE = (F.normalize(torch.randn(own, options.width, device=device), dim=-1) for _ in range(2))
    before = reset_peak(device)
    value, seconds = step(name, (a_BE, b_BE), options)
    return {
        "seconds": round(seconds, 4),
        "gb": round((peak(device) - before) / 1e9, 3),
        "features_gb": round(2 * own * options.width * 4 / 1e9, 3),
    } | ({"value": value} if name in SAME_VALUE else {})


def once(name: str, rows: int, device: torch.device, options: argparse.Namespace) -> None:
    """A small step before what is measured."""
    step(name, tuple(torch.randn(rows, options.width, device=device) for _ in range(2)), options)


def step(name: str, sides: tuple[torch.Tensor, ...], options: argparse.Namespace) -> tuple[float, float]:
    """The value of a loss and the seconds of both passes."""
    leaves = [side.requires_grad_() for side in sides]
    scale = torch.tensor(SCALE, device=leaves[0].device, requires_grad=True)
    synchronise(leaves[0].device)
    started = time.perf_counter()
    loss = LOSSES[name](leaves[0], leaves[1], scale, options)
    loss.backward()
    synchronise(leaves[0].device)
    return loss.item(), time.perf_counter() - started


def reset_peak(device: torch.device) -> int:
    """Bytes in use now, from where on the peak counts."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak of the resident set starts anew
    return status_bytes("VmRSS")


def peak(device: torch.device) -> int:
    """The most bytes in use since `reset_peak`."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else status_bytes("VmHWM")


def status_bytes(name: str) -> int:
    """A size of this process as the kernel counts it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def free_bytes() -> int:
    """Memory that a new process can have."""
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0]
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


def sentence(line: dict[str, Any]) -> str:
    """One line for people."""
    start = f"{line['rows']:>7,} rows  {line['loss']:<14}"
    if "left_out" in line:
        return f"{start} left out: {line['left_out']}"
    return f"{start} {line['seconds']:>9.3f} s {line['gb']:>8.3f} GB beside {line['features_gb']:.3f} GB of features"


if __name__ == "__main__":
    main()
