"""Handles a request to stop: asks the stage once, keeps time for the upload, ends everything before the limit.

The machine disappears a fixed time after SIGTERM (spot: two minutes, the container's stop timeout 110 s). A thread
watches the clock, because the main thread may be inside an upload that cannot be interrupted. Exiting during an upload
is safe: an object appears as a whole or not at all.
"""

import os
import signal
import threading
import time
from collections.abc import Callable

from container.failures import StoppedError
from container.stage import StageProcess, kill_group
from contracts.constants import EXIT_INTERRUPTED

MARGIN = 3.0  # this process exits this many seconds before the limit
MIN_UPLOAD_SECONDS = 15.0  # kept for the upload, however fast earlier ones were
MAX_UPLOAD_FRACTION = 0.6  # of the time: the stage has to finish a step, too


class Stop:
    """Whether a stop was asked for, and how much time is left then."""

    def __init__(self, seconds: float, log: Callable[[str], None]) -> None:
        self.seconds, self.log = seconds, log
        self.requested_at: float | None = None
        self.stage: StageProcess | None = None
        self.upload_seconds: Callable[[], float] = lambda: 0.0  # estimate for the checkpoint's upload
        self._was_passed_on = False
        self._lock = threading.Lock()

    def listen(self) -> None:
        """From now on SIGTERM and SIGINT ask for a stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        threading.Thread(target=self._watch, daemon=True).start()

    def start(self, spawn: Callable[[], StageProcess]) -> StageProcess:
        """Start the stage, unless a stop came first. The lock keeps the watch from exiting while a stage is being started."""
        with self._lock:
            if self.requested_at is not None:
                raise StoppedError("stopped before the stage started: nothing was lost")
            self.stage = spawn()
        self._pass_on()  # a signal that came during the start could not be passed on
        return self.stage

    def seconds_left(self) -> float:
        """Until the limit; infinite while no stop was asked for."""
        return float("inf") if self.requested_at is None else self.requested_at + self.seconds - time.monotonic()

    def wait(self, seconds: float) -> None:
        """Sleep, but not past a stop."""
        end = time.monotonic() + seconds
        while self.requested_at is None and time.monotonic() < end:
            time.sleep(0.1)

    def _on_signal(self, _number: int, _frame: object) -> None:
        if self.requested_at is None:
            self.requested_at = time.monotonic()
        self._pass_on()

    def _pass_on(self) -> None:
        """Ask the stage once, however many signals come."""
        if self.requested_at is not None and self.stage is not None and not self._was_passed_on:
            self._was_passed_on = True
            self.stage.process.terminate()

    def _watch(self) -> None:
        while self.requested_at is None:
            time.sleep(0.05)
        with self._lock:
            if self.stage is None:
                self.exit_now("stopped before the stage started: nothing was lost")
                return
        self.log(f"asked to stop: the stage saves a checkpoint, {self.seconds_left():.0f} s are left for all")
        was_killed = False
        while self.seconds_left() > MARGIN:
            if not was_killed and self.seconds_left() < self._upload_reserve() and self.stage.process.poll() is None:
                self.log("the stage has not ended in time and is killed: its last complete checkpoint counts")
                was_killed = True
                kill_group(self.stage.process)
            time.sleep(0.05)
        self.exit_now("time is up: an upload that was on its way is given up, what was uploaded before stays")

    def _upload_reserve(self) -> float:
        needed = max(MIN_UPLOAD_SECONDS, 1.5 * self.upload_seconds() + MARGIN)
        return min(needed, MAX_UPLOAD_FRACTION * self.seconds)

    def exit_now(self, message: str) -> None:
        """End this process and the stage at once, whatever they are doing."""
        self.log(message)
        if self.stage is not None:
            kill_group(self.stage.process)
        os._exit(EXIT_INTERRUPTED)
