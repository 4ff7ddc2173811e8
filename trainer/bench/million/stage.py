"""Runs one stage as a user would, on so many ranks, watches its memory, and may end it or one of its ranks on the way."""

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.million.memory import Sample, Watch
from contracts.constants import FILE_LOG

TRAINER = Path(__file__).parents[2]
PR_SET_PDEATHSIG = 1

# `stop`: SIGTERM to the run, which saves and ends with 75. `kill`: SIGKILL to every process. `kill-rank`: SIGKILL to rank 1.
Blow = Literal["stop", "kill", "kill-rank"]


@dataclass
class Ended:
    """How a run ended: exit code, whether the blow fell, progress lines, memory at its highest, what it said last."""

    code: int
    struck: bool = False
    lines: list[dict[str, Any]] = field(default_factory=list)
    peak: Sample = field(default_factory=lambda: Sample(0.0, 0))
    said: str = ""


@dataclass
class StageRun:
    """A module with its arguments on `ranks` processes, which writes into `folder`.

    `blow` falls once a progress line says that the fraction `at` is done.
    """

    module: str
    arguments: list[str]
    folder: Path
    ranks: int
    name: str
    curve: Path
    blow: Blow | None = None
    at: float = 0.5
    process: subprocess.Popen[str] | None = None

    def run(self, tick: Callable[[int, int], None]) -> Ended:
        """To its end; `tick` gets every step and the number of all."""
        log = self.folder / FILE_LOG
        with log.open("a", encoding="utf-8") as errors:
            command = [sys.executable, "-m", "engine.launch", "--processes", str(self.ranks), self.module]
            process = self.process = subprocess.Popen(
                [*command, *self.arguments],
                cwd=TRAINER,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
            watch = Watch(process.pid, self.name, self.curve)
            watch.start()
            ended = Ended(0)
            assert process.stdout is not None
            for text in process.stdout:
                line = json.loads(text) if text.startswith("{") else {}
                if line.get("event") != "progress":
                    continue
                ended.lines.append(line)
                tick(line["step"], line["total"])
                if self.blow is not None and not ended.struck and line["step"] >= self.at * line["total"]:
                    ended.struck = self.strike(process, self.blow)
            ended.code = process.wait()
            watch.close()
            ended.peak = watch.peak
        ended.said = "\n".join(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:])
        return ended

    def strike(self, process: subprocess.Popen[str], blow: Blow) -> bool:
        """Let the blow fall; whether it found whom it was for."""
        if blow == "stop":
            process.send_signal(signal.SIGTERM)
            return True
        if blow == "kill":
            os.killpg(process.pid, signal.SIGKILL)
            return True
        for pid in children_of(process.pid):
            if b"RANK=1" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                os.kill(pid, signal.SIGKILL)
                return True
        return False

    def stop(self) -> None:
        """Ask it to save and end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)


def end_with_parent() -> None:
    """A run whose watcher is killed is asked to stop: two of them in one folder would be in each other's way."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def children_of(pid: int) -> list[int]:
    """The direct children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
