"""AWS on this machine: moto over HTTP, whose Batch runs each job's container as a process of the real entry point.

Moto's Batch engine does the rest as it would with Docker: dependencies, states, logs, termination. It knows no retries: an
encoder's are made here, and those of one job of a trainer, which `STOPPED_STAGE` names, once; otherwise a trainer's are judged on the
synthesised job definitions. Prints the port as a line of JSON and serves until its
standard input ends, so that it never outlives the test that started it.
"""

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import boto3
from moto.batch import models
from moto.batch.models import Job
from moto.s3.exceptions import MissingKey, PreconditionFailed
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer
from moto.utilities.docker_utilities import DockerModel

ROOT = Path(__file__).resolve().parents[2]
GRACE_SECONDS = 20.0
# sysexits: what was interrupted wants to be started again.
EX_TEMPFAIL = 75
# As many as a bulk shard has.
ATTEMPTS = 5
CREDENTIALS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}


class Container:
    """What moto asks of a Docker container, done by a process that runs what the image's entry point runs."""

    attrs: ClassVar[dict[str, Any]] = {"NetworkSettings": {"Networks": {}, "IPAddress": "127.0.0.1"}}

    def __init__(self, program: list[str], environment: dict[str, str]) -> None:
        self._work = tempfile.TemporaryDirectory(prefix="container-")
        self._program = program
        self._environment = {**os.environ, **environment, "WORK_DIR": self._work.name}
        self._lines: list[tuple[str, str]] = []
        self._process = self._start()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self._program, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append((datetime.now(UTC).isoformat().replace("+00:00", "Z"), line.rstrip("\n")))
            self._note(line)

    def _note(self, line: str) -> None:
        """Told of every line."""

    @property
    def status(self) -> str:
        return "running" if self._process.poll() is None else "exited"

    def reload(self) -> None:
        """Docker's client caches; this does not."""

    def kill(self) -> None:
        """As ECS ends a task: SIGTERM, and SIGKILL where that was not enough."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def logs(self, *, stdout: bool, stderr: bool, timestamps: bool, since: int) -> bytes:
        self._reader.join(5)
        return "\n".join(f"{at} {line}" for at, line in self._lines if stdout).encode()

    def wait(self) -> dict[str, int]:
        return {"StatusCode": self._process.wait()}

    def remove(self) -> None:
        self._work.cleanup()


class RetriedContainer(Container):
    """One whose machine may go away: a killed process, or one that says that it was interrupted, is an attempt, and the next one follows."""

    def __init__(self, program: list[str], environment: dict[str, str]) -> None:
        self._attempt = 1
        self._exit = 0
        self._ended = False
        super().__init__(program, environment)
        reclaimed = os.environ.get("RECLAIMED_ONCE")
        if reclaimed is not None and environment.get("AWS_BATCH_JOB_ARRAY_INDEX") == reclaimed:
            self._process.kill()
            print(json.dumps({"event": "reclaimed", "index": reclaimed}), flush=True)

    def _read(self) -> None:
        while True:
            super()._read()
            self._exit = self._process.wait()
            if self._exit not in (-signal.SIGKILL, EX_TEMPFAIL) or self._ended or self._attempt == ATTEMPTS:
                self._ended = True
                return
            self._attempt += 1
            self._process = self._start()

    @property
    def status(self) -> str:
        return "exited" if self._ended else "running"

    def kill(self) -> None:
        self._ended = True
        super().kill()

    def wait(self) -> dict[str, int]:
        self._reader.join()
        return super().wait()


class StoppedContainer(RetriedContainer):
    """A training job whose machine is reclaimed at a third of its steps: told so by SIGTERM, as ECS tells it, and tried again.

    Says on standard output after which step it was told, how it ended, and with which step the next attempt began.
    """

    def __init__(self, program: list[str], environment: dict[str, str], stage: str) -> None:
        self._stage = stage
        self._after = 0
        self._told_at = 0.0
        self._has_resumed = False
        super().__init__(program, environment)

    def _note(self, line: str) -> None:
        if not line.startswith('{"event": "progress"'):
            return
        progress: dict[str, Any] = json.loads(line)
        if self._attempt == 1:
            self._after = progress["step"]
            if self._told_at == 0 and self._after >= progress["total"] / 3:
                self._told_at = time.time()
                self._process.send_signal(signal.SIGTERM)
        elif not self._has_resumed:
            self._has_resumed = True
            event = {
                "event": "stopped",
                "job": self._stage,
                "at": self._told_at,
                "seconds": time.time() - self._told_at,
                "after": self._after,
                "exit": self._exit,
                "next": progress["step"],
                "total": progress["total"],
            }
            print(json.dumps(event), flush=True)


class Docker:
    """The one method of Docker's client that moto's Batch calls."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._to_stop = os.environ.get("STOPPED_STAGE")

    @property
    def containers(self) -> "Docker":
        return self

    def run(self, command: list[str], environment: dict[str, str], image: str, **_: Any) -> Container:
        environment = {**environment, **self._environment}
        if image != "encoder":
            trainer = [sys.executable, "-m", "container", *command]
            # .../clip-0123456789ab/job.json
            stage = command[0].split("/")[-2].rsplit("-", 1)[0]
            if stage != self._to_stop:
                return Container(trainer, environment)
            self._to_stop = None
            return StoppedContainer(trainer, environment, stage)
        # As the image's entry point does with a program; what is bundled there is source here.
        program = (ROOT / "api" / command[0]).with_suffix(".ts")
        return RetriedContainer([str(ROOT / "node_modules/.bin/node"), str(program), *command[1:]], environment)


