"""The part of `npm run bench:million` that ranks vectors: one process and two find the same ranks, and other ones are told."""

import copy
import json
import subprocess

from bench.million.stage import TRAINER
from bench.million.verdict import judge, of_ranks
from warm import warm_python

COUNT = 3000  # more than the small set and more than are ranked, so that all phases of the bench are passed


def test_one_process_and_two_find_the_same_ranks_and_a_difference_is_told(tmp_path):
    found = {}
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        command = [
            "-m",
            "engine.launch",
            "--processes",
            str(processes),
            "bench.million.evaluate",
            str(folder),
            str(COUNT),
        ]
        environment = {"PYTHONPATH": f"{TRAINER}:{TRAINER.parent / 'contracts' / 'python'}", "OMP_NUM_THREADS": "1"}
        ended = subprocess.run([warm_python(), *command], env=environment, capture_output=True, text=True, check=True)
        assert json.loads(ended.stdout.splitlines()[-1])["step"] == 5000
        found[f"evaluate, {processes}"] = json.loads((folder / "report.json").read_text())
    said, problem = of_ranks(found)
    assert problem is None and "every rank equal in evaluate, 1 and evaluate, 2" in said
    # Half of a text's numbers are its picture's: more than chance, less than all.
    assert 0.1 < found["evaluate, 1"]["pairs"]["text_to_image_R@1"] < 0.9
    figures = {"peaks": {"evaluate, 1": 100.0}, "seconds": {"evaluate, 1": 1.0}, "losses": {}, "ranks": found}
    assert judge({"100": figures, "1000": figures}, [])[1]
    other = copy.deepcopy(figures)
    other["ranks"]["evaluate, 2"]["pairs"]["ranks"] = "0" * 64
    report, is_good = judge({"100": figures, "1000": other}, [])
    assert not is_good and "the ranks of evaluate, 1 and evaluate, 2 are not equal" in report
