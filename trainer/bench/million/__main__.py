"""A million pairs prepared, featured and trained on, killed and resumed, in flat memory: `npm run bench:million`.

    PYTHONPATH=trainer:contracts/python python3 -m bench.million [--sizes 100000,1000000] [--only STAGE,...] [--work FOLDER]

Runs prepare, embed_captions, inherit, embed_images and clip with tiny random weights, on 2 gloo ranks of this machine. Every
stage that takes long is ended on the way: prepare by a kill, embed_captions by a kill and a stop, clip by a stop, a kill and the
death of a rank; they go on on 4, 1 and 2 ranks. Then evaluation of as many pairs in a folder, on 1 and 2 ranks. Records the memory of all processes. May be interrupted and run again: what
is done stays done.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.million.jobs import STEPS, configs, write_job
from bench.million.pairs import write_pairs
from bench.million.stage import TRAINER, Blow, Ended, StageRun
from bench.million.verdict import judge
from contracts.constants import ENV_PROGRESS_SECONDS, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, FILE_REPORT
from engine.failure import words_given

SIZES = "100000,1000000"
EVALUATE = "evaluate"  # no stage: it needs neither pairs nor weights


class Leg(NamedTuple):
    """A run of a stage's job: in the folder `job`, on `ranks`, ended by `blow` at a fraction of it.

    `seconds`, and those for each pair, on two cores of the last years: what time is left is told by them.
    """

    name: str
    stage: str
    job: str
    ranks: int
    blow: Blow | None
    at: float
    seconds: float
    per_pair: float = 0.0


LEGS = [
    Leg("prepare, killed", "prepare", "prepare", 1, "kill", 0.5, 8, 2e-4),
    Leg("prepare", "prepare", "prepare", 1, None, 0, 8, 2e-4),
    Leg("embed_captions, 2 ranks, killed", "embed_captions", "embed_captions", 2, "kill", 0.3, 15, 3e-5),
    Leg("embed_captions, 4 ranks, stopped", "embed_captions", "embed_captions", 4, "stop", 0.45, 25, 4e-5),
    Leg("embed_captions, 1 rank", "embed_captions", "embed_captions", 1, None, 0, 12, 5e-5),
    Leg("inherit", "inherit", "inherit", 2, None, 0, 20),
    Leg("embed_images", "embed_images", "embed_images", 1, None, 0, 10),
    Leg("clip straight, 2 ranks", "clip", "clip-straight", 2, None, 0, 60),
    Leg("clip, 2 ranks, stopped", "clip", "clip", 2, "stop", 0.25, 30),
    Leg("clip, 1 rank, killed", "clip", "clip", 1, "kill", 0.5, 30),
    Leg("clip, 4 ranks, one killed", "clip", "clip", 4, "kill-rank", 0.75, 70),
    Leg("clip, 2 ranks", "clip", "clip", 2, None, 0, 60),
    Leg("evaluate, 1 rank", EVALUATE, "evaluate", 1, None, 0, 10, 2e-4),
    Leg("evaluate, 2 ranks", EVALUATE, "evaluate-shared", 2, None, 0, 15, 2e-4),
]
STAGES = list(dict.fromkeys(leg.stage for leg in LEGS))
EXPECTED = {"stop": EXIT_INTERRUPTED, "kill": -signal.SIGKILL, None: EXIT_OK}  # of a killed rank: anything but 0


@dataclass
class State:
    """`state.json` in the folder of work: figures by size, and which legs are done."""

    file: Path
    results: dict[str, Any]

    @classmethod
    def read(cls, file: Path) -> "State":
        """Where an earlier run was."""
        return cls(file, json.loads(file.read_text()) if file.exists() else {})

    def of(self, size: int) -> dict[str, Any]:
        """The figures of a size."""
        figures = self.results.setdefault(str(size), {})
        for name in ("peaks", "seconds", "losses", "ranks"):
            figures.setdefault(name, {})
        figures.setdefault("failures", [])
        return figures

    def write(self) -> None:
        """Replace the file."""
        temporary = self.file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.results, indent=1))
        os.replace(temporary, self.file)


class Progress:
    """A line now and then on standard error: what is at work, how far it is, how long all of it still takes."""

    def __init__(self, planned: list[tuple[str, float]]) -> None:
        self.planned = planned
        self.place, self.spent, self.said = 0, 0.0, 0.0
        self.began = time.monotonic()

    def begin(self) -> None:
        """The next one of the plan."""
        self.began, self.said = time.monotonic(), 0.0

    def end(self) -> None:
        """It is done."""
        self.spent += time.monotonic() - self.began
        self.place += 1

    def tick(self, step: int, total: int) -> None:
        """So far within it."""
        now = time.monotonic()
        if now - self.said < 10 and step != total:
            return
        self.said = now
        name, planned = self.planned[self.place]
        before = sum(seconds for _, seconds in self.planned[: self.place])
        after = sum(seconds for _, seconds in self.planned[self.place + 1 :])
        factor = self.spent / before if before and self.spent else 1.0
        left = factor * (after + planned * (1 - step / max(total, 1)))
        print(
            f"[{self.place + 1}/{len(self.planned)}] {name}: {step:,} of {total:,}, about {left / 60:.0f} min to go",
            file=sys.stderr,
            flush=True,
        )


class Bench:
    """All sizes, one leg after the other."""

    def __init__(self, work: Path, captions: Path, sizes: list[int], only: list[str]) -> None:
        self.work, self.captions, self.sizes = work, captions, sizes
        self.state = State.read(work / "state.json")
        self.weights = work / "weights"
        self.running: StageRun | None = None
        self.stopped = False
        legs = [leg for leg in LEGS if leg.stage in only]
        self.todo = [(size, leg) for size in sizes for leg in legs if leg.name not in self.state.of(size)["seconds"]]
        self.trains = any(leg.stage != EVALUATE for _, leg in self.todo)
        plan = [("pairs and weights", 10 + 1e-4 * max(sizes))] if self.trains else []
        plan += [(f"{leg.name}, {size:,} pairs", leg.seconds + leg.per_pair * size) for size, leg in self.todo]
        self.progress = Progress(plan)

    def stop(self, *_: object) -> None:
        """Asked to end: the stage at work saves."""
        self.stopped = True
        if self.running is not None:
            self.running.stop()

    def run(self) -> int:
        """All that is not done; the exit code."""
        if self.trains:
            self.write_inputs()
        for size, leg in self.todo:
            self.progress.begin()
            started = time.monotonic()
            ended = self.leg(size, leg)
            if self.stopped:
                print("bench:million was stopped; run it again to go on", file=sys.stderr)
                return EXIT_INTERRUPTED
            self.note(size, leg, ended, time.monotonic() - started)
            self.progress.end()
            if ended.code not in (EXIT_OK, EXIT_INTERRUPTED) and leg.blow is None:
                print(f"{leg.name} of {size:,} pairs ended with {ended.code}:\n{ended.said}", file=sys.stderr)
                return EXIT_FAILED
        failures = [failure for size in self.sizes for failure in self.state.of(size)["failures"]]
        report, good = judge({str(size): self.state.of(size) for size in self.sizes}, failures)
        (self.work / "report.md").write_text(report + "\n", encoding="utf-8")
        print(report)
        return EXIT_OK if good else EXIT_FAILED

    def write_inputs(self) -> None:
        """The pairs and the weights that stages begin with."""
        self.progress.begin()
        write_pairs(self.work / "data", self.captions, max(self.sizes), self.tick)
        if not (self.weights / "written").exists():
            command = [sys.executable, "-m", "bench.million.weights", str(self.weights), str(self.captions)]
            subprocess.run(command, check=True)
        self.progress.end()

    def leg(self, size: int, leg: Leg) -> Ended:
        """One run of a stage."""
        folder = self.work / f"{size}"
        if leg.stage == EVALUATE:
            (folder / leg.job).mkdir(parents=True, exist_ok=True)
            module, arguments = "bench.million.evaluate", [str(folder / leg.job), str(size)]
        else:
            places = {stage: folder / stage for stage in configs(size, self.weights)} | {"data": self.work / "data"}
            job = write_job(folder, leg.stage, leg.job, places, configs(size, self.weights)[leg.stage])
            module, arguments = f"stages.{leg.stage}", [str(job)]
        curve = folder / "memory.csv"
        self.running = StageRun(module, arguments, folder / leg.job, leg.ranks, leg.name, curve, leg.blow, leg.at)
        return self.running.run(self.tick)

    def note(self, size: int, leg: Leg, ended: Ended, seconds: float) -> None:
        """What a leg showed."""
        figures = self.state.of(size)
        figures["peaks"][leg.name] = round(ended.peak.mb.get("VmRSS", 0.0), 1)
        figures["seconds"][leg.name] = round(seconds, 1)
        if leg.stage == "clip":
            name = "straight" if leg.job == "clip-straight" else f"on {leg.ranks} ({leg.blow or 'to the end'})"
            figures["losses"][name] = {str(line["step"]): line["metrics"]["loss"] for line in ended.lines}
        report = self.work / f"{size}" / leg.job / FILE_REPORT
        whole = report.exists()
        if leg.stage == EVALUATE and whole:
            figures["ranks"][leg.name] = json.loads(report.read_text(encoding="utf-8"))
        expected = ended.code != EXIT_OK if leg.blow == "kill-rank" else ended.code == EXPECTED[leg.blow]
        if not expected or ended.struck != (leg.blow is not None) or whole == (leg.blow is not None):
            blow = "" if leg.blow is None else f", {leg.blow} {'fell' if ended.struck else 'did not fall'}"
            figures["failures"].append(f"{leg.name}, {size:,} pairs: exit {ended.code}{blow}")
        self.state.write()

    def tick(self, step: int, total: int) -> None:
        """Progress; a request to stop ends what this process does itself."""
        self.progress.tick(step, total)
        if self.stopped and self.running is None:
            sys.exit(EXIT_INTERRUPTED)


def main() -> int:
    """The command."""
    options = arguments()
    trains = any(stage != EVALUATE for stage in options.only)
    if trains and not options.captions.is_file():
        print(
            f"bench:million: {options.captions} is not there: name a file of caption groups with --captions, or set "
            "CLIP_DATA to the folder of the data",
            file=sys.stderr,
        )
        return 2
    options.work = options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    set_environment()
    needed = (12_000 if trains else 500) * max(options.sizes)
    if shutil.disk_usage(options.work).free < needed:
        print(
            f"bench:million: {options.work} needs about {needed / 1e9:.0f} GB of disk: name another --work",
            file=sys.stderr,
        )
        return 2
    print(f"bench:million works in {options.work}, {STEPS} steps at each size", file=sys.stderr)
    bench = Bench(options.work, options.captions, options.sizes, options.only)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, bench.stop)
    return bench.run()


def set_environment() -> None:
    """Of the processes that it starts: a line for every step, one thread each, nothing from a network."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TRAINER), str(TRAINER.parent / "contracts" / "python")])
    os.environ[ENV_PROGRESS_SECONDS] = "0"
    os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


def arguments() -> argparse.Namespace:
    """The command line."""
    data = Path(os.environ.get("CLIP_DATA", TRAINER.parents[1] / "shared" / "data"))
    parser = argparse.ArgumentParser(prog="bench:million", description="Millions of pairs in flat memory.")
    parser.add_argument("--sizes", type=sizes_of, default=sizes_of(SIZES), help="numbers of pairs, the smallest first")
    parser.add_argument("--only", type=stages_of, default=STAGES, help="stages (default: all)")
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "bench-million", help="folder (default: %(default)s)"
    )
    parser.add_argument(
        "--captions",
        type=Path,
        default=data / "text" / "caption-groups.train.jsonl.gz",
        help="file of caption groups (default: that of the data folder)",
    )
    return parser.parse_args(words_given())


def stages_of(text: str) -> list[str]:
    """Names from a list with commas."""
    names = text.split(",")
    for name in names:
        if name not in STAGES:
            raise argparse.ArgumentTypeError(f"there is no stage {name}, but {', '.join(STAGES)}")
    return names


def sizes_of(text: str) -> list[int]:
    """Numbers from a list with commas."""
    return sorted(int(size) for size in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
