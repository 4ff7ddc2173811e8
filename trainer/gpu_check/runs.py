"""Stages as processes: run to the end, or stopped by SIGTERM after a step and run again; and what came out, compared."""

import importlib
import importlib.util
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from contracts.constants import EXIT_INTERRUPTED, EXIT_OK, FILE_LOG, FILE_REPORT
from gpu_check.small import INPUTS

# Largest difference of a weight, relative to the largest weight of its file, where bits differ: kernels that add up in no
# fixed order move a weight by a rounding a step, and bfloat16 keeps eight bits.
TOLERANCE = 2e-2
SECONDS = 240  # after which a stage of this size hangs
PRELOADED = ["towers", "gpu_check.runs", "gpu_check.speed", *(f"stages.{stage}" for stage in INPUTS)]


@contextmanager
def stopped_after(last: int, *, in_training: bool) -> Iterator[None]:
    """The process sends itself SIGTERM once, when a stage reports that step; with `in_training` one that has a loss."""
    from engine.run import Run

    progress, sent = Run.progress, []

    def watching(self: Any, step: int, total: int, figures: Any) -> None:
        progress(self, step, total, figures)
        if step >= last and (figures or not in_training) and not sent:
            sent.append(step)
            signal.raise_signal(signal.SIGTERM)

    Run.progress = watching
    try:
        yield
    finally:
        Run.progress = progress


def run_stage(stage: str, job: Path, stop_after: int | None = None, *, in_training: bool = True) -> int:
    """Run a stage in this process; its exit code."""
    before = sys.argv
    sys.argv = [stage, str(job)]
    try:
        module = importlib.import_module(f"stages.{stage}")
        if stop_after is None:
            module.main()
        else:
            with stopped_after(stop_after, in_training=in_training):
                module.main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return EXIT_OK if end.code is None else end.code if isinstance(end.code, int) else 1
    finally:
        sys.argv = before
    return EXIT_OK


# ---- processes -------------------------------------------------------------------------------------------------------


class Processes:
    """Starts processes that have the libraries loaded already, which takes longer than a small stage.

    They have this process's environment, as it is when the first of them starts.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        multiprocessing.set_forkserver_preload(PRELOADED)
        self.context: Any = multiprocessing.get_context("forkserver")
        if device == "cuda" and self._code(touch_gpu, ()) != 0:
            self.context = multiprocessing.get_context("spawn")

    def stage(self, stage: str, job: Path, stop_after: int | None = None, *, in_training: bool = True) -> int:
        """Run a stage; its exit code. What it prints goes to log.txt beside the job."""
        return self._code(stage_process, (stage, job, self.device, stop_after, in_training))

    def answer(self, function: Callable[..., Any], *arguments: Any, seconds: float = SECONDS) -> Any:
        """What a function returns in a process of its own: memory of a GPU is counted from nothing there."""
        receiver, sender = self.context.Pipe(duplex=False)
        process = self.context.Process(target=answering, args=(sender, function, arguments), daemon=True)
        process.start()
        sender.close()
        try:
            if not receiver.poll(seconds):
                return {"left_out": f"took more than {seconds:.0f} s"}
            return receiver.recv()
        except EOFError:
            process.join()
            return {"left_out": f"the process ended with {process.exitcode}"}
        finally:
            process.kill()
            process.join()

    def _code(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> int:
        process = self.context.Process(target=function, args=arguments)
        process.start()
        try:
            process.join(SECONDS)
        finally:
            if process.is_alive():
                process.kill()
                process.join()
        assert process.exitcode is not None
        return process.exitcode


def touch_gpu() -> None:
    """Ends with 1 where a forked process cannot open the GPU."""
    torch.zeros(1, device="cuda")


def answering(sender: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Send what a function returns, or why it returned nothing."""
    try:
        sender.send(function(*arguments))
    except Exception as error:
        sender.send({"left_out": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300]}"})


