"""The run of one stage: reads the job, saves checkpoints, prints progress, writes the report last.

A stage starts with `run = Run.start(MntpConfig)` and ends with `run.finish(...)`. One that trains does so in a `Loop`
(engine/loop.py); one that goes through files starts from `run.resume()` and calls `run.tick(...)` after each. SIGTERM or SIGINT
makes the next step save a checkpoint and exit with 75, which means "run me again".
"""

import io
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar, cast, get_args, get_type_hints

import torch

from contracts import load
from contracts.constants import (
    ENV_PROGRESS_SECONDS,
    ENV_WEIGHTS,
    EXIT_INTERRUPTED,
    EXIT_OK,
    FILE_REPORT,
    RANKED_STAGES,
    SCHEMA_VERSION,
)
from contracts.parts import PARTED
from contracts.types import Artefact, TrainingJob, TrainingReport, TrainingReportFirstStep
from engine import generators
from engine.failure import fail_in_a_sentence, only_word
from engine.folders.files import artefact, write_atomically, write_bytes_atomically
from engine.folders.inputs import only_parts, path_of
from engine.folders.saved import FOLDER as CHECKPOINTS
from engine.folders.saved import read_small
from engine.folders.weights import know_places
from engine.task import Figures, value_of
from engine.world import World, end_process, fast_dtype, join_world, since_start

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

    def __init__(self, job: TrainingJob, config: type[Config], world: World | None = None) -> None:
        self.job = job
        self.config: Config = cast(Any, job["config"])
        self.stage = stage_of(config)
        self.seed: int = job["seed"]
        self.output = path_of(job["output"])
        self.output.mkdir(parents=True, exist_ok=True)
        self.world = world or join_world()
        self.device = self.world.device
        self.amp_dtype = fast_dtype(self.device)
        self.started = time.monotonic()
        self.started_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.seconds_before = 0.0
        self.stop_requested = False
        self.first_step: TrainingReportFirstStep | None = None
        self._guarded: set[str] = set()
        self._saved_at = self.started
        self._printed_at = float("-inf")
        self.progress_seconds = PROGRESS_SECONDS
        self.child: ArrayChild | None = None

    @classmethod
    def start(cls, config: type[Config]) -> "Run[Config]":
        """Read the job named on the command line; a finished job ends the process at once with 0."""
        stage = stage_of(config)
        file = Path(only_word(f"usage: python -m stages.{stage} job.json"))
        fail_in_a_sentence(stage)
        job = cast(TrainingJob, load("TrainingJob", file.read_text(encoding="utf-8")))
        if job["config"]["stage"] != stage:
            sys.exit(f"{file} is a job for stage {job['config']['stage']}, not {stage}")
        world = join_world()
        if world.size > 1 and stage not in RANKED_STAGES:
            sys.exit(f"stage {stage} runs in one process, not in {world.size}: start it alone")
        run = cls(job, config, world)
        run.progress_seconds = float(os.environ.get(ENV_PROGRESS_SECONDS, PROGRESS_SECONDS))
        know_places(json.loads(os.environ.get(ENV_WEIGHTS, "{}")))
        if ENV_ARRAY_INDEX in os.environ:
            run.child = ArrayChild(int(os.environ[ENV_ARRAY_INDEX]), int(os.environ[ENV_ARRAY_SIZE]))
        if (run.output / FILE_REPORT).exists():
            run.log(f"{run.output} holds a report: nothing to do")
            if world.leads:
                run.forget_checkpoints()
            sys.exit(EXIT_OK)
        run.begin()
        return run

    def begin(self) -> None:
        """From now on SIGTERM and SIGINT ask for a stop; random numbers are those of the seed."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._request_stop)
        generators.seed_everything(self.seed)

    def input(self, role: str) -> Path:
        """The folder behind an input role; a missing one is an error that names it."""
        if role not in self.job["inputs"]:
            raise KeyError(f"job {self.job['id']} has no input '{role}' (has {sorted(self.job['inputs'])})")
        folder = path_of(self.job["inputs"][role])
        if not folder.exists():
            raise FileNotFoundError(f"input '{role}' of job {self.job['id']}: {folder} does not exist")
        parts = self.parts(role)
        if parts is not None and role not in self._guarded:
            self._guarded.add(role)
            sys.addaudithook(only_parts(folder, role, parts, self.stage))
        return folder

    def parts(self, role: str) -> list[str] | None:
        """The parts of an input that the job names; None: it may read all of it."""
        key = PARTED.get(role)
        return None if key is None else cast(Mapping[str, Any], self.job).get(key)

    def remote_input(self, role: str) -> str | None:
        """The folder that files of an input without content are copied from; None where all of them are here."""
        return self.job.get("remote_inputs", {}).get(role)

    # -- stages that go through files ----------------------------------------------------------------------------

    def resume(self, name: str = "checkpoint") -> dict[str, Any] | None:
        """The newest complete checkpoint, on the CPU, or None. Restores the random state too."""
        file = self.output / f"{name}.pt"
        if not file.exists():
            return None
        state = read_small(file)
        self.seconds_before = state.pop("_seconds")
        generators.restore(state.pop("_random"))
        self.log(f"resumed from {name}")
        return state

    def save(self, state: dict[str, Any], name: str = "checkpoint") -> None:
        """Write a checkpoint so that a reader sees the old or the new one: numbers, strings, tensors, lists and dicts."""
        self.note_checkpoint()
        if not self.world.leads:
            return
        state = {**state, "_seconds": self.seconds(), "_random": generators.state()}
        # Through memory: of a file that torch writes itself it does not say that the disk is full.
        written = io.BytesIO()
        torch.save(state, written)
        write_bytes_atomically(self.output / f"{name}.pt", written.getbuffer())

    def tick(
        self,
        step: int,
        total: int,
        state: Callable[[], dict[str, Any]] | None = None,
        name: str = "checkpoint",
        **metrics: float,
    ) -> None:
        """Report progress after `step` of `total`; save `state()` when it is time or when a stop was requested (exit 75).

        What saves nothing and has done its last step comes to its end instead: a stop would throw all of it away.
        """
        self.progress(step, total, metrics)
        if state is not None and (self.stop_requested or self.checkpoint_is_due()):
            self.save(state(), name)
        if self.stop_requested and (state is not None or step < total):
            self.stop(step, total)

    # -- what both kinds do --------------------------------------------------------------------------------------

    def progress(self, step: int, total: int, figures: Figures) -> None:
        """Print a line after `step` of `total`, where the last one is old enough; figures are read only then."""
        now = time.monotonic()
        if not self.world.leads or (now - self._printed_at <= self.progress_seconds and step != total):
            return
        self._printed_at = now
        line = {
            "event": "progress",
            "stage": self.stage,
            "step": step,
            "total": total,
            "seconds": round(self.seconds(), 1),
            "metrics": {key: float(f"{value_of(figure):.5g}") for key, figure in figures.items()},
        }
        print(json.dumps(line), flush=True)

    def checkpoint_is_due(self) -> bool:
        """Whether the last checkpoint is old enough."""
        return time.monotonic() - self._saved_at > CHECKPOINT_SECONDS

    def note_checkpoint(self) -> None:
        """One was saved now."""
        self._saved_at = time.monotonic()

    def note_first_step(self) -> None:
        """Before the first step of a stage: what the process has taken to come here."""
        if self.first_step is None:
            wall, cpu = since_start()
            self.first_step = {"seconds": round(wall, 1), "cpu_seconds": round(cpu, 1)}
            self.log(f"first step after {wall:.1f} s, {cpu:.1f} s of a core")

    def stop(self, step: int, total: int) -> NoReturn:
        """End the process after a checkpoint: the same job goes on from there."""
        self.log(f"stopped at step {step} of {total}; run the same job again to go on")
        end_process(self.world, EXIT_INTERRUPTED)

    def leave_to_first(self) -> None:
        """What follows is done by rank 0 alone: the others are done."""
        if not self.world.leads:
            end_process(self.world, EXIT_OK)

    def finish(
        self,
        metrics: dict[str, float],
        files: Mapping[str, str | Artefact],
        notes: list[str] | None = None,
        tidy: Callable[[], None] | None = None,
    ) -> None:
        """Write report.json, the last file: `files` maps a name to a path relative to the output folder, or to its descriptor.

        `tidy` then removes what nothing needs any more. Among several ranks this ends the process.
        """
        report: TrainingReport = {
            "schema_version": SCHEMA_VERSION,
            "id": self.job["id"],
            "stage": self.stage,
            "status": "succeeded",
            "started_at": self.started_at,
            "seconds": round(self.seconds(), 1),
            "device": str(self.device),
            "metrics": {key: float(value) for key, value in metrics.items()},
            "artefacts": {
                name: artefact(self.output, file) if isinstance(file, str) else file for name, file in files.items()
            },
            "notes": [*(notes or []), *([f"trained by {self.world.size} ranks"] if self.world.size > 1 else [])],
        }
        if self.first_step is not None:
            report["first_step"] = self.first_step
        text = json.dumps(report, indent=2)
        load("TrainingReport", text)
        write_atomically(self.output / FILE_REPORT, text)
        # After it: whoever is killed in between leaves a finished run, and not one that begins again.
        self.forget_checkpoints()
        if tidy is not None:
            tidy()
        if self.world.size > 1:
            end_process(self.world, EXIT_OK)

    def forget_checkpoints(self) -> None:
        """Remove what only an attempt to come would read."""
        for leftover in self.output.glob("checkpoint*.pt"):
            leftover.unlink()
        shutil.rmtree(self.output / CHECKPOINTS, ignore_errors=True)

    # -- around it -----------------------------------------------------------------------------------------------

    def seconds(self) -> float:
        """Seconds of work so far, earlier attempts included."""
        return self.seconds_before + time.monotonic() - self.started

    def log(self, message: str) -> None:
        """Print a line for people to standard error; standard output carries progress lines only."""
        if self.world.leads:
            print(f"[{self.stage}] {message}", file=sys.stderr, flush=True)

    def _request_stop(self, _number: int, _frame: object) -> None:
        self.stop_requested = True


def stage_of(config: type) -> str:
    """The stage that a configuration belongs to: the one value that its key `stage` may have."""
    (stage,) = get_args(get_type_hints(config)["stage"])
    return stage
