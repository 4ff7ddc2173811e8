"""The run of one stage: reads the job, saves checkpoints, prints progress, writes the report last.

A stage starts with `run = Run.start(MntpConfig)`, loops from `run.resume()`, calls `run.tick(...)` every step and ends with
`run.finish(...)`. SIGTERM or SIGINT makes the next `tick` save a checkpoint and exit with 75, which means "run me again".
"""

import hashlib
import json
import os
import random
import re
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, cast, get_args, get_type_hints

import numpy as np
import torch

from contracts import load
from contracts.constants import (
    ENV_PROGRESS_SECONDS,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    FILE_REPORT,
    FILE_SHARDS,
    SCHEMA_VERSION,
)
from contracts.types import Artefact, TrainingJob, TrainingReport

CHECKPOINT_SECONDS = 180.0
PROGRESS_SECONDS = 2.0  # at most one progress line in this time

# Set by AWS Batch in the children of an array job.
ENV_ARRAY_INDEX, ENV_ARRAY_SIZE = "AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"

Config = TypeVar("Config")


class ArrayChild(NamedTuple):
    """Which of how many processes of an array job this is."""

    number: int
    size: int


class Run(Generic[Config]):
    """The job of one stage, its checkpoints, its progress and its report. `Config` is the stage's configuration."""

    def __init__(self, job: TrainingJob, config: type[Config]) -> None:
        self.job = job
        self.config: Config = cast(Any, job["config"])
        self.stage = stage_of(config)
        self.seed: int = job["seed"]
        self.output = path_of(job["output"])
        self.output.mkdir(parents=True, exist_ok=True)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.amp_dtype = fast_dtype(self.device)
        self.started = time.monotonic()
        self.started_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.seconds_before = 0.0
        self._stop_requested = False
        self._guarded = False
        self._saved_at = self.started
        self._printed_at = float("-inf")
        self.progress_seconds = PROGRESS_SECONDS
        self.child: ArrayChild | None = None

    @classmethod
    def start(cls, config: type[Config]) -> "Run[Config]":
        """Read the job named on the command line; a finished job ends the process at once with 0."""
        stage = stage_of(config)
        if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
            print(f"usage: python -m stages.{stage} job.json", file=sys.stderr)
            sys.exit(EXIT_OK if sys.argv[1:] in (["-h"], ["--help"]) else EXIT_USAGE)
        job = cast(TrainingJob, load("TrainingJob", Path(sys.argv[1]).read_text(encoding="utf-8")))
        if job["config"]["stage"] != stage:
            sys.exit(f"{sys.argv[1]} is a job for stage {job['config']['stage']}, not {stage}")
        run = cls(job, config)
        run.progress_seconds = float(os.environ.get(ENV_PROGRESS_SECONDS, PROGRESS_SECONDS))
        if ENV_ARRAY_INDEX in os.environ:
            run.child = ArrayChild(int(os.environ[ENV_ARRAY_INDEX]), int(os.environ[ENV_ARRAY_SIZE]))
        if (run.output / FILE_REPORT).exists():
            print(f"{run.output} holds a report: nothing to do", file=sys.stderr)
            sys.exit(0)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, run._request_stop)
        seed_everything(run.seed)
        return run

    def input(self, role: str) -> Path:
        """The folder behind an input role; a missing one is an error that names it."""
        if role not in self.job["inputs"]:
            raise KeyError(f"job {self.job['id']} has no input '{role}' (has {sorted(self.job['inputs'])})")
        folder = path_of(self.job["inputs"][role])
        if not folder.exists():
            raise FileNotFoundError(f"input '{role}' of job {self.job['id']}: {folder} does not exist")
        if role == "prepare" and "prepared" in self.job and not self._guarded:
            self._guarded = True
            sys.addaudithook(only_parts(folder, self.job["prepared"], self.stage))
        return folder

    # -- the loop ------------------------------------------------------------------------------------------------

    def resume(self, name: str = "checkpoint") -> dict[str, Any] | None:
        """The newest complete checkpoint, on the CPU, or None. Restores the random state too."""
        file = self.output / f"{name}.pt"
        if not file.exists():
            return None
        state = torch.load(file, map_location="cpu", weights_only=False)
        self.seconds_before = state.pop("_seconds")
        restore_random_state(state.pop("_random"))
        self.log(f"resumed from {name}")
        return state

    def save(self, state: dict[str, Any], name: str = "checkpoint") -> None:
        """Write a checkpoint so that a reader sees the old or the new one."""
        state = {**state, "_seconds": self.seconds(), "_random": random_state()}
        temporary = self.output / f"{name}.pt.tmp"
        torch.save(state, temporary)
        os.replace(temporary, self.output / f"{name}.pt")
        self._saved_at = time.monotonic()

    def tick(
        self,
        step: int,
        total: int,
        state: Callable[[], dict[str, Any]] | None = None,
        name: str = "checkpoint",
        **metrics: float,
    ) -> None:
        """Report progress after `step` of `total`; save `state()` when it is time or when a stop was requested (exit 75)."""
        now = time.monotonic()
        if now - self._printed_at > self.progress_seconds or step == total:
            self._printed_at = now
            line = {
                "event": "progress",
                "stage": self.stage,
                "step": step,
                "total": total,
                "seconds": round(self.seconds(), 1),
                "metrics": {key: float(f"{value:.5g}") for key, value in metrics.items()},
            }
            print(json.dumps(line), flush=True)
        if state is not None and (self._stop_requested or now - self._saved_at > CHECKPOINT_SECONDS):
            self.save(state(), name)
        if self._stop_requested:
            self.log(f"stopped at step {step} of {total}; run the same job again to go on")
            sys.exit(EXIT_INTERRUPTED)

    def finish(self, metrics: dict[str, float], files: dict[str, str], notes: list[str] | None = None) -> None:
        """Write report.json, the last write: `files` maps a name to a path relative to the output folder."""
        report: TrainingReport = {
            "schema_version": SCHEMA_VERSION,
            "id": self.job["id"],
            "stage": self.stage,
            "status": "succeeded",
            "started_at": self.started_at,
            "seconds": round(self.seconds(), 1),
            "device": str(self.device),
            "metrics": {key: float(value) for key, value in metrics.items()},
            "artefacts": {name: artefact(self.output, path) for name, path in files.items()},
            "notes": notes or [],
        }
        text = json.dumps(report, indent=2)
        load("TrainingReport", text)
        for leftover in self.output.glob("*.pt"):
            if leftover.name.startswith("checkpoint"):
                leftover.unlink()
        write_atomically(self.output / FILE_REPORT, text)

    # -- around it -----------------------------------------------------------------------------------------------

    def seconds(self) -> float:
        """Seconds of work so far, earlier attempts included."""
        return self.seconds_before + time.monotonic() - self.started

    def log(self, message: str) -> None:
        """Print a line for people to standard error; standard output carries progress lines only."""
        print(f"[{self.stage}] {message}", file=sys.stderr, flush=True)

    def _request_stop(self, _number: int, _frame: object) -> None:
        self._stop_requested = True


