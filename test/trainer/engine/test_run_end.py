"""The end of a stage that goes through files: what a stop, a kill and a full disk leave of its work."""

import json
import resource
import subprocess

import pytest

from contracts.constants import EXIT_INTERRUPTED, ON_DISK
from support import write_job
from warm import ROOT, STAGE_ENV, warm_python

RUN = """
import os, shutil, signal
from contracts.types import ExportConfig
from engine.run import Run

run = Run.start(ExportConfig)
"""
# As a second Ctrl-C, or a machine that goes away, while a large checkpoint is removed.
KILLED = """
import torch
from engine.checkpoint import Checkpoints

checkpoints = Checkpoints(run.output, "checkpoint", run.world)
checkpoints.save(3, {"weights": {"a": torch.zeros(9)}}, {"task": {}})
checkpoints.wait()
shutil.rmtree = lambda *_, **__: os._exit(9)
run.finish({}, {})
"""


def run(folder, code):
    recipe = json.loads((ROOT / "trainer" / "recipes" / "smoke.json").read_text())
    job = write_job(folder, "export", {}, recipe["export"])
    done = subprocess.run(
        [warm_python(), "-c", RUN + code, str(job)], env=STAGE_ENV, capture_output=True, text=True, timeout=100
    )
    return done, job.parent


def test_a_run_that_is_killed_while_it_removes_its_checkpoints_is_finished(tmp_path):
    done, folder = run(tmp_path, KILLED)
    assert done.returncode == 9, done.stderr
    assert json.loads((folder / "report.json").read_text())["status"] == "succeeded"
    assert (folder / "checkpoints").exists()
    again, _ = run(tmp_path, "")
    assert again.returncode == 0
    assert "holds a report: nothing to do" in again.stderr
    assert sorted(file.name for file in folder.iterdir()) == ["job.json", "report.json"]


@pytest.mark.parametrize(("step", "code"), [(1, EXIT_INTERRUPTED), (2, 0)])
def test_a_stage_that_saves_nothing_comes_to_its_end_where_its_last_step_is_done(tmp_path, step, code):
    work = f"os.kill(os.getpid(), signal.SIGTERM)\nrun.tick({step}, 2)\nrun.finish({{}}, {{}})"
    done, folder = run(tmp_path, work)
    assert done.returncode == code, done.stderr
    assert (folder / "report.json").exists() is (code == 0)


def test_one_that_saves_at_its_last_step_stops_there(tmp_path):
    work = "os.kill(os.getpid(), signal.SIGTERM)\nrun.tick(2, 2, dict)\nrun.finish({}, {})"
    done, folder = run(tmp_path, work)
    assert done.returncode == EXIT_INTERRUPTED
    assert (folder / "checkpoint.pt").exists()


@pytest.mark.parametrize("limit", [2000, 300])
def test_a_full_disk_is_a_sentence_and_leaves_the_checkpoint_before(tmp_path, limit):
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    work = f"""
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
run.save({{"done": 3}})
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {hard}))
run.save({{"done": list(range(99999))}})
"""
    done, _ = run(tmp_path, work)
    assert done.returncode == 1
    assert f"{ON_DISK['EFBIG']} (EFBIG)" in done.stderr
    assert "Traceback" not in done.stderr
    again, _ = run(tmp_path, "print(run.resume())")
    assert "{'done': 3}" in again.stdout
