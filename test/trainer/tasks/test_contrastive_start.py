"""`contrastive` measures where it starts without waiting for it: with the first measurement, of the weights from before."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from support import run_stage, schedule, tiny_language_model, write_job
from tasks.contrastive import Contrastive
from towers.data import write_rows
from towers.language.lora import with_lora
from towers.language.read import read_language_model

CONFIG = {"max_tokens": 32, "pooling": "mean", "evaluate_every": 2, "schedule": schedule(4)}


@pytest.fixture
def task(tmp_path):
    """Over a random language model; pairs of dev captions that share most of their letters."""
    source: Any = {"source": "directory", "name": str(tiny_language_model(tmp_path / "model"))}
    model = with_lora(read_language_model(source, torch.float32), {"rank": 4, "alpha": 8, "dropout": 0.0})
    dev = [[f"a line {n * n} beside {n}", f"there is {n} on a line"] for n in range(64)]
    run = SimpleNamespace(config=CONFIG, log=lambda _: None)
    return Contrastive(cast(Any, run), model, cast(Any, None), dev)


def test_the_figure_before_training_is_that_of_the_weights_before_training(task):
    before = task.dev_accuracy()
    loss = {"loss": torch.tensor(1.0)}
    assert set(task.measure(0, loss)) == {"loss"} and task.accuracy == []
    torch.manual_seed(0)
    learned = [parameter for parameter in task.modules["language_model"].parameters() if parameter.requires_grad]
    with torch.no_grad():
        for parameter in learned:
            parameter.normal_(std=0.3)
    after = task.dev_accuracy()
    assert after != before
    assert task.measure(1, loss)["dev_accuracy"] == after
    assert task.accuracy == [before, after]
    task.measure(3, loss)
    assert task.accuracy == [before, after, after]


def test_without_dev_images_of_two_captions_the_figure_is_left_out_and_the_report_says_so(tmp_path):
    prepared = tmp_path / "prepare"
    prepared.mkdir()
    rows = [{"key": f"{n}", "captions": [f"a line {n * n} beside {n}", f"there is {n} on a line"]} for n in range(8)]
    write_rows(prepared / "pairs.train.jsonl", rows)
    write_rows(prepared / "pairs.dev.jsonl", [{"key": "alone", "captions": ["one caption alone"]}])
    config = {
        "language_model": {"source": "directory", "name": str(tiny_language_model(tmp_path / "model"))},
        "lora": {"rank": 4, "alpha": 8, "dropout": 0.0},
        "temperature": 0.05,
        "batch_size": 4,
        "micro_batch": 4,
        "concept_fraction": 0.0,
        **CONFIG,
    }
    report = run_stage(write_job(tmp_path, "contrastive", {"prepare": prepared}, config))
    assert set(report["metrics"]) == {"loss.last"}
    assert report["notes"] == ["dev_accuracy was not measured: no image of dev has two captions"]
