"""The GPU that is not there has a real one's rules, and a CPU's numbers."""

import json
import subprocess
from pathlib import Path

import pytest

from warm import STAGE_ENV, warm_python


@pytest.fixture(scope="module")
def found():
    """In a process of its own: a kind of device stays registered as long as a process lives."""
    script = Path(__file__).with_name("pretended_rules.py")
    done = subprocess.run([warm_python(), script], env=STAGE_ENV, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_tensors_of_two_devices_are_refused_where_a_gpu_refuses_them(found):
    assert [name for name, message in found["refused"].items() if not message] == []
    assert found["allowed"] == dict.fromkeys(found["allowed"], "")


def test_numbers_are_those_of_the_cpu(found):
    assert found["same gradients"] and found["same optimiser"]
    assert found["view"] == [[1, 1], [2, 2]]


def test_random_numbers_of_the_gpu_are_its_own(found):
    assert found["dropout on the GPU leaves the CPU's numbers"]


def test_tensors_say_that_they_are_on_a_gpu_and_autocast_narrows_products(found):
    assert found["device"] == ["cuda:0", True, "cuda:0"]
    assert found["autocast"] == ["torch.bfloat16", "torch.float32", "torch.float32"]
