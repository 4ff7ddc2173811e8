"""Runs one attempt at one job, from the job's document to the exit code."""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, cast

from container.array import Child, hold_places, is_report, left_in_store, remote_inputs
from container.failures import RefusedError, StorageError
from container.fetch import fetch_all, fetches_of_input, fetches_of_weights
from container.folders import Folder, open_folder, safe_path
from container.lease import Lease
from container.log import Log
from container.machines import Machines
from container.progress import duration
from container.results import Results, finished
from container.stage import StageCommand, StageProcess, exit_code, explanation
from container.stop import Stop
from container.streamed import left_to_stream
from contracts import ContractError, load
from contracts.constants import DATA_ROLE, ENV_WEIGHTS, EXIT_INTERRUPTED, FILE_JOB, FILE_LEASE, FILE_LOG, FILE_REPORT
from contracts.parts import PARTED
from contracts.types import TrainingJob

UPLOAD_RETRY_SECONDS = 1800.0  # for a result of which this machine has the only copy


@dataclass(frozen=True)
class Settings:
    """Settings from the environment, which `__main__` reads."""

    work: Path
    home: Path  # holds `stages` and `towers`
    contracts: Path  # holds the Python package `contracts`
    code_digests: Path
    lease_seconds: float
    sync_seconds: float
    env: Mapping[str, str]


def run_attempt(uri: str, settings: Settings, stop: Stop, log: Log) -> int:
    """Run the job unless it is finished; returns the exit code. The attempt's local files are deleted afterwards."""
    job = read_job(uri)
    check_code(job, settings.code_digests)
    remote = open_folder(job["output"])
    if finished(remote):
        log.info(f"{remote.uri} holds a report: nothing to do")
        return 0

    machines = Machines.of(settings.env)
    if not machines.leads:
        if not machines.await_main(remote, stop, log):
            return 0
        return run_alone(job, remote, settings, stop, log)
    child = Child.of(settings.env)
    file = FILE_LEASE if child is None else child.file(FILE_LEASE)
    lease = Lease(remote, settings.lease_seconds, log.info, machines.attempt, file)
    if not lease.take(lambda: finished(remote), stop):
        log.info(f"{remote.uri} was finished by another attempt: nothing to do")
        return 0
    try:
        return run_alone(job, remote, settings, stop, log)
    finally:
        lease.release()


def run_alone(job: TrainingJob, remote: Folder, settings: Settings, stop: Stop, log: Log) -> int:
    """The attempt itself, while it, or the main one of its machines, holds the lease on the output."""
    machines, child = Machines.of(settings.env), Child.of(settings.env)
    write_log = LogWriter(remote, log, machines, FILE_LOG if child is None else child.file(FILE_LOG))
    write_log.begin(job)
    settings.work.mkdir(parents=True, exist_ok=True)
    work = Path(mkdtemp(prefix=f"{job['id']}-", dir=settings.work))
    try:
        output, links = work / "output", work / "links"
        output.mkdir()
        links.mkdir()
        results = Results(remote, output, links, log.info, machines)
        results.child = child
        results.patience = lambda: min(stop.seconds_left() / 2, 60.0)
        stop.upload_seconds = results.upload_seconds
        weights = weights_in(job, work)
        in_array = child is not None or any(is_report(entry.path) for entry in remote.entries())
        local = fetch_inputs(job, work, weights, log, in_array=in_array)
        results.resume()
        machines.meet(remote, stop, log)
        (work / FILE_JOB).write_text(json.dumps({**local, "output": f"file://{output}"}, indent=2), encoding="utf-8")

        command = stage_command(job["config"]["stage"], work / FILE_JOB, settings, places_by_path(job, weights))
        process = stop.start(lambda: StageProcess(command, log))
        returncode = watch_stage(process, settings.sync_seconds, results, stop, write_log)
        code = exit_code(returncode, stop_requested=stop.requested_at is not None)
        if code == 0:
            keep_result(results, stop, write_log)
            return 0
        if code != EXIT_INTERRUPTED:
            log.info(explanation(returncode))
            write_log.last()
            return code
        keep_checkpoint(results, stop, write_log, stage_ended=returncode == EXIT_INTERRUPTED)
        return EXIT_INTERRUPTED
    finally:
        shutil.rmtree(work, ignore_errors=True)


def weights_in(job: TrainingJob, work: Path) -> dict[str, Path]:
    """Where the weights that the job names go on this machine, by their URI."""
    return {item["uri"]: work / "weights" / str(number) for number, item in enumerate(job.get("weights", []))}


def fetch_inputs(
    job: TrainingJob, work: Path, weights: Mapping[str, Path], log: Log, *, in_array: bool
) -> dict[str, Any]:
    """Bring what the stage reads, but what it streams. Returns the job with its inputs on this machine.

    `in_array`: children of an array job make or made its elements, which copy of the data what they read.
    """
    inputs = {role: work / "inputs" / role for role in job["inputs"]}
    parts = {role: cast(Mapping[str, Any], job).get(key) for role, key in PARTED.items()}
    fetches = [
        fetch
        for role, uri in job["inputs"].items()
        for fetch in fetches_of_input(role, uri, inputs[role], parts.get(role))
    ]
    left = left_to_stream(job, fetches)
    if in_array:
        left = left_in_store(job, [fetch for fetch in fetches if fetch.folder.uri == job["inputs"].get(DATA_ROLE)])
        hold_places(left)
    stays = {id(fetch) for fetch in left}
    fetches = [fetch for fetch in fetches if id(fetch) not in stays]
    fetches += [fetch for uri, place in weights.items() for fetch in fetches_of_weights(uri, place)]
    fetch_all(", ".join([*inputs, *(["weights"] if weights else [])]) or "no inputs", fetches, work, log.info)
    places = {role: f"file://{folder}" for role, folder in inputs.items()}
    return {**job, "inputs": places, **remote_inputs(job, left)}


