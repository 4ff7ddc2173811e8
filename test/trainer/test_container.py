"""The training image's entry as a process against an S3 server on this machine (moto): what is in the bucket afterwards,
in which order it came there, and how the process ended."""

import hashlib
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time

import boto3
import pytest
from botocore.stub import ANY, Stubber
from moto.server import ThreadedMotoServer
from test_pipeline import draw_data

from container import fetch, folders
from container.attempt import persist
from container.failures import RefusedError, StorageError
from container.log import Log
from container.results import Results
from container.stop import Stop
from contracts import load
from support import ROOT, STAGE_ENV

BUCKET = "training"
SMOKE = json.loads((ROOT / "trainer" / "recipes" / "smoke.json").read_text())
CODE = "sha256:" + "0" * 64

# Steps, a shard and a checkpoint each, as embed_captions does; stops and ends as towers/run.py does.
STAGE = """
import hashlib, json, os, signal, sys, time
from pathlib import Path

job = json.loads(Path(sys.argv[1]).read_text())
out = Path(job["output"].removeprefix("file://"))
prepared = Path(job["inputs"]["prepare"].removeprefix("file://"))
assert (prepared / "report.json").exists()
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
checkpoint, step_file = out / "checkpoint.pt", Path(os.environ["STEPS"])
first = int(checkpoint.read_text()) if checkpoint.exists() else 0
total = int(os.environ.get("TOTAL", 3))
print(json.dumps({"pid": os.getpid()}), flush=True)
for step in range(first, total):
    if os.environ.get("FAIL") == str(step):
        print("the loss is not finite", file=sys.stderr)
        sys.exit(3)
    for number in range(step):
        assert (out / f"shard-{number}").exists(), number
    (out / f"shard-{step}").write_text("s" * step)
    (out / "checkpoint.pt.tmp").write_text(str(step + 1))
    os.replace(out / "checkpoint.pt.tmp", checkpoint)
    (out / "half.part").write_text("half")
    (out / "never.tmp").write_text("never")
    with step_file.open("a") as steps:
        steps.write(f"{step}\\n")
    print(json.dumps({"event": "progress", "stage": "mntp", "step": step + 1, "total": total, "seconds": 1.0,
                      "metrics": {}}), flush=True)
    time.sleep(float(os.environ.get("PACE", 0)))
    if stop and os.environ.get("DEAF") != "1":
        sys.exit(75)
(out / "model").mkdir()
(out / "model" / "weights.bin").write_bytes(b"w" * 1000)
(out / "model" / "tokenizer.json").write_text("{}")
digest = "sha256:" + hashlib.sha256(b"w" * 1000).hexdigest()
report = {"id": job["id"], "stage": "mntp", "status": "succeeded", "started_at": "2026-01-01T00:00:00.000Z",
          "seconds": 1.0, "device": "cpu", "metrics": {}, "notes": [],
          "artefacts": {"weights": {"path": "model/weights.bin", "digest": digest, "size": 1000}}}
for file in [checkpoint, *out.glob("shard-*"), out / "half.part"]:
    file.unlink()
(out / "report.json").write_text(json.dumps(report))
"""


class Bucket:
    """The bucket, and the requests that its server answered."""

    def __init__(self, endpoint):
        self.log = Records()
        self.env = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        self.s3 = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id="test", aws_secret_access_key="test",
                               region_name="us-east-1")  # fmt: skip

    def put(self, key, data):
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=data if isinstance(data, bytes) else data.encode())

    def put_folder(self, prefix, folder):
        for file in folder.rglob("*"):
            if file.is_file():
                self.put(f"{prefix}/{file.relative_to(folder).as_posix()}", file.read_bytes())

    def get(self, key):
        return self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def names(self, prefix):
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/").get("Contents", [])
        return {item["Key"][len(prefix) + 1 :] for item in found}

    def requests(self):
        """(method, key) of every request that was answered since the last call."""
        found = [re.search(r"([A-Z]+) /(\S+) HTTP", record.getMessage()) for record in self.log.records]
        self.log.records.clear()
        return [(match[1], match[2].partition("?")[0].removeprefix(f"{BUCKET}/")) for match in found if match]


