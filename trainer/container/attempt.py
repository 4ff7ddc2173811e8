"""One attempt at one job, from the job's document to the exit code."""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from container.failures import INTERRUPTED, RefusedError, StorageError
from container.fetch import fetch_all, fetches_of_input
from container.folders import Folder, open_folder
from container.lease import Lease
from container.log import Log
from container.progress import duration
from container.results import LOG, Results, finished
from container.stage import StageProcess, exit_code, explanation
from container.stop import Stop
from contracts import ContractError, load

PATIENCE = 1800.0  # seconds that a result which is only on this machine is tried to be uploaded


@dataclass(frozen=True)
class Settings:
    """What the environment may say; `__main__` reads it."""

    work: Path
    home: Path  # holds `stages` and `towers`
    contracts: Path  # holds the Python package `contracts`
    code_digests: Path
    lease_seconds: float
    sync_seconds: float
    env: Mapping[str, str]


def run_attempt(uri: str, settings: Settings, stop: Stop, log: Log) -> int:
    """The exit code. Files of the attempt are gone afterwards: a machine's next attempt finds its disk as empty."""
    job = read_job(uri)
    check_code(job, settings.code_digests)
    remote = open_folder(job["output"])
    if finished(remote):
        log.say(f"{remote.uri} holds a report: nothing to do")
        return 0

    lease = Lease(remote, settings.lease_seconds, log.say)
    if not lease.take(lambda: finished(remote), stop):
        log.say(f"{remote.uri} was finished by another attempt: nothing to do")
        return 0
    try:
        return run_alone(job, remote, settings, stop, log)
    finally:
        lease.release()


def run_alone(job: dict[str, Any], remote: Folder, settings: Settings, stop: Stop, log: Log) -> int:
    """The attempt itself, while no other one writes to the output."""
    stage = job["config"]["stage"]

    # ---- here ----------------------------------------------------------------------------------------------------------
    for line in (remote.read(LOG) or b"").decode("utf-8", errors="replace").splitlines():
        log.keep(line)
    log.say(f"job {job['id']}, stage {stage}, {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())}")
    remote.write(LOG, log.data())  # a permission that is missing shows now and not after hours of training
    settings.work.mkdir(parents=True, exist_ok=True)
    work = Path(mkdtemp(prefix=f"{job['id']}-", dir=settings.work))
    try:
        output, links = work / "output", work / "links"
        output.mkdir()
        links.mkdir()
        results = Results(remote, output, links, log.say)
        stop.upload_seconds = results.upload_seconds
        inputs = {role: work / "inputs" / role for role in job["inputs"]}
        fetches = [fetch for role, uri in job["inputs"].items() for fetch in fetches_of_input(role, uri, inputs[role])]
        fetch_all(", ".join(inputs) or "no inputs", fetches, work, log.say)
        results.resume()
        local = job | {
            "inputs": {role: f"file://{folder}" for role, folder in inputs.items()},
            "output": f"file://{output}",
        }
        (work / "job.json").write_text(json.dumps(local, indent=2), encoding="utf-8")

        # ---- the stage -------------------------------------------------------------------------------------------------
        returncode = watch_stage(stage, work / "job.json", settings, results, stop, log)
        code = exit_code(returncode, stop.requested_at is not None)
        if code == 0:
            persist(lambda: results.publish(log.data()), stop, log)
            log.say(f"finished: {remote.uri}/report.json")
            return 0

        # ---- not finished ----------------------------------------------------------------------------------------------
        if code != INTERRUPTED:
            log.say(explanation(returncode))
            write_last_log(remote, log)
            return code
        if results.upload_seconds() > stop.seconds_left():
            log.say(
                f"a checkpoint takes about {duration(results.upload_seconds())} to upload and "
                f"{duration(stop.seconds_left())} are left: it may not arrive, the one uploaded before it stays"
            )
        # Killed because time was up, it may have left half a file.
        persist(lambda: results.sync(stage_ended=returncode == INTERRUPTED), stop, log)
        log.say("stopped; run the same job again to go on")
        write_last_log(remote, log)
        return INTERRUPTED
    finally:
        shutil.rmtree(work, ignore_errors=True)


def read_job(uri: str) -> dict[str, Any]:
    """job.json, checked against its contract."""
    folder, _, name = uri.rpartition("/")
    data = open_folder(folder or ".").read(name)
    if data is None:
        raise RefusedError(f"{uri} is not there")
    try:
        return load("TrainingJob", data.decode("utf-8"))
    except (ContractError, UnicodeDecodeError) as error:
        raise RefusedError(f"{uri} is refused: {error}") from error


def check_code(job: dict[str, Any], digests: Path) -> None:
    """A result's address says which source made it, so the image must hold that source. An image without the file is
    one that somebody made by hand: it is taken at its word."""
    if not digests.exists():
        return
    stage, wanted = job["config"]["stage"], job["code"]
    held = json.loads(digests.read_text(encoding="utf-8")).get(stage)
    if held != wanted:
        raise RefusedError(
            f"the job was planned for source {wanted} of stage {stage}, this image holds {held}: "
            "push the image again from the commit that the job was planned with"
        )


def watch_stage(stage: str, job: Path, settings: Settings, results: Results, stop: Stop, log: Log) -> int:
    """Run the stage to its end and upload what it saves on the way; returns how it ended, negative for a signal."""
    process = stop.start(lambda: StageProcess(stage, job, settings.home, settings.contracts, settings.env, log))
    while not process.ended_within(settings.sync_seconds):
        if stop.requested_at is not None:
            continue  # the next upload is that of the checkpoint which is being written now
        try:
            results.sync(stage_ended=False)
            if log.changed:
                results.remote.write(LOG, log.data())
        except StorageError as error:
            log.say(f"{error}; the stage goes on, the next try is in {duration(settings.sync_seconds)}")
    return process.process.returncode


def write_last_log(remote: Folder, log: Log) -> None:
    """How the attempt ended must reach the exit code even where it does not reach the log's file."""
    try:
        remote.write(LOG, log.data())
    except StorageError as error:
        log.say(str(error))


def persist(action: Callable[[], None], stop: Stop, log: Log, pause: float = 2.0) -> None:
    """Upload what only this machine has, for as long as it is worth waiting. A missing permission may be given meanwhile."""
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            action()
            return
        except StorageError as error:
            left = min(give_up - time.monotonic(), stop.seconds_left())
            if left < pause:
                raise
            log.say(f"{error}; trying again in {duration(pause)}, for at most {duration(left)}")
            stop.wait(pause)
            pause = min(60.0, 2 * pause)
