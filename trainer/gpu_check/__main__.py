"""Every stage of a small recipe on a GPU, stopped and resumed, then how fast training is there: at most eight minutes.

    PYTHONPATH=trainer:contracts/python python3 -m gpu_check [--json] [--quick | --device cpu] [--only stages|speed]

From the repository's root, wherever there is a GPU with torch, transformers, peft, timm, tokenizers, safetensors, numpy and
pillow; neither Node nor a network is needed. `npm run gpu-check` runs the same with the trainer's own Python.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

import towers  # noqa: F401 - makes torchvision importable beside a CPU build of torch
from contracts.constants import ENV_PROGRESS_SECONDS, EXIT_INTERRUPTED
from engine.failure import words_given
from gpu_check import speed
from gpu_check.report import markdown
from gpu_check.runs import Outcome, Processes, check_stage
from gpu_check.small import INPUTS, STEPS, TRAINED, Small

MINUTES = 8.0
NO_TIME = "no time was left"
# Steps after which a stage is stopped; distill and imitate train a table and two transformers, one after the other.
STUDENTS = (1, STEPS + 1, 2 * STEPS + 1)
STOPS = {"prepare": (), "distill": STUDENTS, "imitate": STUDENTS}


class Item(NamedTuple):
    """Something to run: `seconds` that it is thought to take, on a GPU of the last years."""

    name: str
    seconds: float
    run: Callable[[float], Any]  # gets the seconds that are left; none are left for a measurement that comes too late


def main() -> int:
    """Run, print, and say by the exit code whether every stage did what it should."""
    options = arguments()
    device: str = options.device
    if device == "cuda" and not torch.cuda.is_available():
        print(no_gpu(), file=sys.stderr)
        return 2
    started = time.monotonic()
    set_environment(device)
    processes = Processes(device)
    result: dict[str, Any] = {"machine": processes.answer(speed.machine, device), "quick": options.quick}
    result |= {"limit_seconds": 60 * options.minutes, "stages": [], "speed": []}
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        items = stage_items(processes, Path(folder), result) if options.only != "speed" else []
        items += speed_items(processes, device, result, quick=options.quick) if options.only != "stages" else []
        signal.signal(signal.SIGTERM, interrupt)
        try:
            run_items(items, started, 60 * options.minutes)
        except KeyboardInterrupt:
            # What has been found by then is reported all the same: time on a GPU is dear.
            result["stopped"] = True
        result["seconds"] = round(time.monotonic() - started, 1)
    text = markdown(result)
    if options.markdown is not None:
        options.markdown.write_text(text, encoding="utf-8")
    print(json.dumps(result, indent=2) if options.json else text, flush=True)
    if "stopped" in result:
        return EXIT_INTERRUPTED
    return 1 if any(row["failure"] for row in result["stages"]) else 0


def no_gpu() -> str:
    """Why nothing runs, and what would."""
    built = "was built without CUDA" if torch.version.cuda is None else f"was built for CUDA {torch.version.cuda}"
    return (
        f"gpu-check: torch finds no GPU here (torch {torch.__version__} {built}). Run it where there is one, or try "
        "everything in small with --device cpu"
    )


def interrupt(_number: int, _frame: object) -> None:
    """SIGTERM, as `timeout` sends it, ends the command as Ctrl-C does."""
    raise KeyboardInterrupt


def set_environment(device: str) -> None:
    """For the processes of stages and measurements."""
    # With it torch asks the driver whether there is a GPU without opening it: a process that has opened it cannot fork.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # deterministic products need it
    os.environ[ENV_PROGRESS_SECONDS] = "0"  # a line for every step: some are waited for
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="gpu-check",
        description="Every stage of a small recipe on a GPU, stopped and resumed; then how fast training is.",
    )
    parser.add_argument(
        "--device", choices=["cuda", "cpu"], default="cuda", help="cpu: in small (default: %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that everything runs, not how fast")
    parser.add_argument("--only", choices=["stages", "speed"], help="one half of it")
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="measurements beyond are left out (default: %(default)s)"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the report for trainer/LOG.md there, too")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output instead of Markdown")
    options = parser.parse_args(words_given())
    # A step of a ViT-L/14 at full size ends a machine without a GPU for want of memory.
    options.quick |= options.device == "cpu"
    return options


def stage_items(processes: Processes, folder: Path, result: dict[str, Any]) -> list[Item]:
    """The small recipe's stages, each straight and stopped."""
    small = Small(folder)
    inputs: dict[str, Path] = {}

    def write(_: float) -> str:
        small.write()
        return "written"

    def check(stage: str) -> Callable[[float], str]:
        def run(_: float) -> str:
            missing = [role for role in INPUTS[stage] if role != "data" and role not in inputs]
            if missing:
                outcome = Outcome(stage, failure=f"not run: {', '.join(missing)} failed")
            else:
                stops = STOPS.get(stage, (1,))
                straight, stopped = (small.job(stage, name, inputs) for name in (stage, f"{stage}-stopped"))

                def start(name: str, job: Path, stop_after: int | None) -> int:
                    return processes.stage(name, job, stop_after, in_training=stage in TRAINED)

                outcome = check_stage(start, stage, straight, stopped if stops else None, stops)
            if outcome.failure is None:
                inputs[stage] = folder / stage
            result["stages"].append(asdict(outcome) | {"verdict": outcome.verdict})
            return outcome.verdict

        return run

    return [Item("data and weights", 3, write), *(Item(f"stage {stage}", 12, check(stage)) for stage in INPUTS)]


