"""Reading in a stage: the parts of earlier stages' folders that its job names, and no others."""

import json
import subprocess

import pytest

from contracts.constants import ON_DISK
from support import write_job
from warm import ROOT, STAGE_ENV, warm_python

READ = """
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
        [warm_python(), "-c", READ.replace("PART", repr(part)), str(job)],
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
        assert "Traceback" not in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 2


READ_SETS = """
import json, sys
from contracts.types import InheritConfig
from towers.data import read_rows
from engine.run import Run

embedded = Run.start(InheritConfig).input("embed_captions")
read_rows(embedded / "captions.prompts.jsonl")
json.loads((embedded / "job.json").read_text())
read_rows(embedded / "captions.groups.train.jsonl")
"""


def test_a_stage_cannot_read_a_set_of_texts_that_its_job_does_not_name(tmp_path):
    folder = tmp_path / "embedded"
    folder.mkdir()
    for name in ("captions.prompts.jsonl", "captions.groups.train.jsonl", "job.json"):
        (folder / name).write_text("{}")
    recipe = json.loads((ROOT / "trainer" / "recipes" / "smoke.json").read_text())
    job = write_job(tmp_path, "inherit", {"embed_captions": folder}, recipe["inherit"])
    job.write_text(json.dumps(json.loads(job.read_text()) | {"embedded": ["captions.prompts", "features.prompts"]}))
    done = subprocess.run([warm_python(), "-c", READ_SETS, str(job)], env=STAGE_ENV, capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "stage inherit reads captions.groups.train.jsonl of embed_captions, but its row in STAGES names only" in last
    assert last.endswith("name captions.groups.train under `embedded` there")


LIMITED = """import resource, signal
from numpy import zeros
from safetensors.numpy import save_file
from tempfile import mkdtemp
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (999, 999))
"""


@pytest.mark.parametrize(
    ("code", "last", "has_traceback"),
    [
        ('load("TrainingJob", "[")', "[mntp] TrainingJob: not JSON (line 1: Expecting value)", False),
        ('int("one")', "ValueError: invalid literal for int()", True),
        # Raised on purpose, but not by the trainer.
        ('raise ValueError("a sentence")', "ValueError: a sentence", True),
        # What a disk forbids, whichever library says it.
        ('open("/dev/full", "w").write("x" * 10**5)', f"[mntp] {ON_DISK['ENOSPC']} (ENOSPC)", False),
        (LIMITED + 'save_file({"a": zeros(9999)}, mkdtemp() + "/a")', f"[mntp] {ON_DISK['EFBIG']} (EFBIG)", False),
        (
            LIMITED + 'from numpy import save\nsave(mkdtemp() + "/a", zeros(9999))',
            f"[mntp] {ON_DISK['ENOSPC']} (ENOSPC)",
            False,
        ),
    ],
)
def test_what_the_trainer_refuses_is_a_sentence_and_what_nobody_expected_a_traceback(code, last, has_traceback):
    script = (
        f"from contracts import load\nfrom engine.failure import fail_in_a_sentence\nfail_in_a_sentence('mntp')\n{code}"
    )
    done = subprocess.run([warm_python(), "-c", script], env=STAGE_ENV, capture_output=True, text=True)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[-1].startswith(last)
    assert ("Traceback (most recent call last):" in lines) is has_traceback
    assert has_traceback or len(lines) == 1
