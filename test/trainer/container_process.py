"""The container's entry as a process, a small stage for it to run, and the bucket that it reads and writes, for tests."""

import hashlib
import json
import logging
import re
import subprocess
import time

import boto3
import pytest
from moto.server import ThreadedMotoServer

from warm import ROOT, STAGE_ENV, warm_python

BUCKET = "training"
SMOKE = json.loads((ROOT / "trainer" / "recipes" / "smoke.json").read_text())
CODE = "sha256:" + "0" * 64

# Steps, a shard and a checkpoint each, as embed_captions does; stops and ends as engine/run.py does.
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


def start(prefix, env, python=None, **options):
    command = [python or warm_python(), "-m", "container", f"s3://{BUCKET}/{prefix}/job.json"]
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
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.05)
