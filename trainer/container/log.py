"""The log of an attempt: printed at once, its last lines uploaded as log.txt beside the results."""

import sys
import threading
from collections import deque

MAX_CHARACTERS = 256 * 1024  # about 3,000 lines


class Log:
    """Lines of this attempt and of earlier ones, the oldest dropped first."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque()
        self.length = 0
        self.changed = False
        self.lock = threading.Lock()

    def info(self, message: str) -> None:
        """Print and record a line of this package."""
        line = f"[container] {message}"
        print(line, file=sys.stderr, flush=True)
        self.record(line)

    def record(self, line: str) -> None:
        """Add a line to log.txt without printing it."""
        with self.lock:
            self.lines.append(line)
            self.length += len(line) + 1
            while self.length > MAX_CHARACTERS and len(self.lines) > 1:
                self.length -= len(self.lines.popleft()) + 1
            self.changed = True

    def data(self) -> bytes:
        """The current content of log.txt."""
        with self.lock:
            self.changed = False
            return "".join(f"{line}\n" for line in self.lines).encode("utf-8", errors="replace")
