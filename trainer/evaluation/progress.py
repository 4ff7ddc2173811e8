"""Progress of a measurement on standard error: what is computed, how much of it, and how long it will still take."""

import sys
import time

PRINT_SECONDS = 2.0


class Progress:
    """Prints at most one line in two seconds; `where` names the set and the tier that is measured."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.where = ""
        self.quiet = quiet
        self._started = self._printed = time.monotonic()

    def start(self) -> None:
        """A new piece of work begins."""
        self._started = self._printed = time.monotonic()

    def tick(self, done: int, total: int, what: str) -> None:
        """`done` of `total` are computed."""
        now = time.monotonic()
        if now - self._printed < PRINT_SECONDS:
            return
        self._printed = now
        left = (now - self._started) / done * (total - done)
        self.say(f"{done:,} of {total:,} {what}, {left:,.0f} s left")

    def say(self, message: str) -> None:
        """One line."""
        if not self.quiet:
            print(f"[{self.where}] {message}" if self.where else message, file=sys.stderr, flush=True)
