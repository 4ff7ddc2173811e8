"""The stage as a child process: started as the control plane starts it on a laptop, its output passed on line by line."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from container.failures import INTERRUPTED
from container.log import Log

DRAIN_SECONDS = 10.0  # for the last lines of a stage that has ended


class StageProcess:
    """`python -m stages.<stage> job.json`: progress lines on standard output, words for people on standard error."""

    def __init__(self, stage: str, job: Path, home: Path, contracts: Path, env: Mapping[str, str], log: Log) -> None:
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"stages.{stage}", str(job)],
            cwd=home,
            env={**env, "PYTHONPATH": os.pathsep.join([str(home), str(contracts)]), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            # A group of its own: a terminal's Ctrl-C reaches this program only, which asks the stage once; and whatever
            # the stage started ends with it.
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
        """Wait for the end, but not longer; when it has ended, all of its lines have been passed on."""
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
            # Progress is for whoever follows the stream; log.txt is for why something ended.
            if not line.startswith('{"event": "progress"'):
                self.log.keep(line.rstrip("\n"))


def kill_group(process: subprocess.Popen[str]) -> None:
    """End a stage and everything it started; both may have ended already."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def exit_code(returncode: int, stopped: bool) -> int:
    """What this program ends with, given how the stage ended. Killed by signal N is 128 + N, as shells have it."""
    # A SIGTERM that comes while Python still imports finds no handler yet: nothing was trained since the last checkpoint.
    if returncode == -signal.SIGTERM or (returncode < 0 and stopped):
        return INTERRUPTED
    return returncode if returncode >= 0 else 128 - returncode


def explanation(returncode: int) -> str:
    """The end of a stage that failed, in a sentence."""
    if returncode == -signal.SIGKILL:
        return (
            "the stage was killed by the system, most likely for memory: lower batch_size, micro_batch or batch_tokens "
            "in the recipe, or give the job definition more memory"
        )
    if returncode < 0:
        return f"the stage was ended by {signal.Signals(-returncode).name}"
    return f"the stage ended with {returncode}; the lines above say why"