def stage_of(config: type) -> str:
    """The stage that a configuration belongs to: the one value that its key `stage` may have."""
    (stage,) = get_args(get_type_hints(config)["stage"])
    return stage


def path_of(uri: str) -> Path:
    """A local path from a `file://` URI or a plain path."""
    if uri.startswith("s3://"):
        raise ValueError(f"{uri}: S3 is mounted or copied by the container's entry, a stage reads local files")
    return Path(uri.removeprefix("file://"))


def only_parts(prepared: Path, parts: list[str], stage: str) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that refuses to open what the job's address does not hold: a result must not depend on it."""
    prefix = f"{prepared.resolve()}{os.sep}"

    def refuse_others(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], str | os.PathLike):
            return
        path = os.path.realpath(arguments[0])
        # The manifest says which files there are: what is read of them is still held against the parts.
        if path == f"{prefix}{FILE_SHARDS}":
            return
        if path.startswith(prefix) and part_of(path.removeprefix(prefix)) not in parts:
            raise PermissionError(
                f"stage {stage} reads {path.removeprefix(prefix)} of prepare, but its row in STAGES names only "
                f"{', '.join(parts)}: name {part_of(path.removeprefix(prefix))} under `prepared` there"
            )

    return refuse_others


def part_of(file: str) -> str:
    """The part of what `prepare` wrote that one of its files belongs to: images with their rows, or a kind of text."""
    stem = re.sub(r"(-\d+)?\.jsonl?$", "", file)
    return "pairs" if stem.startswith("pairs.") or file.endswith(".tar") else stem


def artefact(folder: Path, path: str) -> Artefact:
    """The descriptor of a file: path relative to `folder`, SHA-256 digest, size in bytes."""
    return {"path": path, "digest": f"sha256:{digest_of_file(folder / path)}", "size": (folder / path).stat().st_size}


def digest_of_file(file: Path) -> str:
    """SHA-256, in hexadecimal."""
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def write_atomically(file: Path, text: str) -> None:
    """Replace a text file in one step."""
    temporary = file.with_name(file.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, file)


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies it (AMX or AVX512-BF16: twice as fast as float32), else float32.

    The processor is asked for its features instead of timed: other work on the machine once made a timed probe choose
    different arithmetic for two arms of one comparison.
    """
    if device.type == "cuda":
        return torch.bfloat16
    has_bfloat16 = any(has for name, has in torch.cpu.get_capabilities().items() if name.endswith("bf16"))
    return torch.bfloat16 if has_bfloat16 else torch.float32


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """The state of the three generators that `seed_everything` seeds."""
    return {"python": random.getstate(), "numpy": np.random.get_state(), "torch": torch.get_rng_state()}


def restore_random_state(state: dict[str, Any]) -> None:
    """Put `random_state` back."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
