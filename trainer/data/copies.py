"""Shards as files of this machine: where they lie already, or copied to its disk before they are read.

Stages read local files. Where the shards are elsewhere (a mounted bucket, a shared file system, a store), `CopiedShards`
brings those that come next. What copies is a function: nothing here knows a cloud.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Protocol

from contracts.types import Artefact, PreparedShard
from data.manifest import ShardError, shard_file, verify_file

COPIES = 4  # files that a process copies at a time
ANNOUNCED = ".announced"  # how the files begin that say what is read from now on

Copy = Callable[[str, Path], None]  # (name of a shard's file, where to write it)


class Shards(Protocol):
    """Files of shards by their descriptors in the manifest."""

    def path(self, artefact: Artefact) -> Path:
        """The file on this machine, there when this returns; refused by name where it is missing or has another size."""
        ...

    def held(self, artefact: Artefact) -> AbstractContextManager[Path]:
        """The same, and it stays there until it is open."""
        ...

    def announce(self, artefacts: Iterable[Artefact], stream: str = "") -> None:
        """The files that a stream reads from now on, the soonest first."""
        ...


@dataclass(frozen=True)
class LocalShards:
    """Shards that lie in a folder of this machine."""

    folder: Path

    def path(self, artefact: Artefact) -> Path:
        """The file in the folder."""
        return shard_file(self.folder, artefact)

    def held(self, artefact: Artefact) -> AbstractContextManager[Path]:
        """Nobody deletes it."""
        return nullcontext(self.path(artefact))

    def announce(self, artefacts: Iterable[Artefact], stream: str = "") -> None:
        """They are here."""


@dataclass(frozen=True)
class FolderCopy:
    """Copies from a folder, which may be a mounted bucket."""

    folder: Path

    def __call__(self, name: str, target: Path) -> None:
        """Copy one file."""
        shutil.copyfile(self.folder / name, target)


def shards_in(folder: Path, remote: str | None, name: str = ".") -> Shards:
    """Shards in the folder `name` of an input; where they were left in the store, at `remote`, copied before they are read.

    The copies are beside the input's folder; all ranks of a machine share them.
    """
    if remote is None:
        return LocalShards(folder / name)
    copy = CopyProcess(copy_command(remote if name == "." else f"{remote}/{name}"))
    return CopiedShards(copy, folder.with_name(f"{folder.name}.copied") / name)


def images_of(shards: Iterable[PreparedShard], files: Shards) -> Callable[[str], Path]:
    """From the name of a tar to its file on this machine, copied where it has to be."""
    tars = {shard["images"]["path"]: shard["images"] for shard in shards if "images" in shard}
    return lambda name: files.path(tars[name])


def copy_command(folder: str) -> tuple[str, ...]:
    """The container's command that copies files of a folder of the store, by its URI, for a `CopyProcess`."""
    return (sys.executable, "-m", "container.copy", folder)


class CopyProcess:
    """Copies by a command that stays: it gets {name, file} a line and answers {name, error} when a copy is there, in any order.

    Starting a command for each file would take a second of a processor for each. A worker that copies starts its own one. It ends
    with the block that it was made for, or with the process that uses it.
    """

    def __init__(self, command: tuple[str, ...]) -> None:
        self.command = command
        self.start()

    def __getstate__(self) -> dict[str, object]:
        """A worker starts its own."""
        return {"command": self.command, "owner": 0}

    def __enter__(self) -> "CopyProcess":
        """To copy in a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """The command ends where its input does."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def __call__(self, name: str, target: Path) -> None:
        """Copy one file, beside others that are being copied."""
        if self.owner != os.getpid():  # in a worker, which has no thread but the one that asks
            self.start()
        assert self.process.stdin is not None
        done: Future[str | None] = Future()
        with self.lock:
            if self.process.poll() is not None:
                raise OSError(f"{self.command[0]} ended with {self.process.returncode}")
            self.waiting[name] = done
            self.process.stdin.write(json.dumps({"name": name, "file": str(target)}) + "\n")
            self.process.stdin.flush()
        error = done.result()
        if error is not None:
            raise OSError(error)

    def start(self) -> None:
        """Start the command for this process."""
        self.owner, self.lock = os.getpid(), threading.Lock()
        self.waiting: dict[str, Future[str | None]] = {}
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.listen, daemon=True, name="copies").start()

    def listen(self) -> None:
        """A thread: what the command answers, to those who wait for it."""
        process, waiting = self.process, self.waiting
        assert process.stdout is not None
        for line in process.stdout:
            answer = json.loads(line)
            waiting.pop(answer["name"]).set_result(answer["error"])
        code = process.wait()
        with self.lock:
            for done in waiting.values():
                done.set_result(f"{self.command[0]} ended with {code}")


