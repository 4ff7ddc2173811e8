"""The resident memory of all processes of a session, several times a second. Reads /proc: Linux."""

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

INTERVAL = 0.25  # seconds
KINDS = ("VmRSS", "RssAnon", "RssFile", "RssShmem")


@dataclass
class Sample:
    """At a time: how many processes there were, and what they held together, in MB. Shared pages count for each of them."""

    seconds: float
    processes: int
    mb: dict[str, float] = field(default_factory=dict)


def sessions() -> dict[int, list[int]]:
    """Process ids by session."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path(f"/proc/{name}/stat").read_text()
            except OSError:  # it has ended
                continue
            # After the name in brackets: state, parent, group, session.
            found.setdefault(int(stat.rpartition(")")[2].split()[3]), []).append(int(name))
    return found


def held(pid: int) -> dict[str, float]:
    """What a process holds, in MB; nothing once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split(":") for line in lines if line.startswith(("VmRSS", "Rss")))
    return {name: int(value.split()[0]) / 1024 for name, value in pairs}


class Watch(threading.Thread):
    """Samples one session until it is closed, and appends every sample to a file of comma-separated values."""

    def __init__(self, session: int, name: str, curve: Path) -> None:
        super().__init__(daemon=True)
        self.session, self.label, self.curve = session, name, curve
        self.peak = Sample(0.0, 0, dict.fromkeys(KINDS, 0.0))
        self.closed = threading.Event()
        self.started_at = time.monotonic()

    def run(self) -> None:
        """Until closed."""
        is_new = not self.curve.exists()
        with self.curve.open("a") as out:
            if is_new:
                out.write(f"time,phase,seconds,processes,{','.join(KINDS)}\n")
            while not self.closed.wait(INTERVAL):
                sample = self.sample()
                if sample.mb["VmRSS"] > self.peak.mb["VmRSS"]:
                    self.peak = sample
                figures = ",".join(f"{sample.mb[kind]:.1f}" for kind in KINDS)
                out.write(f"{time.time():.2f},{self.label},{sample.seconds:.2f},{sample.processes},{figures}\n")
                out.flush()

    def sample(self) -> Sample:
        """Now."""
        pids = sessions().get(self.session, [])
        parts = [held(pid) for pid in pids]
        mb = {kind: sum(part.get(kind, 0.0) for part in parts) for kind in KINDS}
        return Sample(time.monotonic() - self.started_at, len(pids), mb)

    def close(self) -> None:
        """The last sample has been taken."""
        self.closed.set()
        self.join()
