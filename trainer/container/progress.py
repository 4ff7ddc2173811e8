"""Lines for people while something takes long: how much of how much, how fast, how long still."""

import threading
import time
from collections.abc import Callable

SECONDS = 5.0  # between two lines


class Progress:
    """Counts bytes, from several threads; says where it stands every few seconds."""

    def __init__(self, what: str, total: int, say: Callable[[str], None]) -> None:
        self.what, self.total, self.say = what, total, say
        self.done = 0
        self.started = self.said = time.monotonic()
        self.lock = threading.Lock()

    def add(self, count: int) -> None:
        with self.lock:
            self.done += count
            now = time.monotonic()
            if now - self.said < SECONDS:
                return
            self.said = now
            rate = self.done / (now - self.started)
            left = max(0, self.total - self.done) / rate if rate > 0 else 0
        amount = f"{size(self.done)} of {size(self.total)}"
        self.say(f"{self.what}: {amount}, {size(rate)}/s, {duration(left)} left")


def size(count: float) -> str:
    """Bytes as people read them, in powers of 1000 as disks and networks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
