"""Runs a stage as a child process, as the control plane does on a laptop, and passes its output on line by line."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from container.log import Log
from contracts.constants import EXIT_INTERRUPTED

DRAIN_SECONDS = 10.0  # for the last lines of a stage that has ended


@dataclass(frozen=True)
class StageCommand:
    """`python -m stages.<stage> job.json` with everything it needs."""

    stage: str
    job: Path
    home: Path  # holds `stages`, `engine` and what they import
    contracts: Path  # holds the Python package `contracts`
    env: Mapping[str, str]


class StageProcess:
    """A running stage: progress lines on standard output, lines for people on standard error."""

    def __init__(self, command: StageCommand, log: Log) -> None:
        self.log = log
        path = os.pathsep.join([str(command.home), str(command.contracts)])
        self.process = subprocess.Popen(
            [sys.executable, "-m", *launcher(command.env), f"stages.{command.stage}", str(command.job)],
            cwd=command.home,
            env={**command.env, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            # In its own process group, so that a terminal's Ctrl-C reaches this program only, which asks the stage once,
            # and so that helpers of the stage can be ended with it.
            start_new_session=True,
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        self.readers = [
            threading.Thread(target=self._pass_on, args=(pipe, out), daemon=True)
            for pipe, out in ((self.process.stdout, sys.stdout), (self.process.stderr, sys.stderr))
        ]
        for reader in self.readers:
            reader.start()

    def ended_within(self, seconds: float) -> bool:
        """Wait up to `seconds` for the end; when it has ended, all of its lines have been passed on."""
        try:
            self.process.wait(timeout=max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        # Helpers that outlive the stage would go on writing and keep the pipes open.
        kill_group(self.process)
        for reader in self.readers:
            reader.join(DRAIN_SECONDS)
        return True

    def _pass_on(self, pipe: TextIO, out: TextIO) -> None:
        for line in pipe:
            out.write(line)
            out.flush()
            # Progress is for readers of the stream; log.txt tells why an attempt ended.
            if not line.startswith('{"event": "progress"'):
                self.log.record(line.rstrip("\n"))


def launcher(env: Mapping[str, str]) -> list[str]:
    """The program that starts one process per GPU, where this machine or the others of the job have more than one."""
    machines = int(env.get("AWS_BATCH_JOB_NUM_NODES", "1"))
    gpus = len([*Path("/dev").glob("nvidia[0-9]*")])
    return ["engine.launch"] if machines > 1 or gpus > 1 else []


def kill_group(process: subprocess.Popen[str]) -> None:
    """End a stage and everything it started; both may have ended already."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def exit_code(returncode: int, *, stop_requested: bool) -> int:
    """The exit code of this program for a stage's return code. Killed by signal N is 128 + N, as in a shell."""
    # SIGTERM ends a stage that is still importing, before it has a handler: nothing was trained since the last checkpoint.
    if returncode == -signal.SIGTERM or (returncode < 0 and stop_requested):
        return EXIT_INTERRUPTED
    return returncode if returncode >= 0 else 128 - returncode


def explanation(returncode: int) -> str:
    """Why a stage failed, as a sentence."""
    # engine.launch ends with 128 and the number of the signal that ended one of its processes.
    number = -returncode if returncode < 0 else returncode - 128
    name = signal.Signals(number).name if number in {*signal.Signals} else None
    if number == signal.SIGKILL:
        return (
            "the stage was killed by the system, most likely for memory: lower batch_size, micro_batch or batch_tokens "
            "in the recipe, or give the job definition more memory"
        )
    if number == signal.SIGBUS:
        return "the stage was ended by SIGBUS, most likely because the disk is full: give the machines a larger volume"
    if name is not None:
        return f"the stage was ended by {name}"
    return f"the stage ended with {returncode}; the lines above say why"