class Records(logging.Handler):
    """Keeps what the server says of every request."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


@pytest.fixture(scope="module")
def bucket():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    found = Bucket(f"http://{host}:{port}")
    found.s3.create_bucket(Bucket=BUCKET)
    werkzeug = logging.getLogger("werkzeug")
    werkzeug.setLevel(logging.INFO)
    werkzeug.addHandler(found.log)
    yield found
    werkzeug.removeHandler(found.log)
    server.stop()


@pytest.fixture
def home(tmp_path):
    """A trainer folder with one small stage."""
    folder = tmp_path / "trainer home"
    (folder / "stages").mkdir(parents=True)
    (folder / "stages" / "__init__.py").write_text("")
    (folder / "stages" / "mntp.py").write_text(STAGE)
    return folder


def put_job(bucket, prefix, stage, inputs, code=CODE):
    job = {"id": stage, "recipe": "smoke", "seed": 1, "code": code, "config": {"stage": stage, **SMOKE[stage]},
           "inputs": {role: f"s3://{BUCKET}/{key}" for role, key in inputs.items()},
           "output": f"s3://{BUCKET}/{prefix}"}  # fmt: skip
    bucket.put(f"{prefix}/job.json", json.dumps(job))


def put_input(bucket, prefix):
    """A finished run with one artefact."""
    data = b"[1, 2, 3]"
    artefact = {"path": "rows.json", "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}
    report = {"id": "prepare", "stage": "prepare", "status": "succeeded", "started_at": "2026-01-01T00:00:00.000Z",
              "seconds": 1, "device": "cpu", "metrics": {}, "notes": [], "artefacts": {"rows": artefact}}  # fmt: skip
    bucket.put(f"{prefix}/rows.json", data)
    bucket.put(f"{prefix}/report.json", json.dumps(report))


def environment(bucket, work, home=None, **env):
    work.mkdir(exist_ok=True)
    extra = {"WORK_DIR": str(work), "STEPS": str(work.parent / "steps.txt"), "SYNC_SECONDS": "0.2",
             "LEASE_SECONDS": "3"} | bucket.env  # fmt: skip
    return STAGE_ENV | extra | ({"TRAINER_HOME": str(home)} if home else {}) | env


def start(prefix, env, **options):
    command = [sys.executable, "-m", "container", f"s3://{BUCKET}/{prefix}/job.json"]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=env, cwd=ROOT / "trainer", stdout=pipe, stderr=pipe, text=True, start_new_session=True, **options
    )


def run(prefix, env):
    process = start(prefix, env)
    out, errors = process.communicate(timeout=120)
    return process.returncode, out, errors


def steps(tmp_path):
    return [int(line) for line in (tmp_path / "steps.txt").read_text().split()]


def read_until_step(process, step):
    """Lines of standard output up to a step's; the stage's process id."""
    pid = None
    for line in process.stdout:
        document = json.loads(line)
        pid = document.get("pid", pid)
        if document.get("step", 0) >= step:
            return pid
    raise AssertionError(process.stderr.read())


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_a_real_stage_from_the_users_data_to_a_report_put_last_and_once(bucket, tmp_path):
    draw_data_into = tmp_path / "data"
    draw_data_into.mkdir()
    draw_data(draw_data_into)
    bucket.put_folder("data/sha256/aa", draw_data_into)
    files = [
        {"path": file.relative_to(draw_data_into).as_posix(), "size": file.stat().st_size,
         "digest": f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"}
        for file in draw_data_into.rglob("*") if file.is_file()
    ]  # fmt: skip
    bucket.put("data/sha256/aa/index.json", json.dumps({"files": files}))
    bucket.put("data/sha256/aa/not-in-the-index.jsonl", "{}")
    # The planner's digests, as the image holds them.
    node = ROOT / "node_modules" / ".bin" / "node"
    printed = subprocess.run(
        [node, ROOT / "trainer/control/code-digest.ts"], capture_output=True, text=True, check=True
    )
    (tmp_path / "code-digests.json").write_text(printed.stdout)
    code = json.loads(printed.stdout)["prepare"]
    put_job(bucket, "runs/real", "prepare", {"data": "data/sha256/aa"}, code)
    env = environment(bucket, tmp_path / "work", CODE_DIGESTS_FILE=str(tmp_path / "code-digests.json"))

    bucket.requests()
    code, out, errors = run("runs/real", env)
    requests = bucket.requests()
    assert code == 0, errors
    assert json.loads(out.splitlines()[-1])["event"] == "progress"
    report = load("TrainingReport", bucket.get("runs/real/report.json").decode())
    assert report["metrics"]["images.train"] == 24
    for artefact in report["artefacts"].values():
        data = bucket.get(f"runs/real/{artefact['path']}")
        assert artefact["digest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    # The lease comes and goes as time does.
    puts = [key for method, key in requests if method == "PUT" and not key.endswith("/lease.json")]
    assert puts[0] == "runs/real/log.txt" and puts[-1] == "runs/real/report.json"
    assert puts.count("runs/real/report.json") == 1 and "runs/real/job.json" not in puts
    assert ("GET", "data/sha256/aa/not-in-the-index.jsonl") not in requests
    assert bucket.names("runs/real") >= {"job.json", "log.txt", "pairs.train.jsonl", "train-00000.tar"}
    assert not any(name.startswith("checkpoint") for name in bucket.names("runs/real"))
    assert list((tmp_path / "work").iterdir()) == []

    bucket.requests()
    code, out, errors = run("runs/real", env)
    assert (code, out) == (0, "") and "nothing to do" in errors
    assert {method for method, _ in bucket.requests()} == {"GET"}


def test_sigterm_saves_a_checkpoint_and_the_next_attempt_goes_on_from_it(bucket, tmp_path, home):
    put_input(bucket, "runs/prepare-stop")
    put_job(bucket, "runs/stop", "mntp", {"prepare": "runs/prepare-stop"})
    slow = environment(bucket, tmp_path / "work", home, TOTAL="8", PACE="0.4", STOP_SECONDS="30")
    process = start("runs/stop", slow)
    read_until_step(process, 3)
    wait_for(lambda: "checkpoint.pt" in bucket.names("runs/stop"))  # while the stage runs
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 75, errors
    done = len(steps(tmp_path))
    assert 3 <= done < 8
    assert bucket.get("runs/stop/checkpoint.pt").decode() == str(done)
    names = bucket.names("runs/stop")
    assert names == {"job.json", "log.txt", "checkpoint.pt", "half.part", *(f"shard-{n}" for n in range(done))}

    code, _, errors = run("runs/stop", environment(bucket, tmp_path / "other machine", home, TOTAL="8"))
    assert code == 0, errors
    assert steps(tmp_path) == list(range(8))  # every step once, over both attempts
    assert bucket.names("runs/stop") == {
        "job.json",
        "log.txt",
        "report.json",
        "model/weights.bin",
        "model/tokenizer.json",
    }
    assert bucket.get("runs/stop/log.txt").decode().count("job mntp, stage mntp") == 2


def test_what_the_job_was_not_planned_for_is_refused(bucket, tmp_path, home):
    put_input(bucket, "runs/prepare-code")
    put_job(bucket, "runs/code", "mntp", {"prepare": "runs/prepare-code"})
    (tmp_path / "digests.json").write_text(json.dumps({"mntp": "sha256:" + "1" * 64}))
    env = environment(bucket, tmp_path / "work", home, CODE_DIGESTS_FILE=str(tmp_path / "digests.json"))
    code, out, errors = run("runs/code", env)
    assert (code, out) == (65, "")
    assert "push the image again" in errors and CODE in errors and "1" * 64 in errors
    assert bucket.names("runs/code") == {"job.json"}


def test_an_input_that_was_altered_or_is_not_finished_is_refused_by_name(bucket, tmp_path, home):
    put_input(bucket, "runs/prepare-altered")
    put_job(bucket, "runs/altered", "mntp", {"prepare": "runs/prepare-altered"})
    env = environment(bucket, tmp_path / "work", home)
    bucket.put("runs/prepare-altered/rows.json", b"[1, 2, 4]")
    code, _, errors = run("runs/altered", env)
    assert code == 65 and "runs/prepare-altered/rows.json" in errors and "altered" in errors
    bucket.put("runs/prepare-altered/rows.json", b"[1, 2]")
    code, _, errors = run("runs/altered", env)
    assert code == 65 and "rows.json has 6 bytes, report.json says 9" in errors
    bucket.s3.delete_object(Bucket=BUCKET, Key="runs/prepare-altered/report.json")
    code, _, errors = run("runs/altered", env)
    assert code == 65 and "the job that writes it has to run first" in errors
    assert not (tmp_path / "steps.txt").exists()


def test_a_failing_stage_ends_with_its_own_code_and_its_words_in_the_log(bucket, tmp_path, home):
    put_input(bucket, "runs/prepare-fail")
    put_job(bucket, "runs/fail", "mntp", {"prepare": "runs/prepare-fail"})
    code, _, errors = run("runs/fail", environment(bucket, tmp_path / "work", home, FAIL="1"))
    assert code == 3 and "the loss is not finite" in errors
    log = bucket.get("runs/fail/log.txt").decode()
    assert "the loss is not finite" in log and "the stage ended with 3" in log and '"progress"' not in log
    assert "report.json" not in bucket.names("runs/fail")


def test_two_attempts_at_one_job_do_it_once_and_the_second_waits_for_the_first(bucket, tmp_path, home):
    put_input(bucket, "runs/prepare-twice")
    put_job(bucket, "runs/twice", "mntp", {"prepare": "runs/prepare-twice"})
    env = environment(bucket, tmp_path / "work", home, TOTAL="12", PACE="0.3")
    first = start("runs/twice", env)
    read_until_step(first, 2)
    code, _, errors = run("runs/twice", env)
    assert code == 0 and "another attempt at this job is at work" in errors
    assert "finished by another attempt: nothing to do" in errors
    assert first.wait(20) == 0 and steps(tmp_path) == list(range(12))
    assert "report.json" in bucket.names("runs/twice") and "lease.json" not in bucket.names("runs/twice")


def test_an_attempt_that_lost_its_lease_ends_at_once_and_writes_no_more(bucket, tmp_path, home):
    put_input(bucket, "runs/prepare-lost")
    put_job(bucket, "runs/lost", "mntp", {"prepare": "runs/prepare-lost"})
    process = start("runs/lost", environment(bucket, tmp_path / "work", home, TOTAL="200", PACE="0.1"))
    read_until_step(process, 3)
    theirs = json.dumps({"holder": "another", "renewed_at": time.time() + 60})
    bucket.put("runs/lost/lease.json", theirs)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 75 and "another attempt has taken over" in errors
    assert bucket.get("runs/lost/lease.json").decode() == theirs


def test_a_container_that_is_killed_leaves_nothing_that_counts_as_finished(bucket, tmp_path, home):
    put_input(bucket, "runs/prepare-kill")
    put_job(bucket, "runs/kill", "mntp", {"prepare": "runs/prepare-kill"})
    process = start("runs/kill", environment(bucket, tmp_path / "work", home, TOTAL="60", PACE="0.1"))
    stage = read_until_step(process, 2)
    wait_for(lambda: "checkpoint.pt" in bucket.names("runs/kill"))
    process.kill()
    os.killpg(stage, signal.SIGKILL)  # in a container everything ends with the first process
    process.communicate(timeout=20)
    assert "report.json" not in bucket.names("runs/kill")
    at = int(bucket.get("runs/kill/checkpoint.pt"))
    assert bucket.names("runs/kill") >= {f"shard-{number}" for number in range(at)}  # what it counts on came first

    code, _, errors = run("runs/kill", environment(bucket, tmp_path / "other machine", home, TOTAL="62"))
    assert code == 0, errors
    assert steps(tmp_path)[-1] == 61 and "report.json" in bucket.names("runs/kill")


def test_a_stage_that_does_not_stop_is_ended_before_the_machine_is_taken(bucket, tmp_path, home):
    put_input(bucket, "runs/prepare-deaf")
    put_job(bucket, "runs/deaf", "mntp", {"prepare": "runs/prepare-deaf"})
    env = environment(bucket, tmp_path / "work", home, TOTAL="100", PACE="0.2", DEAF="1", STOP_SECONDS="6")
    process = start("runs/deaf", env)
    read_until_step(process, 1)
    started = time.monotonic()
    process.terminate()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 75 and time.monotonic() - started < 6, errors
    assert "is killed" in errors and "checkpoint.pt" in bucket.names("runs/deaf")


def test_a_stop_before_the_stage_has_started_is_obeyed_at_once(bucket, tmp_path, home):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the request and never answers
        env = environment(
            bucket, tmp_path / "work", home, AWS_ENDPOINT_URL=f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
        process = start("runs/silent", env)
        connection, _ = silent.accept()
        started = time.monotonic()
        process.terminate()
        _, errors = process.communicate(timeout=20)
        connection.close()
    assert process.returncode == 75 and "nothing was lost" in errors and time.monotonic() - started < 5
    assert not (tmp_path / "steps.txt").exists()


def test_everything_works_with_folders_of_this_machine_too(bucket, tmp_path, home):
    put_input(bucket, "runs/prepare-local")
    put_job(bucket, "runs/local", "mntp", {"prepare": "runs/prepare-local"})
    job = json.loads(bucket.get("runs/local/job.json"))
    output, prepared = tmp_path / "out put", tmp_path / "prepare"
    output.mkdir(), prepared.mkdir()
    for name in bucket.names("runs/prepare-local"):
        (prepared / name).write_bytes(bucket.get(f"runs/prepare-local/{name}"))
    job |= {"inputs": {"prepare": f"file://{prepared}"}, "output": f"file://{output}"}
    (output / "job.json").write_text(json.dumps(job))
    env = environment(bucket, tmp_path / "work", home, AWS_ENDPOINT_URL="http://127.0.0.1:1")
    for uri in (output / "job.json", f"file://{output}/job.json"):
        done = subprocess.run(
            [sys.executable, "-m", "container", uri], env=env, cwd=ROOT / "trainer", capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stderr
    names = {file.relative_to(output).as_posix() for file in output.rglob("*") if file.is_file()}
    assert names == {"job.json", "log.txt", "report.json", "model/weights.bin", "model/tokenizer.json"}


def test_no_storage_is_a_reason_to_try_again_and_no_job_is_not(bucket, tmp_path, home):
    put_input(bucket, "runs/prepare-away")
    put_job(bucket, "runs/away", "mntp", {"prepare": "runs/prepare-away"})
    nowhere = environment(bucket, tmp_path / "work", home, AWS_ENDPOINT_URL="http://127.0.0.1:1")
    process = start("runs/away", nowhere)
    gone = start("runs/not-there", environment(bucket, tmp_path / "work", home))
    assert "is not there" in gone.communicate(timeout=60)[1] and gone.returncode == 65
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75 and "Could not connect" in errors and "can be run again" in errors


class Remote:
    """An output folder that notes what comes in which order and fails as often as it is told to."""

    uri = "memory://output"

    def __init__(self, failures=0, transient=True):
        self.files, self.order, self.failures, self.transient = {}, [], failures, transient

    def upload(self, file, path):
        self.write(path, file.read_bytes())

    def write(self, path, data):
        if self.failures > 0:
            self.failures -= 1
            raise StorageError("cannot upload", self.transient)
        self.files[path] = data
        self.order.append(path)

    def delete(self, paths):
        for path in paths:
            del self.files[path]


def results_in(tmp_path, remote):
    (tmp_path / "output").mkdir()
    (tmp_path / "links").mkdir()
    return Results(remote, tmp_path / "output", tmp_path / "links", print), tmp_path / "output"


def test_a_checkpoint_comes_after_the_files_it_counts_on_and_half_a_file_does_not_come_at_all(tmp_path):
    remote = Remote()
    results, output = results_in(tmp_path, remote)

    def write(name, text, seconds):
        (output / name).write_text(text)
        os.utime(output / name, (seconds, seconds))

    write("shard-0", "zero", 100)
    write("checkpoint.pt", "1", 101)
    write("shard-1", "on", 102)
    results.sync(stage_ended=False)
    assert remote.order == ["shard-0", "checkpoint.pt"]
    write("shard-1", "one", 103)
    results.sync(stage_ended=False)
    assert remote.order == ["shard-0", "checkpoint.pt"]  # changed since the last look
    results.sync(stage_ended=False)
    assert remote.order == ["shard-0", "checkpoint.pt", "shard-1"]
    write("shard-2", "two", 104)
    (output / "new.tmp").write_text("2")
    os.utime(output / "new.tmp", (105, 105))
    os.replace(output / "new.tmp", output / "checkpoint.pt")
    results.sync(stage_ended=False)
    results.sync(stage_ended=False)
    assert remote.order[3:] == ["shard-2", "checkpoint.pt"]
    assert remote.files == {"shard-0": b"zero", "shard-1": b"one", "shard-2": b"two", "checkpoint.pt": b"2"}
    assert list((tmp_path / "links").iterdir()) == []


@pytest.mark.parametrize("transient", [True, False])
def test_a_result_that_only_this_machine_has_is_uploaded_again_and_again(tmp_path, transient):
    remote = Remote(failures=4, transient=transient)
    results, output = results_in(tmp_path, remote)
    (output / "result").write_text("hours of work")
    log = Log()
    persist(lambda: results.sync(stage_ended=True), Stop(110, log.say), log, pause=0.01)
    assert remote.files == {"result": b"hours of work"} and log.data().count(b"trying again") == 4
    stop = Stop(0.01, log.say)
    stop.requested_at = time.monotonic()
    (output / "result").write_text("more")
    remote.failures = 1
    with pytest.raises(StorageError):
        persist(lambda: results.sync(stage_ended=True), stop, log, pause=0.1)


def test_a_large_file_goes_up_in_parts_and_comes_down_the_same(bucket, tmp_path, monkeypatch):
    for name, value in bucket.env.items():
        monkeypatch.setenv(name, value)
    folders.client.cache_clear()
    folder = folders.open_folder(f"s3://{BUCKET}/large")
    data = os.urandom(1 << 20) * 65
    (tmp_path / "large").write_bytes(data)
    folder.upload(tmp_path / "large", "sub/large")
    assert bucket.s3.head_object(Bucket=BUCKET, Key="large/sub/large")["ETag"].endswith('-2"')
    counts = []
    folder.download("sub/large", tmp_path / "again", counts.append)
    assert (tmp_path / "again").read_bytes() == data and sum(counts) == len(data)
    folders.client.cache_clear()


def test_a_role_that_may_list_only_folders_is_told_403_for_what_is_not_there(monkeypatch):
    s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    monkeypatch.setattr(folders, "client", lambda: s3)
    folder = folders.open_folder("s3://training/runs/a")
    with Stubber(s3) as stub:
        for found in ([], [{"Key": "runs/a/report.json.tmp", "Size": 1}]):
            stub.add_client_error("get_object", "AccessDenied", http_status_code=403)
            stub.add_response(
                "list_objects_v2", {"Contents": found}, {"Bucket": ANY, "Prefix": "runs/a/report.json", "MaxKeys": 1}
            )
            assert folder.read("report.json") is None
        stub.add_client_error("get_object", "AccessDenied", http_status_code=403)
        stub.add_response("list_objects_v2", {"Contents": [{"Key": "runs/a/report.json", "Size": 1}]})
        with pytest.raises(StorageError, match="role lacks a permission") as refused:
            folder.read("report.json")
    assert not refused.value.transient


def test_a_disk_that_is_too_small_is_said_before_anything_is_downloaded(tmp_path):
    remote = folders.open_folder(str(tmp_path))
    wanted = fetch.Fetch(remote, "all", 1 << 49, None, tmp_path / "all", "index.json")
    with pytest.raises(RefusedError, match=r"563 TB to download .* larger volume"):
        fetch.fetch_all("data", [wanted], tmp_path, print)


@pytest.mark.parametrize("path", ["../up", "/root", "a/../../b", "", "a\\b"])
def test_a_path_that_leaves_its_folder_is_refused(path):
    with pytest.raises(RefusedError):
        folders.safe_path(path, "index.json")


def test_requirements_are_pyprojects_own():
    def printed(group):
        script, project = ROOT / "trainer/container/requirements.py", ROOT / "trainer/pyproject.toml"
        done = subprocess.run([sys.executable, script, project, group], capture_output=True, text=True, check=True)
        return done.stdout.split()

    (torch,) = printed("torch")
    assert torch.startswith("torch==") and torch in printed("stages")
    assert any(line.startswith("boto3==") for line in printed("stages"))
    assert all("==" in line for group in ("torch", "stages", "weights") for line in printed(group))
    assert not {line.split("==")[0] for line in printed("stages") + printed("weights")} & {"pytest", "ruff"}
