"""Progress of a measurement on standard error: what is computed, how much of it, and how long all of it will still take."""

import sys
import time

PRINT_SECONDS = 2.0


class Progress:
    """Prints at most one line in two seconds.

    A unit of work is one dev set by one tier of one model. `share` is that of all units that are expected, each counted
    alike, and never falls, though texts and photos of a unit are computed one after the other.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.units = self.begun = 0
        self.where = ""
        self.share = 0.0
        self._started = self._printed = time.monotonic()

    def expect(self, units: int) -> None:
        """So many units are to come, of all models."""
        self.units += units

    def begin(self, where: str) -> None:
        """The next unit, by the name of its set and tier."""
        self.begun += 1
        self.where = f"{self.begun}/{self.units} {where}"
        self._grow(0.0)

    def tick(self, done: int, total: int, what: str) -> None:
        """`done` of `total` texts or photos of this unit are computed."""
        self._grow(done / total)
        now = time.monotonic()
        if now - self._printed < PRINT_SECONDS or not self.share:
            return
        self._printed = now
        left = (now - self._started) / self.share * (1 - self.share)
        self.say(f"{done:,} of {total:,} {what}; {self.share:.0%} of all, about {left:,.0f} s left")

    def say(self, message: str) -> None:
        """One line."""
        if not self.quiet:
            print(f"[{self.where}] {message}" if self.where else message, file=sys.stderr, flush=True)

    def _grow(self, of_unit: float) -> None:
        if self.units:
            self.share = max(self.share, min(1.0, (self.begun - 1 + of_unit) / self.units))
