"""What an attempt says: passed on at once, and its end kept for log.txt beside the results."""

import sys
import threading
from collections import deque

KEPT = 256 * 1024  # characters, about 3,000 lines


class Log:
    """Lines of this attempt and of earlier ones, the oldest dropped first."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque()
        self.length = 0
        self.changed = False
        self.lock = threading.Lock()

    def say(self, message: str) -> None:
        """A line for people, from this package."""
        line = f"[container] {message}"
        print(line, file=sys.stderr, flush=True)
        self.keep(line)

    def keep(self, line: str) -> None:
        """Only for log.txt."""
        with self.lock:
            self.lines.append(line)
            self.length += len(line) + 1
            while self.length > KEPT and len(self.lines) > 1:
                self.length -= len(self.lines.popleft()) + 1
            self.changed = True

    def data(self) -> bytes:
        """log.txt as it stands now."""
        with self.lock:
            self.changed = False
            return "".join(f"{line}\n" for line in self.lines).encode("utf-8", errors="replace")