def stage_process(stage: str, job: Path, device: str, stop_after: int | None, in_training: bool) -> None:  # noqa: FBT001 - of a process
    """A stage in a process of its own, with deterministic kernels as far as torch has them."""
    log = os.open(job.with_name(FILE_LOG), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(log, number)
    if device == "cpu":
        torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    if importlib.util.find_spec("jsonschema") is None:
        trust_documents()
    code = run_stage(stage, job, stop_after, in_training=in_training)
    sys.stdout.flush()
    sys.exit(code)


def trust_documents() -> None:
    """Where jsonschema is not installed, documents are read as they are: all of them are written here."""
    import contracts

    contracts.problem_of = lambda *_: None


# ---- a stage, straight and stopped -----------------------------------------------------------------------------------


@dataclass
class Outcome:
    """Of one stage: seconds of each run, and how the two results differ; `failure` says what went wrong."""

    stage: str
    straight_seconds: float = 0.0
    resumed_seconds: float | None = None
    stopped_after: tuple[int, ...] = ()
    files: int = 0
    difference: float | None = None  # None: every file is the same bit for bit
    failure: str | None = None

    @property
    def verdict(self) -> str:
        """In a few words."""
        if self.failure is not None:
            return self.failure
        if self.resumed_seconds is None:
            return "runs"
        if self.difference is None:
            return "bit for bit"
        return f"within {self.difference:.1e}"


Start = Callable[[str, Path, int | None], int]


def check_stage(start: Start, stage: str, straight: Path, stopped: Path | None, stops: tuple[int, ...]) -> Outcome:
    """Run the job `straight` to its end, and `stopped` (where there is one) with a stop after each of the steps."""
    outcome = Outcome(stage, stopped_after=stops if stopped is not None else ())
    started = time.monotonic()
    code = start(stage, straight, None)
    outcome.straight_seconds = time.monotonic() - started
    if code != EXIT_OK:
        outcome.failure = f"exit {code}: {last_line(straight)}"
        return outcome
    outcome.files = len(artefacts_of(straight.parent))
    if stopped is None:
        return outcome
    started = time.monotonic()
    for step in stops:
        code = start(stage, stopped, step)
        if code != EXIT_INTERRUPTED:
            outcome.failure = (
                f"stopped after step {step} it ended with {code}, not {EXIT_INTERRUPTED}: {last_line(stopped)}"
            )
            return outcome
    code = start(stage, stopped, None)
    outcome.resumed_seconds = time.monotonic() - started
    if code != EXIT_OK:
        outcome.failure = f"resumed it ended with {code}: {last_line(stopped)}"
        return outcome
    outcome.difference, outcome.failure = compare(straight.parent, stopped.parent)
    return outcome


def last_line(job: Path) -> str:
    """Of what a stage printed."""
    log = job.with_name(FILE_LOG)
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1][:300] if lines else "it printed nothing"


def artefacts_of(folder: Path) -> dict[str, str]:
    """Digest by path of what a stage reports to have written."""
    report = json.loads((folder / FILE_REPORT).read_text(encoding="utf-8"))
    return {artefact["path"]: artefact["digest"] for artefact in report["artefacts"].values()}


def compare(straight: Path, resumed: Path) -> tuple[float | None, str | None]:
    """(largest relative difference, None where all files are equal bit for bit; what is wrong with it, or None)."""
    ours, theirs = artefacts_of(straight), artefacts_of(resumed)
    if set(ours) != set(theirs):
        return None, f"the files differ: {sorted(set(ours) ^ set(theirs))}"
    differing = [path for path in ours if ours[path] != theirs[path]]
    weights = [path for path in differing if path.endswith(".safetensors")]
    if not differing:
        return None, None
    if not weights:
        return None, f"{differing} differ"
    worst, at = max((difference_of(load_file(straight / p), load_file(resumed / p)), p) for p in weights)
    return worst, None if worst <= TOLERANCE else f"{at} differs by {worst:.1e} of its largest weight"


def difference_of(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest difference of two numbers, relative to the largest number there is; of whole numbers, 0 or infinite."""
    if {n: x.shape for n, x in one.items()} != {n: x.shape for n, x in other.items()}:
        return float("inf")
    largest = max((x.double().abs().max().item() for x in one.values() if x.numel()), default=0.0)
    apart = max(((x.double() - other[n].double()).abs().max().item() for n, x in one.items() if x.numel()), default=0.0)
    return 0.0 if apart == 0 else apart / largest if largest else float("inf")
