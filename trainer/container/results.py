"""Uploads a stage's output folder: while it runs, when it is stopped, when it is done.

A checkpoint depends on files written before it (shards), so they go first; `report.json` depends on everything and goes
last. A file is uploaded from a hard link: when the stage replaces it meanwhile, the upload still reads the old bytes.
"""

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

from container.array import TAR, Child, is_report
from container.failures import RefusedError
from container.fetch import Fetch, fetch_all, in_parallel, is_checkpoint, is_shard
from container.folders import Folder, safe_path
from container.machines import Machines
from container.progress import Progress, duration, size
from container.report import ReportError, digests_of
from container.states import State, folder_of, folders_of, newest_size, state_of, whole_folders
from contracts import load
from contracts.constants import ELEMENTS, FILE_JOB, FILE_LEASE, FILE_LOG, FILE_REPORT, FILE_SHARDS

# Not written by the stage: the job is the control plane's, the log and the lease are this package's.
NOT_OUTPUT = {FILE_REPORT, FILE_LOG, FILE_LEASE, FILE_JOB}
CHECKPOINTS = "checkpoints"
THREADS = 4
DELETIONS = 16  # at a time
MB = 1 << 20


class Results:
    """The local and the remote output folder. `links`: an empty folder on the same disk."""

    def __init__(
        self, remote: Folder, output: Path, links: Path, log: Callable[[str], None], machines: Machines | None = None
    ) -> None:
        self.machines = machines or Machines()
        self.patience: Callable[[], float] = lambda: 60.0  # seconds for which parts of other machines are waited for
        self.remote, self.output, self.links, self.log = remote, output, links, log
        self.sent: dict[str, State] = {}
        self.seen: dict[str, State] = {}
        self.remote_names: set[str] = set()
        self.bytes_per_second = 0.0
        self.checkpoint_size = 0
        self.child: Child | None = None
        self.left: dict[str, int] = {}  # tars of elements that other attempts made: name to size, there and not here
        self._numbers = itertools.count()

    # -- before the stage ---------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Download what an earlier attempt saved; without a checkpoint its files are useless."""
        entries = [
            entry for entry in self.remote.entries() if entry.path not in NOT_OUTPUT and not entry.path.endswith(".tmp")
        ]
        self.remote_names = {entry.path for entry in entries}
        if self.child is not None:
            entries = [entry for entry in entries if self.child.does(entry.path)]
        elif any(is_report(entry.path) for entry in entries):
            # Elements are joined by what they say of their tars.
            self.left = {entry.path: entry.size for entry in entries if TAR.fullmatch(entry.path)}
            entries = [entry for entry in entries if entry.path not in self.left]
        elif not any(is_checkpoint(entry.path) for entry in entries):
            return
        fetches = [
            Fetch(self.remote, entry.path, entry.size, None, self.output / safe_path(entry.path, self.remote.uri), "S3")
            for entry in entries
        ]
        fetch_all("what an earlier attempt saved", fetches, self.output, self.log)
        self.sent = {fetch.path: state_of(fetch.file) for fetch in fetches}

    # -- while it runs --------------------------------------------------------------------------------------------------

    def sync(self, *, stage_ended: bool) -> None:
        """Upload what is complete and has changed.

        While the stage runs, a file may be half written: it counts as complete when it is not newer than a checkpoint,
        or unchanged since the last call.
        """
        try:
            names = self._names()
            if not self.machines.leads:
                names = [path for path in names if is_checkpoint(path) or is_shard(path)]
            checkpoints = self._linked([path for path in names if is_checkpoint(path)])
            saved_at = max((state.modified for _, state in checkpoints.values()), default=0)
            states = {path: state_of(self.output / path) for path in names if not is_checkpoint(path)}
            complete = [
                path
                for path, state in states.items()
                if stage_ended or state.modified <= saved_at or self.seen.get(path) == state
            ]
            self.seen = states
            # A file that changed while it was read: the checkpoint has to wait for it.
            # What an element's report names has to be there before it.
            reports = [path for path in complete if is_report(path)]
            files = [path for path in complete if not is_report(path)]
            if self._upload(self._linked(files)) and self._upload(self._linked(reports)):
                self.checkpoint_size = sum(state.size for _, state in checkpoints.values()) + newest_size(states)
                if not self.machines.leads:
                    self._say_what_arrived(saved_at)
                    return
                arrived = self._has_arrived(whole_folders(states, saved_at), stage_ended=stage_ended)
                if checkpoints and arrived and self._upload(checkpoints):
                    self._forget_old_shards(names)
        finally:
            for link in self.links.iterdir():
                link.unlink()

    def _forget_old_shards(self, names: list[str]) -> None:
        """Delete there what the stage has deleted here of checkpoints that no file names any more."""
        old = sorted(name for name in self.remote_names.difference(names) if is_shard(name))
        if self.machines.count > 1:
            kept = folders_of(names)
            old = sorted(
                entry.path
                for entry in self.remote.entries()
                if is_shard(entry.path) and folder_of(entry.path) not in kept
            )
        if old:
            self.remote.delete(old)
            self.remote_names.difference_update(old)

    # -- parts of a checkpoint on several machines ----------------------------------------------------------------------

    def _say_what_arrived(self, saved_at: int) -> None:
        """After this machine's parts of the checkpoints that are whole: say so, once for each."""
        for folder in sorted((self.output / CHECKPOINTS).glob("*/")):
            # The file that names a checkpoint is written after all of its parts, here as on the main machine.
            newest = max(state_of(file).modified for file in [folder, *folder.rglob("*")])
            part = self.machines.part_of(f"{CHECKPOINTS}/{folder.name}", self.machines.number)
            if newest <= saved_at and part not in self.remote_names:
                self.remote.write(part, b"")
                self.remote_names.add(part)

    def _has_arrived(self, folders: set[str], *, stage_ended: bool) -> bool:
        """Whether the other machines' parts of checkpoints are there; waits for them once the stage has ended."""
        wanted = {self.machines.part_of(folder, number) for folder in folders for number in self.machines.others()}
        wanted -= self.remote_names
        until = time.monotonic() + (self.patience() if stage_ended else 0.0)
        while wanted:
            found = wanted & {entry.path for entry in self.remote.entries()}
            self.remote_names |= found
            wanted -= found
            if wanted and time.monotonic() >= until:
                self.log(f"{sorted(wanted)[0]} is not there yet: the checkpoint before stays the newest")
                return False
            if wanted:
                time.sleep(1.0)
        return True

    def upload_seconds(self) -> float:
        """How long the checkpoints will take at the rate of earlier uploads; 0 while no rate is known."""
        return self.checkpoint_size / self.bytes_per_second if self.bytes_per_second > 0 else 0.0

    # -- when it is done ------------------------------------------------------------------------------------------------

    def publish(self, log: bytes) -> None:
        """Upload everything, the report last; delete leftovers after it, so that a crash in between does not lose the work."""
        names = self._names()
        report = self._report({path: (self.output / path).stat().st_size for path in names})
        kept = self._kept(names)
        self.sync(stage_ended=True)
        self.remote.write(FILE_LOG, log)
        self.remote.write(FILE_REPORT, report)
        if self.machines.count > 1:
            self.remote_names |= {entry.path for entry in self.remote.entries() if is_shard(entry.path)}
        # Thousands where many elements were joined: several at a time.
        left = sorted(self.remote_names.difference(names, kept))
        in_parallel([lambda path=path: self.remote.delete([path]) for path in left], DELETIONS)

    def _kept(self, names: list[str]) -> set[str]:
        """The tars that are there and not here and that the manifest names: all of them, with their sizes."""
        if not self.left or FILE_SHARDS not in names:
            return set()
        shards = load("PreparedManifest", (self.output / FILE_SHARDS).read_text(encoding="utf-8"))["shards"]
        tars = {shard["images"]["path"]: shard["images"]["size"] for shard in shards if "images" in shard}
        there = {path: count for path, count in tars.items() if path not in names}
        for path, count in there.items():
            if self.left.get(path) != count:
                raise RefusedError(
                    f"{self.remote.uri}/{path} has {self.left.get(path, 'no')} bytes, {FILE_SHARDS} says {count}: delete "
                    f"the folder {ELEMENTS} there to have the elements made again"
                )
        return set(there)

    def _report(self, sizes: dict[str, int]) -> bytes:
        """The stage's report, which must exist and be true when a stage ends with 0."""
        try:
            report = (self.output / FILE_REPORT).read_bytes()
            digests_of(report, sizes)
            return report
        except (FileNotFoundError, ReportError) as error:
            raise RefusedError(f"the stage ended with 0, but is not finished: {error}") from error

    # -- one upload -----------------------------------------------------------------------------------------------------

    def _names(self) -> list[str]:
        """Files of the output folder that are uploaded as they are, by relative path."""
        # A report of an element that appears during the walk could be found without what it names, which was there first.
        reports = {f"{ELEMENTS}/{file.name}" for file in (self.output / ELEMENTS).glob("*")}
        paths = (Path(folder, name) for folder, _, names in os.walk(self.output) for name in names)
        names = (path.relative_to(self.output).as_posix() for path in paths)
        whole = (name for name in names if name in reports or not is_report(name))
        return sorted(name for name in whole if name not in NOT_OUTPUT and not name.endswith(".tmp"))

    def _linked(self, paths: list[str]) -> dict[str, tuple[Path, State]]:
        """A hard link to each file and its state; a file that has vanished meanwhile is left out."""
        linked = {}
        for path in paths:
            link = self.links / str(next(self._numbers))
            try:
                os.link(self.output / path, link)
            except FileNotFoundError:
                continue
            linked[path] = (link, state_of(link))
        return linked

    def _upload(self, linked: dict[str, tuple[Path, State]]) -> bool:
        """Upload what differs from what was sent; returns whether no file changed meanwhile."""
        pending = {path: pair for path, pair in linked.items() if self.sent.get(path) != pair[1]}
        total = sum(state.size for _, state in pending.values())
        started = time.monotonic()
        progress = Progress("uploading", total, self.log)
        changed: list[str] = []

        def upload(path: str, link: Path, state: State) -> None:
            self.remote_names.add(path)
            self.remote.upload(link, path)
            progress.add(state.size)
            if state_of(link) == state:
                self.sent[path] = state
            else:
                changed.append(path)

        in_parallel([lambda item=(path, *pair): upload(*item) for path, pair in pending.items()], THREADS)
        seconds = time.monotonic() - started
        if total > 8 * MB:  # a smaller upload would measure latency
            self.bytes_per_second = total / seconds
        if total > 64 * MB:
            self.log(f"uploaded {', '.join(sorted(pending)[:3])} ({size(total)} in {duration(seconds)})")
        return not changed


def finished(remote: Folder) -> bool:
    """Whether a report exists; it must be true. Checkpoints that its attempt left over are deleted."""
    report = remote.read(FILE_REPORT)
    if report is None:
        return False
    sizes = {entry.path: entry.size for entry in remote.entries()}
    try:
        digests_of(report, sizes)
    except ReportError as error:
        raise RefusedError(f"{remote.uri}: {error}; delete {FILE_REPORT} there to have it made again") from error
    remote.delete([path for path in sizes if is_checkpoint(path) or is_shard(path)])
    return True