def speed_items(processes: Processes, device: str, result: dict[str, Any], *, quick: bool) -> list[Item]:
    """The measurements, those first that say most."""
    sizes = speed.QUICK if quick else speed.FULL
    result["sizes"] = speed.sizes_as_json(sizes)
    calls: list[tuple[str, float, Callable[..., Any], tuple[Any, ...]]] = [
        (f"clip, {sizes.tower}{said}", cost, speed.clip_step, (device, sizes, checkpointing, compiled))
        for said, checkpointing, compiled, cost in (
            ("", False, False, 20),
            (", compiled", False, True, 45),
            (", activations again", True, False, 20),
            (", activations again, compiled", True, True, 45),
        )
        # Compiling takes a compiler and half a minute: nothing to try in small.
        if not (quick and compiled)
    ]
    calls += [
        (
            f"language model, {'trained' if training else 'embedding'}, {'packed' if packing else 'padded'}",
            20,
            speed.language_model,
            (device, sizes, packing, training),
        )
        for training in (False, True)
        for packing in (False, True)
    ]
    calls += [
        (f"loss of {rows:,} rows, {name}", 4, speed.loss, (name, rows))
        for rows in ((512,) if quick else (8192, 32768, 65536))
        for name in losses_named()
    ]

    def measure(name: str, function: Callable[..., Any], given: tuple[Any, ...]) -> Callable[[float], str]:
        def run(left: float) -> str:
            figures = processes.answer(function, *given, seconds=left) if left > 0 else {"left_out": NO_TIME}
            result["speed"].append({"name": name, "figures": figures})
            return f"left out: {figures['left_out']}" if "left_out" in figures else json.dumps(figures)

        return run

    return [Item(name, cost, measure(name, function, given)) for name, cost, function, given in calls]


def losses_named() -> list[str]:
    """The losses that `bench.losses` knows."""
    return list(speed.losses.LOSSES)


def run_items(items: list[Item], started: float, limit: float) -> None:
    """One after the other, with what is left of them and of the time on standard error."""
    planned = done = 0.0
    for number, item in enumerate(items, 1):
        spent = time.monotonic() - started
        # What was planned so far took `done` seconds: the rest is thought to be off by the same factor.
        factor = done / planned if planned else 1.0
        rest = factor * sum(later.seconds for later in items[number - 1 :])
        print(
            f"[{number}/{len(items)}] {item.name}: {spent:.0f} s so far, about {rest:.0f} s to go",
            file=sys.stderr,
            flush=True,
        )
        before = time.monotonic()
        answer = item.run(limit - spent)
        planned, done = planned + item.seconds, done + time.monotonic() - before
        print(f"[{number}/{len(items)}] {item.name}: {answer}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
