"""Several machines that train one job as containers, against an S3 server on this machine: their parts of a checkpoint meet in
the bucket, one of them publishes. And a checkpoint stays there until there is a report."""

import json
import os
import socket
import subprocess

import pytest
import torch
from container_process import environment, put_input, put_job, start

from container.folders import LocalFolder
from container.results import Results
from warm import ROOT, STAGE_ENV, warm_python

TRAINING = """
import json, os, sys
from pathlib import Path
import torch
from small_training import train

def main():
    job = json.loads(Path(sys.argv[1]).read_text())
    out, prepared = (Path(uri.removeprefix("file://")) for uri in (job["output"], job["inputs"]["prepare"]))
    assert (prepared / "rows.json").exists()
    events = {"stop": int(os.environ["STOP"])} if "STOP" in os.environ else {}
    task = train(out, events | {"sharded": 1})
    task.run.leave_to_first()
    weights = {name: value for module in task.modules.values() for name, value in module.named_parameters()}
    torch.save({"weights": weights, "losses": task.losses}, out / "end.pt")
    task.run.finish({}, {"end": "end.pt"})

main()
"""


def test_two_machines_train_one_job_keep_their_parts_of_a_checkpoint_and_publish_once(bucket, tmp_path):
    home = tmp_path / "trainer home"
    (home / "stages").mkdir(parents=True)
    (home / "stages" / "__init__.py").write_text("")
    (home / "stages" / "mntp.py").write_text(TRAINING)
    (home / "engine").symlink_to(ROOT / "trainer" / "engine")
    (home / "small_training.py").symlink_to(ROOT / "test" / "trainer" / "small_training.py")
    put_input(bucket, "runs/prepare-two")
    put_job(bucket, "runs/two", "mntp", {"prepare": "runs/prepare-two"})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def attempt(number, **env):
        """Both machines, the main one last; what they did, and what each put into the bucket's folder."""
        processes = []
        for machine in (1, 0):
            batch = {"AWS_BATCH_JOB_NUM_NODES": "2", "AWS_BATCH_JOB_NODE_INDEX": str(machine), "MASTER_PORT": port,
                     "AWS_BATCH_JOB_MAIN_NODE_INDEX": "0", "AWS_BATCH_JOB_ID": f"job#{machine}",
                     "AWS_BATCH_JOB_ATTEMPT": str(number), "PYTHONFAULTHANDLER": "1"}  # fmt: skip
            if machine > 0:  # the main one is not told its own
                batch["AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS"] = "127.0.0.1"
            work = tmp_path / f"machine {machine}, attempt {number}"
            processes.append(start("runs/two", environment(bucket, work, home, **batch, **env)))
        ends = [process.communicate(timeout=120)[1] for process in processes]
        return [process.returncode for process in processes], "".join(ends)

    codes, errors = attempt(1, STOP="3")
    assert codes == [75, 75], errors
    names = bucket.names("runs/two")
    (folder,) = {name.split("/")[1] for name in names if name.startswith("checkpoints/")}
    parts = {name.split("/")[2] for name in names if name.startswith("checkpoints/")}
    # Of every machine the numbers of its own process; the index, and the sign that the second one's have arrived.
    assert {part[:4] for part in parts if part.startswith("__")} == {"__0_", "__1_"}
    assert parts >= {".metadata", "job-1-machine-1"}
    assert "checkpoint.pt" in names and not any(name.endswith(".tmp") for name in names)

    bucket.requests()
    codes, errors = attempt(2)
    assert codes == [0, 0], errors
    assert bucket.names("runs/two") == {"job.json", "log.txt", "report.json", "end.pt"}
    puts = [key.removeprefix("runs/two/") for method, key in bucket.requests() if method == "PUT"]
    assert puts.count("report.json") == 1 and puts.count("end.pt") == 1
    assert f"resumed from checkpoint.pt, step {int(folder.split('-')[1])}" in errors
    alone = tmp_path / "alone"
    alone.mkdir()
    search = os.pathsep.join([STAGE_ENV["PYTHONPATH"], str(ROOT / "test" / "trainer")])
    subprocess.run([warm_python(), "-m", "small_training", alone], env=STAGE_ENV | {"PYTHONPATH": search}, check=True)
    (tmp_path / "end.pt").write_bytes(bucket.get("runs/two/end.pt"))
    wanted, found = torch.load(alone / "end.pt"), torch.load(tmp_path / "end.pt")
    assert found["losses"] == pytest.approx(wanted["losses"], abs=1e-6)
    for name, value in found["weights"].items():
        torch.testing.assert_close(value, wanted["weights"][name], rtol=1e-4, atol=1e-5)


def test_a_checkpoint_stays_until_the_report_is_there(tmp_path):
    remote, output, links = tmp_path / "remote", tmp_path / "output", tmp_path / "links"
    for folder in (remote / "checkpoints" / "checkpoint-00000001", output, links):
        folder.mkdir(parents=True)
    (remote / "checkpoint.pt").write_text("names checkpoint-00000001")
    (remote / "checkpoints" / "checkpoint-00000001" / "__0_0.distcp").write_text("tensors")
    results = Results(LocalFolder(remote), output, links, print)
    results.resume()
    # As a stage leaves its folder: everything of the checkpoint is gone, and the report is there.
    for file in output.rglob("*"):
        if file.is_file():
            file.unlink()
    report = {"schema_version": 1, "id": "mntp", "stage": "mntp", "status": "succeeded", "metrics": {}, "notes": [],
              "started_at": "2026-01-01T00:00:00.000Z", "seconds": 1, "device": "cpu", "artefacts": {}}  # fmt: skip
    (output / "report.json").write_text(json.dumps(report))
    there = {}
    write = results.remote.write

    def watched(path, data):
        there[path] = {file.name for file in remote.rglob("*") if file.is_file()}
        write(path, data)

    results.remote.write = watched
    results.publish(b"log")
    assert there["report.json"] >= {"checkpoint.pt", "__0_0.distcp"}
    assert {file.name for file in remote.rglob("*") if file.is_file()} == {"report.json", "log.txt"}
