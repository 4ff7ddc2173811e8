"""Every stage runs on a GPU, and goes on there as if it had not been stopped: on a GPU that is not there, so in CI, too."""

import json
import subprocess
from pathlib import Path

import pytest

from contracts.constants import RANKED_STAGES
from gpu_check.small import INPUTS, TRAINED
from warm import STAGE_ENV, warm_python

VARIANTS = [
    "contrastive-without-cache", "inherit-features", "clip-all-at-once", "clip-sigmoid", "clip-scratch", "vocabulary-read",
]  # fmt: skip
ON_CPU = (
    "prepare",
    "vocabulary",
)  # the first weights of the small recipe's students are random: nobody reads the pieces
STAGES = [*INPUTS, *VARIANTS]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Of all of them, in one process: half a minute."""
    folder = tmp_path_factory.mktemp("gpu")
    script = Path(__file__).with_name("pretended_stages.py")
    command = [warm_python(), "-W", "ignore", script, folder]
    done = subprocess.run(command, env=STAGE_ENV, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "outcomes.json").read_text())


def test_all_stages_that_train_are_here(outcomes):
    # The teachers embed on several GPUs, too; a checkpoint is imitated by one process.
    assert {*TRAINED, "embed_captions"} == {*RANKED_STAGES, "imitate"}
    assert list(outcomes) == STAGES


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_computes_on_the_gpu_and_goes_on_bit_for_bit(outcomes, name):
    outcome = outcomes[name]
    assert outcome["failure"] is None
    # Stopped by SIGTERM and resumed, every file is the same.
    assert outcome["difference"] is None
    assert outcome["device"] == "cuda:0"
    assert name in ON_CPU or outcome["operations"] > 100


@pytest.mark.parametrize("name", [name for name in STAGES if name.split("-")[0] in TRAINED])
def test_no_step_waits_for_the_gpu(outcomes, name):
    # What is printed or measured now and then is not in the steps that are looked at.
    assert outcomes[name]["waited for"] == []
