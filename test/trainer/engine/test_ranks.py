"""Several processes train as one does: from any number to any other, stopped by a signal, ended by a death among them."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from engine.launch import gpus_for
from warm import STAGE_ENV, warm_python

ENV = STAGE_ENV | {"PYTHONPATH": os.pathsep.join([STAGE_ENV["PYTHONPATH"], str(Path(__file__).parents[1])])}


def start(ranks: int, folder: Path, *events: str) -> subprocess.Popen[str]:
    command = [warm_python(), "-m", "engine.launch", "--processes", str(ranks), "small_training", folder, *events]
    return subprocess.Popen(command, env=ENV, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The end of the training by one process."""
    folder = tmp_path_factory.mktemp("alone")
    assert ended(start(1, folder))[0] == 0
    return torch.load(folder / "end.pt")


def assert_equal(folder, alone):
    end = torch.load(folder / "end.pt")
    assert end["losses"] == pytest.approx(alone["losses"], abs=1e-6)
    for name, value in end["weights"].items():
        torch.testing.assert_close(value, alone["weights"][name], rtol=1e-4, atol=1e-5)


def test_a_run_goes_on_with_any_number_of_processes(tmp_path, alone):
    # 12 rows on 1, 3, 2 and 4 ranks. One process alone is asked to stop, not always the first: all save and stop.
    for ranks, stop, asked in ((1, 2, 0), (3, 4, 2), (2, 6, 1)):
        code, errors = ended(start(ranks, tmp_path, f"stop={stop}", f"asked={asked}"))
        assert code == 75, errors
    code, errors = ended(start(4, tmp_path))
    assert code == 0, errors
    assert_equal(tmp_path, alone)


def test_split_blocks_learn_the_same_and_are_read_by_whole_ones(tmp_path, alone):
    assert ended(start(2, tmp_path, "sharded=1", "stop=3", "draws=1"))[0] == 75
    assert ended(start(1, tmp_path, "stop=5"))[0] == 75
    # As on GPUs: one kernel for all parameters, which takes no split ones beside whole ones.
    code, errors = ended(start(3, tmp_path, "sharded=1", "fused=1"))
    assert code == 0, errors
    assert_equal(tmp_path, alone)
    # Dropout of LoRA layers leaves out other numbers on every rank.
    drawn = [(tmp_path / f"drawn-{rank}").read_text() for rank in (0, 1)]
    assert drawn[0] != drawn[1]


def test_a_parameter_that_has_no_gradient_in_some_steps_learns_the_same_on_any_number_of_processes(tmp_path):
    for ranks in (1, 2):
        code, errors = ended(start(ranks, tmp_path / f"{ranks}", "late=3"))
        assert code == 0, errors
    end = torch.load(tmp_path / "1" / "end.pt")
    assert end["weights"]["late"].abs() > 1e-3
    assert_equal(tmp_path / "2", end)


def test_an_old_checkpoint_is_followed_by_one_and_not_by_two(tmp_path):
    code, errors = ended(start(2, tmp_path, "due=3"))
    assert code == 0, errors
    assert [place.name for place in (tmp_path / "checkpoints").iterdir()] == ["checkpoint-00000004"]


def test_a_rank_waits_for_what_another_does_alone_as_long_as_it_takes(tmp_path):
    (tmp_path / "alone.py").write_text(
        "import time\n"
        "from datetime import timedelta\n"
        "from engine import world\n"
        "world.PATIENCE = timedelta(seconds=8)\n"
        "ranks = world.join_world()\n"
        "if ranks.leads: time.sleep(12)\n"
        "ranks.wait()\n"
        "world.end_process(ranks, 0)\n"
    )
    command = [warm_python(), "-m", "engine.launch", "--processes", "2", "alone"]
    env = ENV | {"PYTHONPATH": os.pathsep.join([ENV["PYTHONPATH"], str(tmp_path)])}
    code, errors = ended(subprocess.Popen(command, env=env, text=True, stderr=subprocess.PIPE))
    assert code == 0, errors


CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("set_to", "threads"), [({}, max(1, CORES // 2)), ({"OMP_NUM_THREADS": "7"}, 7)])
def test_processes_share_the_cores_unless_the_environment_says_otherwise(tmp_path, set_to, threads):
    (tmp_path / "own_threads.py").write_text("import os; print(os.environ['OMP_NUM_THREADS'])\n")
    command = [warm_python(), "-m", "engine.launch", "--processes", "2", "own_threads"]
    env = {name: value for name, value in ENV.items() if name != "OMP_NUM_THREADS"} | set_to
    env["PYTHONPATH"] = os.pathsep.join([ENV["PYTHONPATH"], str(tmp_path)])
    assert int(subprocess.check_output(command, env=env)) == threads


def test_a_signal_to_the_launcher_saves_on_all_ranks(tmp_path, alone):
    process = start(2, tmp_path, "hang=3")
    deadline = time.monotonic() + 60
    while not all((tmp_path / f"waiting-{rank}").exists() for rank in (0, 1)) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 75
    assert ended(start(2, tmp_path))[0] == 0
    assert_equal(tmp_path, alone)


def test_a_signal_while_the_processes_import_is_a_stop_and_no_failure(tmp_path):
    # The first has come to wait for the other one, which has no handler yet.
    (tmp_path / "slow_start.py").write_text(
        "import os, signal, time\n"
        "if os.environ['RANK'] == '0': signal.signal(signal.SIGTERM, lambda *_: None)\n"
        f"open({str(tmp_path)!r} + '/here-' + os.environ['RANK'], 'w')\n"
        "time.sleep(60)\n"
    )
    command = [warm_python(), "-m", "engine.launch", "--processes", "2", "slow_start"]
    env = ENV | {"PYTHONPATH": os.pathsep.join([ENV["PYTHONPATH"], str(tmp_path)])}
    process = subprocess.Popen(command, env=env, text=True, stderr=subprocess.PIPE)
    started = time.monotonic()
    while not all((tmp_path / f"here-{rank}").exists() for rank in (0, 1)) and time.monotonic() < started + 60:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    code, errors = ended(process)
    assert (code, "run the same job again" in errors) == (75, True), errors
    assert time.monotonic() - asked < 10


def test_a_dead_process_ends_the_others_with_its_code(tmp_path):
    assert ended(start(2, tmp_path, "stop=2"))[0] == 75
    code, errors = ended(start(2, tmp_path, "die=4"))
    assert code == 3
    assert "rank 1 ended with 3" in errors and "the last whole checkpoint stays" in errors
    assert (tmp_path / "checkpoint.pt").exists()


def test_the_dead_process_is_named_and_not_one_that_its_death_ended_first(tmp_path):
    # As a lost connection does it: the exception of the other rank is there before the end of the one that died.
    (tmp_path / "reached.py").write_text(
        "import os, time\n"
        "if os.environ['RANK'] == '0': raise RuntimeError('Connection closed by peer')\n"
        "time.sleep(0.3)\n"
        "os._exit(9)\n"
    )
    command = [warm_python(), "-m", "engine.launch", "--processes", "2", "reached"]
    env = ENV | {"PYTHONPATH": os.pathsep.join([ENV["PYTHONPATH"], str(tmp_path)])}
    code, errors = ended(subprocess.Popen(command, env=env, text=True, stderr=subprocess.PIPE))
    assert (code, "rank 1 ended with 9" in errors) == (9, True), errors


def test_a_rank_that_is_done_is_not_taken_for_dead_by_what_native_libraries_do_at_exit(tmp_path):
    code, errors = ended(start(2, tmp_path, "abort=1", "stop=2"))
    assert code == 75, errors
    code, errors = ended(start(2, tmp_path, "abort=1"))
    assert code == 0, errors
    assert (tmp_path / "end.pt").exists()


@pytest.mark.parametrize(
    ("visible", "count"), [(None, 4), ("0,2", 2), ("GPU-8932f937, 3", 2), ("", 0), ("-1", 0), ("1,-1,2", 1)]
)
def test_a_process_starts_for_every_gpu_that_cuda_lets_it_see(tmp_path, visible, count):
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidia3", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert gpus_for({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}, tmp_path) == count
