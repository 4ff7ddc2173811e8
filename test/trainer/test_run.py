"""What a stage may read: the parts of the prepared data that its job names, because its address holds no others."""

import json
import subprocess
import sys

import pytest

from support import ROOT, STAGE_ENV, write_job

READ = """
import sys
from contracts.types import MntpConfig
from towers.data import read_pairs, read_texts
from engine.run import Run

run = Run.start(MntpConfig)
prepared = run.input("prepare")
print(read_texts(prepared, "groups", "train"))
print({"pairs": lambda: read_pairs(prepared, "train"), "groups": lambda: 0}[PART]())
"""


@pytest.mark.parametrize(
    ("part", "prepared"), [("pairs", ["groups.train"]), ("pairs", None), ("groups", ["groups.train"])]
)
def test_a_stage_cannot_read_what_its_job_does_not_name(tmp_path, part, prepared):
    folder = tmp_path / "prepared"
    folder.mkdir()
    for name in ("pairs", "groups"):
        (folder / f"{name}.train.jsonl").write_text('{"captions": []}\n')
    recipe = json.loads((ROOT / "trainer" / "recipes" / "smoke.json").read_text())
    job = write_job(tmp_path, "mntp", {"prepare": folder}, recipe["mntp"])
    if prepared is not None:
        job.write_text(json.dumps(json.loads(job.read_text()) | {"prepared": prepared}))
    # A process of its own: an audit hook stays until the process ends.
    done = subprocess.run(
        [sys.executable, "-c", READ.replace("PART", repr(part)), str(job)],
        env=STAGE_ENV,
        capture_output=True,
        text=True,
    )
    if part == "pairs" and prepared is not None:
        assert done.returncode == 1
        assert (
            "stage mntp reads pairs.train.jsonl of prepare, but its row in STAGES names only groups.train"
            in done.stderr
        )
    else:
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 2