def describe_as_batch_does(job: Job) -> dict[str, Any]:
    """Moto leaves out how a container ended: its exit code, and Batch's sentence where it was not 0."""
    described = describe(job)
    if job.exit_code is not None:
        described["container"]["exitCode"] = job.exit_code
        if job.exit_code != 0:
            described.setdefault("statusReason", "Essential container in task exited")
    return described


describe = Job.describe


def container_property(job: Job, name: str, default: Any) -> Any:
    """Moto tells the children of an array job nothing: their number and the size are what Batch sets for them."""
    found = get_container_property(job, name, default)
    index = job.array_properties.get("index")
    if name != "environment" or index is None:
        return found
    size = job.all_jobs[job.job_id.split(":")[0]].array_properties["size"]
    numbers = {"AWS_BATCH_JOB_ARRAY_INDEX": str(index), "AWS_BATCH_JOB_ARRAY_SIZE": str(size)}
    return [*found, *({"name": key, "value": value} for key, value in numbers.items())]


get_container_property = Job._get_container_property


def stopped(job: Job, success: bool = True) -> None:  # noqa: FBT001, FBT002
    """Moto never ends an array job: as in Batch it has failed when all of its children have ended and one has failed."""
    mark_stopped(job, success)
    if ":" not in job.job_id:
        return
    parent = job.all_jobs[job.job_id.split(":")[0]]
    states = {child.status for child in parent._child_jobs or []}
    if states <= {"SUCCEEDED", "FAILED"} and states:
        parent.status = "FAILED" if "FAILED" in states else "SUCCEEDED"


mark_stopped = Job._mark_stopped


def terminated(job: Job, reason: str) -> None:
    """Moto ends an array job alone: in Batch its children end with it."""
    terminate(job, reason)
    for child in getattr(job, "_child_jobs", None) or []:
        terminate(child, reason)


terminate = Job.terminate


def key_posted(response: S3Response, request: Any, body: bytes, *place: Any) -> Any:
    """Moto completes a multipart upload whatever `If-Match` says: in S3 the object has to be the one that is meant."""
    bucket, query, key = place
    wanted = response.headers.get("If-Match")
    if wanted is not None and "uploadId" in query:
        found = response.backend.get_object(bucket, key)
        if found is None:
            raise MissingKey
        if found.etag.strip('"') != wanted.strip('"'):
            raise PreconditionFailed("If-Match")
    return post_key(response, request, body, *place)


post_key = S3Response._key_response_post


class Clock:
    """Moto's Batch waits half a second and more between two looks at a job; here a twentieth of that."""

    mktime = staticmethod(time.mktime)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", default=str(ROOT / "trainer"), help="folder that holds the stages that jobs run")
    options = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "TRAINER_HOME": options.home,
        # The container itself is that of the folder where it has one, as an image has.
        "PYTHONPATH": os.pathsep.join([options.home, str(ROOT / "trainer"), str(ROOT / "contracts" / "python")]),
        "PROGRESS_SECONDS": "0",
    }
    # Batch refuses a compute environment whose service role does not exist.
    role = boto3.client("iam", endpoint_url=f"http://{host}:{port}", **CREDENTIALS)
    role.create_role(RoleName="batch", AssumeRolePolicyDocument="{}")
    docker = Docker(environment)
    DockerModel.docker_client = property(lambda _: docker)  # type: ignore[assignment, method-assign]
    models.time, models.sleep = Clock(), Clock().sleep  # type: ignore[assignment]
    Job.describe = describe_as_batch_does  # type: ignore[method-assign]
    Job._get_container_property = container_property  # type: ignore[method-assign]
    Job._mark_stopped = stopped  # type: ignore[method-assign]
    S3Response._key_response_post = key_posted  # type: ignore[method-assign]
    Job.terminate = terminated  # type: ignore[method-assign]
    print(json.dumps({"event": "listening", "port": port}), flush=True)
    sys.stdin.read()
    server.stop()
    os._exit(0)


if __name__ == "__main__":
    main()
