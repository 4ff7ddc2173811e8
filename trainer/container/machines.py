"""Several machines for one job: every one fetches for itself and runs its part of the stage, the main one alone has the lease,
the log and the report.

AWS Batch starts one container on each machine of a multi-node job and tells it which it is,
https://docs.aws.amazon.com/batch/latest/userguide/mnp-env-vars.html. When the main one ends, Batch ends the others. A part of a
checkpoint lies on the disk of the machine that wrote it, so every machine uploads its own; the file that names the checkpoint
comes from the main one, after all parts have arrived.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from container.failures import StoppedError
from container.folders import Folder
from container.lease import holder_of
from container.log import Log
from container.stop import Stop
from contracts.constants import FILE_LEASE, FILE_REPORT

POLL_SECONDS = 2.0


@dataclass(frozen=True)
class Machines:
    """`count` of them, of which this is `number`; 0 is the main one. `attempt` names this attempt on all of them alike."""

    count: int = 1
    number: int = 0
    attempt: str | None = None

    @classmethod
    def of(cls, env: Mapping[str, str]) -> "Machines":
        """From AWS Batch's variables; alone without them."""
        count = int(env.get("AWS_BATCH_JOB_NUM_NODES", "1"))
        if count == 1:
            return cls()
        main = int(env.get("AWS_BATCH_JOB_MAIN_NODE_INDEX", "0"))
        # The id of a machine's own part of the job is that of the job, # and the machine's index.
        job = env["AWS_BATCH_JOB_ID"].split("#")[0]
        number = (int(env["AWS_BATCH_JOB_NODE_INDEX"]) - main) % count
        return cls(count, number, f"{job}-{env.get('AWS_BATCH_JOB_ATTEMPT', '1')}")

    @property
    def leads(self) -> bool:
        """Whether this machine has the lease and publishes."""
        return self.number == 0

    def others(self) -> range:
        """The numbers of the machines that follow."""
        return range(1, self.count)

    def await_main(self, remote: Folder, stop: Stop, log: Log) -> bool:
        """Wait until the main machine of this attempt holds the lease; False when the job is finished."""
        log.info(f"machine {self.number} of {self.count}: waiting for the main one to take the lease")
        while True:
            if remote.read(FILE_REPORT) is not None:
                return False
            lease = remote.read(FILE_LEASE)
            if lease is not None and holder_of(lease) == self.attempt:
                return True
            pause(stop)

    def meet(self, remote: Folder, stop: Stop, log: Log) -> None:
        """Wait until every machine has what it needs: the stage's processes wait for each other only some minutes."""
        if self.count == 1:
            return
        if not self.leads:
            remote.write(self._ready(self.number), b"")
            return
        missing = {self._ready(number) for number in self.others()}
        while missing:
            log.info(f"waiting for {len(missing)} of {self.count} machines to fetch their inputs")
            while missing and len(missing) == len(missing := missing - {entry.path for entry in remote.entries()}):
                pause(stop)
        remote.delete([self._ready(number) for number in self.others()])

    def part_of(self, checkpoint: str, number: int) -> str:
        """The file, without content, that says that a machine's part of a checkpoint's folder has arrived."""
        return f"{checkpoint}/{self.attempt}-machine-{number}"

    def _ready(self, number: int) -> str:
        # As a temporary file it is no part of any result.
        return f"{self.attempt}-machine-{number}.tmp"


def pause(stop: Stop) -> None:
    """Until the next look, or raise because a stop was asked for."""
    stop.wait(POLL_SECONDS)
    if stop.requested_at is not None:
        raise StoppedError("stopped while machines waited for each other: nothing was lost")
