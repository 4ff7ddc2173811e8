"""Progress of a transfer as lines for people: bytes done, rate, time left."""

import threading
import time
from collections.abc import Callable

LINE_SECONDS = 5.0  # between two lines


class Progress:
    """Counts bytes from several threads and logs a line every few seconds."""

    def __init__(self, what: str, total: int, log: Callable[[str], None]) -> None:
        self.what, self.total, self.log = what, total, log
        self.done = 0
        self.started = self.logged_at = time.monotonic()
        self.lock = threading.Lock()

    def add(self, count: int) -> None:
        """Count bytes that have been transferred."""
        with self.lock:
            self.done += count
            now = time.monotonic()
            if now - self.logged_at < LINE_SECONDS:
                return
            self.logged_at = now
            rate = self.done / (now - self.started)
            left = max(0, self.total - self.done) / rate if rate > 0 else 0
        amount = f"{size(self.done)} of {size(self.total)}"
        self.log(f"{self.what}: {amount}, {size(rate)}/s, {duration(left)} left")


def size(count: float) -> str:
    """Bytes as people read them, in powers of 1000 as disks and networks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def duration(seconds: float) -> str:
    """Seconds as people read them."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