class CopiedShards:
    """Shards that are copied into a folder of this machine, checked by digest, and deleted when they are behind.

    All ranks of a machine share the folder, with their streams and workers: a file is copied by one process, the others wait for
    it. Each stream of each process announces what it reads from now on. A file that one of them has behind it is deleted unless
    another one has announced it; who has it open can read on.
    """

    def __init__(self, copy: Copy, folder: Path) -> None:
        self.copy, self.folder = copy, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.announced: dict[str, list[Artefact]] = {}
        self.wake: threading.Condition | None = None
        self.at_work: set[str] = set()
        self.error: Exception | None = None

    def __getstate__(self) -> dict[str, object]:
        """A worker gets the folder and not the threads."""
        return {**self.__dict__, "announced": {}, "wake": None, "at_work": set(), "error": None}

    def path(self, artefact: Artefact) -> Path:
        """The copy; made now where it was not announced early enough."""
        with self.held(artefact) as file:
            return file

    @contextmanager
    def held(self, artefact: Artefact) -> Iterator[Path]:
        """The copy, which nobody deletes until it is open."""
        with self.locked(artefact["path"]) as file:
            if not file.exists():
                self.bring(artefact, file)
            yield shard_file(self.folder, artefact)

    @contextmanager
    def locked(self, name: str) -> Iterator[Path]:
        """A file that no other process copies or deletes meanwhile."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(file.with_name(f".{file.name}.lock")):
            yield file

    def bring(self, artefact: Artefact, file: Path) -> None:
        """Copy one file; its lock is held."""
        temporary = file.with_name(f"{file.name}.tmp")
        try:
            self.copy(artefact["path"], temporary)
            verify_file(temporary, artefact)
            os.replace(temporary, file)
        except OSError as error:
            raise ShardError(f"shard {artefact['path']} cannot be copied to {self.folder}: {error}") from error
        finally:
            temporary.unlink(missing_ok=True)

    # -- what comes next ----------------------------------------------------------------------------------------------

    def announce(self, artefacts: Iterable[Artefact], stream: str = "") -> None:
        """Copy these in threads, in this order; delete those that the stream announced before and nobody reads from now on."""
        if self.error is not None:
            raise self.error
        if self.wake is None:
            self.wake = threading.Condition()
            for _ in range(COPIES):
                threading.Thread(target=self.run, daemon=True, name="shards").start()
        with self.wake:
            before, wanted = self.announced.get(stream, []), list(artefacts)
            self.announced[stream] = wanted
            self.wake.notify_all()
        with exclusive(self.folder / f"{ANNOUNCED}.lock"):
            own = self.folder / f"{ANNOUNCED}-{os.getpid()}-{stream}"
            own.write_text("\n".join(each["path"] for each in wanted), encoding="utf-8")
            for name in {each["path"] for each in before} - self.names_announced():
                with self.locked(name) as file:
                    file.unlink(missing_ok=True)

    def names_announced(self) -> set[str]:
        """What any stream of any process reads from now on; the announcements of processes that are gone are removed."""
        names: set[str] = set()
        for file in self.folder.glob(f"{ANNOUNCED}-*-*"):
            if is_alive(int(file.name.removeprefix(f"{ANNOUNCED}-").partition("-")[0])):
                names.update(file.read_text(encoding="utf-8").splitlines())
            else:
                file.unlink()
        return names

    def run(self) -> None:
        """A thread: brings the first announced file that is not here; an error is raised at the next announcement."""
        assert self.wake is not None
        try:
            while True:
                with self.wake:
                    while (artefact := self.next_missing()) is None:
                        self.wake.wait()
                    self.at_work.add(artefact["path"])
                with self.locked(artefact["path"]) as file:
                    # What was read and deleted while the thread came here would be copied again, and stay.
                    if not file.exists() and self.is_announced(artefact):
                        self.bring(artefact, file)
                with self.wake:
                    self.at_work.discard(artefact["path"])
        except Exception as error:  # whatever it is, the loop that trains has to hear of it
            self.error = error

    def next_missing(self) -> Artefact | None:
        """The first file of a stream that is not here and that no thread is about to bring, streams in turn."""
        for row in zip_longest(*self.announced.values()):
            for artefact in row:
                if artefact is None or artefact["path"] in self.at_work or (self.folder / artefact["path"]).exists():
                    continue
                return artefact
        return None

    def is_announced(self, artefact: Artefact) -> bool:
        """Whether a stream of this process still wants it."""
        assert self.wake is not None
        with self.wake:
            return any(artefact in wanted for wanted in self.announced.values())


@contextmanager
def exclusive(file: Path) -> Iterator[None]:
    """A lock that no other process or thread has meanwhile."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            # Closing would not do: a worker that was forked meanwhile has the file open, too.
            fcntl.flock(lock, fcntl.LOCK_UN)


def is_alive(process: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
