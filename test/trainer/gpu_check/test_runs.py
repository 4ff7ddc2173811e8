"""The check of a GPU finds a stage that ends otherwise, or leaves other weights, after a stop."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gpu_check.runs import TOLERANCE, check_stage, difference_of

DIGEST = "sha256:{:064x}"


def stage(weights, codes=(75, 0), extra=0.0):
    """A stand-in for a stage: what a run leaves, and the exit codes of the stopped and the resumed run."""
    runs = []

    def start(name, job, stop_after):
        stopped = job.parent.name == "stopped"
        code = codes[len(runs) - 1] if stopped else 0
        runs.append((job.parent.name, stop_after))
        if code == 0:
            changed = {key: value + extra * stopped for key, value in weights.items()}
            save_file(changed, job.with_name("w.safetensors"))
            artefact = {"path": "w.safetensors", "digest": DIGEST.format(hash(stopped and extra) % 2**64), "size": 1}
            job.with_name("report.json").write_text(json.dumps({"artefacts": {"weights": artefact}}))
        return code

    return start, runs


def jobs(folder: Path) -> tuple[Path, Path]:
    straight, stopped = (folder / name / "job.json" for name in ("straight", "stopped"))
    for job in (straight, stopped):
        job.parent.mkdir()
    return straight, stopped


WEIGHTS = {"w": torch.tensor([1.0, -4.0])}


def test_a_stage_that_goes_on_as_if_nothing_had_been_is_bit_for_bit(tmp_path):
    start, runs = stage(WEIGHTS, codes=(75, 75, 0))
    outcome = check_stage(start, "clip", *jobs(tmp_path), (1, 5))
    assert outcome.verdict == "bit for bit" and outcome.failure is None
    assert runs == [("straight", None), ("stopped", 1), ("stopped", 5), ("stopped", None)]


@pytest.mark.parametrize(("extra", "fails"), [(TOLERANCE * 2, False), (TOLERANCE * 8, True)])
def test_other_weights_are_allowed_within_the_tolerance_only(tmp_path, extra, fails):
    # Relative to the largest weight, which is 4.
    start, _ = stage(WEIGHTS, extra=extra)
    outcome = check_stage(start, "clip", *jobs(tmp_path), (1,))
    assert outcome.difference == pytest.approx(extra / 4, rel=1e-5)
    assert (outcome.failure is not None) == fails
    assert not fails or "w.safetensors differs by 4.0e-02" in outcome.verdict


@pytest.mark.parametrize(("codes", "sentence"), [((0,), "stopped after step 1 it ended with 0, not 75"), ((75, 1), "resumed it ended with 1")])  # fmt: skip
def test_a_stage_that_ends_otherwise_fails(tmp_path, codes, sentence):
    start, _ = stage(WEIGHTS, codes)
    straight, stopped = jobs(tmp_path)
    stopped.with_name("log.txt").write_text("Traceback\nRuntimeError: two devices\n")
    outcome = check_stage(start, "clip", straight, stopped, (1,))
    assert outcome.failure is not None and sentence in outcome.failure and "two devices" in outcome.failure


def test_whole_numbers_and_shapes_count_too():
    one = {"n": torch.tensor([1, 2])}
    assert difference_of(one, {"n": torch.tensor([1, 3])}) == 0.5
    assert difference_of(one, {"n": torch.tensor([1, 2, 3])}) == float("inf")
    assert difference_of(one, {"n": torch.tensor([1, 2])}) == 0
