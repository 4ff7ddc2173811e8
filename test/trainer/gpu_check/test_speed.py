"""Measurements in small: they run, and count what there is to count."""

import json
import subprocess

from contracts.constants import EXIT_INTERRUPTED
from gpu_check import __main__ as checking
from gpu_check.report import markdown
from gpu_check.speed import FULL, flops_per_pair, machine
from warm import ROOT, STAGE_ENV, warm_python


def test_flops_of_a_vit_l_are_those_of_the_closed_form():
    width, blocks, tokens, patches = 1024, 24, 257, 256
    # Per token and block: four projections, two layers four times as wide, two products of attention; two FLOPs each.
    tower = blocks * tokens * (2 * 12 * width**2 + 2 * 2 * tokens * width)
    tower += patches * 2 * width * 3 * 14 * 14 + 2 * width * 768
    adapter = 4 * 2 * 2 * 4096 * 8192 + 2 * 4096 * 768
    assert flops_per_pair(FULL) == 3 * (tower + adapter)


def test_all_measurements_run_on_a_cpu_in_small(tmp_path):
    command = [warm_python(), "-m", "gpu_check", "--device", "cpu", "--only", "speed", "--json"]
    done = subprocess.run(command, env=STAGE_ENV, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    assert [row["name"] for row in result["speed"] if "left_out" in row["figures"]] == []
    kinds = {row["name"].split(",")[0] for row in result["speed"]}
    assert kinds == {"clip", "language model", "loss of 512 rows"}
    # The same texts, packed and padded; the same loss, whole and in tiles.
    tokens = {row["figures"]["tokens"] for row in result["speed"] if row["name"].startswith("language model, emb")}
    assert len(tokens) == 1
    assert f"| {result['speed'][0]['name']} |" in markdown(result)


def test_what_was_found_before_a_stop_is_reported(tmp_path):
    command = [warm_python(), "-m", "gpu_check", "--device", "cpu", "--only", "stages"]
    report = tmp_path / "report.md"
    running = subprocess.Popen(
        [*command, "--json", f"--markdown={report}"],
        env=STAGE_ENV,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    for line in running.stderr:
        if "stage prepare: runs" in line:
            running.terminate()
            break
    out, _ = running.communicate(timeout=120)
    assert running.returncode == EXIT_INTERRUPTED
    assert [row["stage"] for row in json.loads(out)["stages"]] == ["prepare"]
    assert "| prepare |" in report.read_text()


def test_measurements_that_come_too_late_are_left_out_at_once(monkeypatch, capsys):
    asked = []

    class Processes:
        """Answers in this process."""

        def __init__(self, device):
            assert device == "cpu"

        def answer(self, function, *arguments, seconds=0.0):
            asked.append(function)
            return function(*arguments)

    monkeypatch.setattr(checking, "Processes", Processes)
    monkeypatch.setattr(checking, "set_environment", lambda device: None)
    monkeypatch.setattr(checking.signal, "signal", lambda *_: None)
    options = ["--device", "cpu", "--only", "speed", "--minutes", "0", "--json"]
    monkeypatch.setattr(checking.sys, "argv", ["gpu-check", *options])
    assert checking.main() == 0
    figures = [row["figures"] for row in json.loads(capsys.readouterr().out)["speed"]]
    assert figures and all(row == {"left_out": "no time was left"} for row in figures)
    assert asked == [machine]  # and no measurement