def keep_result(results: Results, stop: Stop, write_log: "LogWriter") -> None:
    """Upload what a stage that came to its end has written: of all machines the main one does, of an array each child its part."""
    log, child = write_log.log, results.child
    if not write_log.machines.leads:
        log.info("this machine's part is done")
    elif child is not None:
        persist(lambda: results.sync(stage_ended=True), stop, log)
        log.info(f"the elements of child {child.number} of {child.size} are done")
        write_log.last()
    else:
        persist(lambda: results.publish(log.data()), stop, log)
        log.info(f"finished: {write_log.remote.uri}/{FILE_REPORT}")


def keep_checkpoint(results: Results, stop: Stop, write_log: "LogWriter", *, stage_ended: bool) -> None:
    """Upload what a stage that was stopped has saved; one that was killed may have left half a file (`stage_ended` false)."""
    log = write_log.log
    if results.upload_seconds() > stop.seconds_left():
        log.info(
            f"a checkpoint takes about {duration(results.upload_seconds())} to upload and "
            f"{duration(stop.seconds_left())} are left: it may not arrive, the one uploaded before it stays"
        )
    persist(lambda: results.sync(stage_ended=stage_ended), stop, log)
    log.info("stopped; run the same job again to go on")
    write_log.last()


def places_by_path(job: TrainingJob, fetched: Mapping[str, Path]) -> dict[str, str]:
    """The folder or file of weights on this machine by the path that the recipe names; `fetched`: folders by their URI."""
    places = {}
    for item in job.get("weights", []):
        folder, file = fetched[item["uri"]], item["file"]
        places[item["path"]] = str(folder if file is None else folder / safe_path(file, item["uri"]))
    return places


def stage_command(stage: str, job: Path, settings: Settings, weights: Mapping[str, str]) -> StageCommand:
    """How this image starts a stage; `weights` are places by path."""
    env = {**settings.env, ENV_WEIGHTS: json.dumps(weights)}
    return StageCommand(stage, job, settings.home, settings.contracts, env)


def read_job(uri: str) -> TrainingJob:
    """job.json, checked against its contract."""
    folder, _, name = uri.rpartition("/")
    data = open_folder(folder or ".").read(name)
    if data is None:
        raise RefusedError(f"{uri} is not there")
    try:
        return cast(TrainingJob, load("TrainingJob", data.decode("utf-8")))
    except (ContractError, UnicodeDecodeError) as error:
        raise RefusedError(f"{uri} is refused: {error}") from error


def check_code(job: TrainingJob, digests: Path) -> None:
    """Refuse a job that was planned for other source than this image holds: the result's address names that source.

    An image built by hand has no file of digests and is not checked.
    """
    if not digests.exists():
        return
    stage, expected = job["config"]["stage"], job["code"]
    held = json.loads(digests.read_text(encoding="utf-8")).get(stage)
    if held != expected:
        raise RefusedError(
            f"the job was planned for source {expected} of stage {stage}, this image holds {held}: "
            "push the image again from the commit that the job was planned with"
        )


def watch_stage(
    process: StageProcess, sync_seconds: float, results: Results, stop: Stop, write_log: "LogWriter"
) -> int:
    """Upload what the stage saves until it ends; returns its return code, negative for a signal."""
    while not process.ended_within(sync_seconds):
        if stop.requested_at is not None:
            continue  # the next upload is the checkpoint that is being written now
        try:
            results.sync(stage_ended=False)
            if write_log.log.changed:
                write_log()
        except StorageError as error:
            write_log.log.info(f"{error}; the stage goes on, the next try is in {duration(sync_seconds)}")
    return process.process.returncode


@dataclass(frozen=True)
class LogWriter:
    """Uploads log.txt, which is the main machine's."""

    remote: Folder
    log: Log
    machines: Machines
    file: str = FILE_LOG

    def begin(self, job: TrainingJob) -> None:
        """After what attempts before wrote. Uploaded at once: that shows a missing permission before hours of training."""
        if self.machines.leads:
            for line in (self.remote.read(self.file) or b"").decode("utf-8", errors="replace").splitlines():
                self.log.record(line)
        now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        self.log.info(f"job {job['id']}, stage {job['config']['stage']}, {now}")
        self()

    def __call__(self) -> None:
        """As it is now."""
        if self.machines.leads:
            self.remote.write(self.file, self.log.data())

    def last(self) -> None:
        """At the end; a failure is only reported, so that it does not replace the attempt's own exit code."""
        try:
            self()
        except StorageError as error:
            self.log.info(str(error))


def persist(action: Callable[[], None], stop: Stop, log: Log, pause: float = 2.0) -> None:
    """Retry an upload of the only copy of a result. Even a missing permission may be granted meanwhile."""
    give_up = time.monotonic() + UPLOAD_RETRY_SECONDS
    while True:
        try:
            action()
            return
        except StorageError as error:
            left = min(give_up - time.monotonic(), stop.seconds_left())
            if left < pause:
                raise
            log.info(f"{error}; trying again in {duration(pause)}, for at most {duration(left)}")
            stop.wait(pause)
            pause = min(60.0, 2 * pause)
