"""Lets one attempt at a job run at a time: a lease in the run's folder, renewed while it is held.

Batch may run two jobs of one name: a recipe submitted by hand while its schedule trains it would be trained twice, into
one folder. The second attempt waits for the report of the first, or takes over when the first has died.
"""

import json
import threading
import time
import uuid
from collections.abc import Callable

from container.failures import StoppedError, StorageError
from container.folders import Folder
from container.progress import duration
from container.stop import Stop
from contracts import ContractError, load
from contracts.constants import FILE_LEASE, SCHEMA_VERSION
from contracts.types import Lease as LeaseDocument

RENEWALS = 6  # per life of a lease: some may fail before other attempts take it over


class Lease:
    """Held from `take` until `release`. A lease that was not renewed for `seconds` may be taken over."""

    def __init__(
        self,
        folder: Folder,
        seconds: float,
        log: Callable[[str], None],
        holder: str | None = None,
        file: str = FILE_LEASE,
    ) -> None:
        self.folder, self.seconds, self.log, self.file = folder, seconds, log, file
        self.holder = holder or uuid.uuid4().hex
        self._tag: str | None = None
        self._ended = threading.Event()

    def take(self, is_finished: Callable[[], bool], stop: Stop) -> bool:
        """Wait for the lease; False when another attempt has finished the job meanwhile."""
        has_logged = False
        while True:
            found = self.folder.read_tagged(self.file)
            if found is None or age_of(found[0]) > self.seconds:
                self._tag = self.folder.replace(self.file, self._document(), None if found is None else found[1])
                if self._tag is not None:
                    threading.Thread(target=self._renew, args=(stop,), daemon=True).start()
                    # The lease may have been free because the job is finished.
                    if not is_finished():
                        return True
                    self.release()
                    return False
            elif not has_logged:
                has_logged = True
                self.log(
                    f"another attempt at this job is at work (a sign of it {duration(age_of(found[0]))} ago): waiting for it"
                )
            stop.wait(min(10.0, self.seconds / RENEWALS))
            if stop.requested_at is not None:
                raise StoppedError("stopped while another attempt was at work: nothing was lost")
            if is_finished():
                return False

    def release(self) -> None:
        """Let other attempts in. A failure does no harm: the lease runs out."""
        self._ended.set()
        try:
            if self._tag is not None:
                self.folder.delete([self.file])
        except StorageError as error:
            self.log(f"{error}; the lease runs out by itself")

    def _renew(self, stop: Stop) -> None:
        while not self._ended.wait(self.seconds / RENEWALS):
            try:
                renewed = self.folder.replace(self.file, self._document(), self._tag)
            except StorageError as error:
                self.log(f"{error}; the next try is in {duration(self.seconds / RENEWALS)}")
                continue
            if renewed is None and not self._ended.is_set():
                self._tag = None
                # This machine slept or was offline until another attempt took over; two must not write to one folder.
                stop.exit_now("another attempt has taken over: this one ends at once")
            self._tag = renewed

    def _document(self) -> bytes:
        lease: LeaseDocument = {"schema_version": SCHEMA_VERSION, "holder": self.holder, "renewed_at": time.time()}
        return json.dumps(lease).encode()


def holder_of(document: bytes) -> str | None:
    """Which attempt a lease is of; None for one that cannot be read."""
    try:
        return load("Lease", document.decode("utf-8"))["holder"]
    except (ContractError, UnicodeDecodeError):
        return None


def age_of(document: bytes) -> float:
    """Seconds since the lease was renewed; infinite for one that cannot be read."""
    try:
        return max(0.0, time.time() - load("Lease", document.decode("utf-8"))["renewed_at"])
    except (ContractError, UnicodeDecodeError):
        return float("inf")
