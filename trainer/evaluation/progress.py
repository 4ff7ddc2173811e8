"""Progress of a measurement on standard error: what is computed, how much of it, and how long all of it will still take."""

import sys
import time

PRINT_SECONDS = 2.0


class Progress:
    """Prints at most one line in two seconds.

    A unit of work is one dev set by one tier of one model. `share` is that of the cost of all units that are expected, and never
    falls, though a unit may compute more lists of texts and photos one after the other than it said.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.units = self.begun = 0
        self.where = ""
        self.share = 0.0
        self._started = self._printed = time.monotonic()
        self._cost = self._ended = self._of_unit = 0.0  # of all units, of those before this one, and of this one
        self._lists, self._whole = 1, 0  # of this unit, and how many of them are whole

    def expect(self, units: int, cost: float = 1.0) -> None:
        """So many units are to come, of all models, and what one costs beside others."""
        self.units += units
        self._cost += units * cost

    def begin(self, where: str, cost: float = 1.0, lists: int = 1) -> None:
        """The next unit, by the name of its set and tier, and how many lists of texts and photos it computes."""
        self.begun += 1
        self.where = f"{self.begun}/{self.units} {where}"
        self._ended += self._of_unit
        self._of_unit = cost
        self._lists, self._whole = lists, 0
        self._grow(0.0)

    def tick(self, done: int, total: int, what: str) -> None:
        """`done` of `total` texts or photos of a list of this unit are computed."""
        self._grow(min(1.0, (self._whole + done / total) / self._lists))
        self._whole += done == total
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
        if self._cost:
            self.share = max(self.share, min(1.0, (self._ended + of_unit * self._of_unit) / self._cost))
