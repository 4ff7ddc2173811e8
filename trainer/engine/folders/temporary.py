"""Names of files and folders that are not whole yet. They say which process makes them, so that those of a dead one can be removed.

The twin of api/registry/stores/processes.ts: programs of both languages write into one cache.
"""

import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path

OWNED = re.compile(r"\.(\d+)-(\d+|x)-([0-9a-f]{8})-[0-9a-f]{8}\.tmp$")
SILENT_SECONDS = 24 * 3600.0  # of another machine or container, or from before a restart: nobody writes so slowly
SWEPT: set[Path] = set()


def temporary_of(path: Path) -> Path:
    """A new name beside a file or folder. The first one in a folder removes what dead processes left there."""
    if path.parent not in SWEPT:
        remove_left(path.parent)
        SWEPT.add(path.parent)
    owner = f"{os.getpid()}-{started(os.getpid()) or 'x'}-{place()}"
    return path.with_name(f"{path.name}.{owner}-{secrets.token_hex(4)}.tmp")


def remove_left(folder: Path) -> None:
    """Remove what processes that are gone did not finish right in a folder. That it is there hinders nobody: no error is raised."""
    with suppress(OSError):
        for file in folder.iterdir():
            found = OWNED.search(file.name)
            if found is None or is_kept(file, found):
                continue
            with suppress(OSError):
                if file.is_dir():
                    shutil.rmtree(file)
                else:
                    file.unlink()


def is_kept(file: Path, found: re.Match[str]) -> bool:
    """Whether the process of a name may live."""
    process, began, where = found.groups()
    if where != place():
        with suppress(OSError):
            return time.time() - file.stat().st_mtime <= SILENT_SECONDS
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    now = started(int(process))
    return began == "x" or now is None or now == began


def place() -> str:
    """Where the number of a process means this one: the machine, its start and the container, as eight digits."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        numbers = f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        numbers = "undefined"
    return hashlib.sha256(f"{socket.gethostname()} {numbers}".encode()).hexdigest()[:8]


def started(process: int) -> str | None:
    """When a process started, in clock ticks after boot; None where the system does not say; "ended" for one that has."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command's name in brackets may hold spaces.
    fields = stat[stat.rindex(")") + 2 :].split(" ")
    return "ended" if fields[0] == "Z" else fields[19]
