"""Shards as files of this machine: where they lie already, or copied to its disk before they are read.

Stages read local files. Where the shards are elsewhere (a mounted bucket, a shared file system, a store), `CopiedShards`
brings those that come next. What copies is a function: nothing here knows a cloud.
"""

import fcntl
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from contracts.types import Artefact
from data.manifest import ShardError, shard_file, verify_file

Copy = Callable[[str, Path], None]  # (name of a shard's file, where to write it)


class Shards(Protocol):
    """Files of shards by their descriptors in the manifest."""

    def path(self, artefact: Artefact) -> Path:
        """The file on this machine, there when this returns; refused by name where it is missing or has another size."""
        ...

    def announce(self, artefacts: Iterable[Artefact]) -> None:
        """The files that are read from now on, the soonest first."""
        ...


@dataclass(frozen=True)
class LocalShards:
    """Shards that lie in a folder of this machine."""

    folder: Path

    def path(self, artefact: Artefact) -> Path:
        """The file in the folder."""
        return shard_file(self.folder, artefact)

    def announce(self, artefacts: Iterable[Artefact]) -> None:
        """They are here."""


@dataclass(frozen=True)
class FolderCopy:
    """Copies from a folder, which may be a mounted bucket."""

    folder: Path

    def __call__(self, name: str, target: Path) -> None:
        """Copy one file."""
        shutil.copyfile(self.folder / name, target)


@dataclass(frozen=True)
class CommandCopy:
    """Copies by a command that gets the name of the file and where to write it: whatever reaches the store, in a process."""

    command: tuple[str, ...]

    def __call__(self, name: str, target: Path) -> None:
        """Copy one file; the last line of what a failed command says is the reason."""
        done = subprocess.run([*self.command, name, str(target)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise OSError(f"{self.command[0]} ended with {done.returncode}: {said[-1] if said else 'it said nothing'}")


class CopiedShards:
    """Shards that are copied into a folder of this machine, checked by digest, and deleted when they are behind.

    The folder belongs to one rank and its workers: a file is copied by one of them, the others wait for it, and it is deleted
    when the rank announces others; who has it open can read on. Ranks read different shards but for those at the border of
    two lanes, which each of them copies.
    """

    def __init__(self, copy: Copy, folder: Path) -> None:
        self.copy, self.folder = copy, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.announced: list[Artefact] = []
        self.wake: threading.Condition | None = None
        self.error: Exception | None = None

    def __getstate__(self) -> dict[str, object]:
        """A worker gets the folder and not the thread."""
        return {"copy": self.copy, "folder": self.folder, "announced": [], "wake": None, "error": None}

    def path(self, artefact: Artefact) -> Path:
        """The copy; made now where it was not announced early enough."""
        file = self.folder / artefact["path"]
        if not file.exists():
            self.bring(artefact, file)
        return shard_file(self.folder, artefact)

    def bring(self, artefact: Artefact, file: Path, *, ahead: bool = False) -> None:
        """Copy one file unless another process has done so meanwhile; `ahead`: only where it is still announced."""
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.with_name(f".{file.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # What was read and deleted while the thread came here would be copied again, and stay.
            if file.exists() or (ahead and artefact not in self.announced):
                return
            temporary = file.with_name(f"{file.name}.tmp")
            try:
                self.copy(artefact["path"], temporary)
                verify_file(temporary, artefact)
                os.replace(temporary, file)
            except OSError as error:
                raise ShardError(f"shard {artefact['path']} cannot be copied to {self.folder}: {error}") from error
            finally:
                temporary.unlink(missing_ok=True)

    def announce(self, artefacts: Iterable[Artefact]) -> None:
        """Copy these in a thread, in this order; delete those that were announced before and are not among them."""
        if self.error is not None:
            raise self.error
        if self.wake is None:
            self.wake = threading.Condition()
            threading.Thread(target=self.run, daemon=True, name="shards").start()
        with self.wake:
            wanted = list(artefacts)
            names = {artefact["path"] for artefact in wanted}
            behind = [artefact["path"] for artefact in self.announced if artefact["path"] not in names]
            self.announced = wanted
            self.wake.notify()
        for name in behind:
            (self.folder / name).unlink(missing_ok=True)

    def run(self) -> None:
        """The thread: brings the first announced file that is not here; an error is raised at the next announcement."""
        assert self.wake is not None
        try:
            while True:
                with self.wake:
                    missing = [each for each in self.announced if not (self.folder / each["path"]).exists()]
                    if not missing:
                        self.wake.wait()
                        continue
                self.bring(missing[0], self.folder / missing[0]["path"], ahead=True)
        except Exception as error:  # whatever it is, the loop that trains has to hear of it
            self.error = error
