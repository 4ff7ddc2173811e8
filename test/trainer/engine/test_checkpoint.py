"""Checkpoints: two generations, the older where the newest is damaged, and nothing of them is run."""

import os
import pickle
import resource
from pathlib import Path

import pytest
import torch

from engine.checkpoint import Checkpoints
from engine.folders.saved import CheckpointError, read_small, reason_of
from engine.world import ALONE_ON_CPU


def saved(folder: Path, *steps: int) -> Checkpoints:
    """A checkpoint after each step, whose one tensor is full of the step."""
    checkpoints = Checkpoints(folder, "checkpoint", ALONE_ON_CPU)
    for step in steps:
        save(checkpoints, step)
    return checkpoints


def save(checkpoints: Checkpoints, step: int) -> None:
    """One more, and wait for it."""
    weights = {"w": torch.full((1000,), float(step))}
    checkpoints.save(step, {"weights": weights}, {"task": {"losses": [1.5]}})
    checkpoints.wait()


def cut(file: Path) -> None:
    """Leave the first half, as a machine that is lost does."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def loaded(checkpoints: Checkpoints, lines: list[str]) -> tuple[int, float]:
    """The step that is gone on from, and what the tensor is full of."""
    tensors, small = checkpoints.load(lambda _: {"weights": {"w": torch.zeros(1000)}}, lines.append)
    assert small["task"] == {"losses": [1.5]}
    (value,) = tensors["weights"]["w"].unique().tolist()
    return small["step"], value


def newest(folder: Path) -> Path:
    return max((folder / "checkpoints").iterdir())


def test_the_newest_is_read_and_two_are_kept(tmp_path):
    checkpoints = saved(tmp_path, 1, 2, 3)
    assert loaded(checkpoints, []) == (3, 3.0)
    assert sorted(place.name for place in (tmp_path / "checkpoints").iterdir()) == [
        "checkpoint-00000002",
        "checkpoint-00000003",
    ]


def test_what_is_saved_is_what_was_there_when_it_was_asked_for(tmp_path):
    checkpoints = Checkpoints(tmp_path, "checkpoint", ALONE_ON_CPU)
    weights, losses, teacher = torch.full((1000,), 1.0), [1.5], torch.full((1000,), 2.0)
    checkpoints.save(1, {"weights": {"w": weights}}, {"task": {"losses": losses}, "teacher": teacher})
    # What training does while the files are written.
    weights.fill_(9.0)
    losses.append(9.0)
    teacher.fill_(9.0)
    checkpoints.wait()
    assert loaded(checkpoints, []) == (1, 1.0)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["teacher"].unique().tolist() == [2.0]


@pytest.mark.parametrize("name", ["__0_0.distcp", ".metadata"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_the_one_before_is_read_where_the_newest_is_damaged(tmp_path, name, damage):
    checkpoints, lines = saved(tmp_path, 4, 5), []
    file = newest(tmp_path) / name
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert loaded(checkpoints, lines) == (4, 4.0)
    assert "checkpoint.pt" in lines[0] and "step 4" in lines[1]


DAMAGED = ["checkpoint.pt", "checkpoints/checkpoint-00000005/__0_0.distcp"]


@pytest.mark.parametrize("name", DAMAGED)
def test_a_run_that_went_on_from_the_one_before_keeps_it_beside_what_it_saves(tmp_path, name):
    saved(tmp_path, 4, 5)
    cut(tmp_path / name)
    checkpoints = Checkpoints(tmp_path, "checkpoint", ALONE_ON_CPU)
    assert loaded(checkpoints, []) == (4, 4.0)
    save(checkpoints, 6)
    places = {place.name for place in (tmp_path / "checkpoints").iterdir()}
    assert places == {"checkpoint-00000004", "checkpoint-00000006"}
    assert loaded(checkpoints, []) == (6, 6.0)
    # From here on two generations take turns as always.
    save(checkpoints, 7)
    assert loaded(checkpoints, []) == (7, 7.0)
    cut(tmp_path / "checkpoint.pt")
    assert loaded(checkpoints, []) == (6, 6.0)


def test_one_that_is_damaged_while_a_run_goes_on_does_not_end_it(tmp_path):
    checkpoints = saved(tmp_path, 4, 5)
    cut(tmp_path / "checkpoint.pt")
    save(checkpoints, 6)
    assert loaded(checkpoints, []) == (6, 6.0)
    save(checkpoints, 7)
    places = {place.name for place in (tmp_path / "checkpoints").iterdir()}
    assert places == {"checkpoint-00000006", "checkpoint-00000007"}


def test_without_a_whole_one_the_sentence_says_what_to_delete(tmp_path):
    checkpoints = saved(tmp_path, 4, 5)
    for place in (tmp_path / "checkpoints").iterdir():
        (place / ".metadata").unlink()
    with pytest.raises(CheckpointError, match=r"delete checkpoint\*\.pt there to begin again"):
        loaded(checkpoints, [])


class Trap:
    """Leaves a trace where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def test_nothing_that_somebody_put_into_one_is_run(tmp_path):
    checkpoints = saved(tmp_path, 4, 5)
    (newest(tmp_path) / ".metadata").write_bytes(pickle.dumps(Trap(tmp_path / "trace")))
    assert loaded(checkpoints, []) == (4, 4.0)
    lines: list[str] = []
    (tmp_path / "checkpoint.pt").write_bytes(pickle.dumps(Trap(tmp_path / "trace")))
    assert loaded(checkpoints, lines) == (4, 4.0)
    assert "could run code" in lines[0]
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("damage", ["trap", "cut", "empty"])
def test_what_cannot_be_read_is_refused_with_what_to_do_and_not_with_how_to_run_it(tmp_path, damage):
    file = tmp_path / "checkpoint.pt"
    torch.save({"shards": 3}, file)
    assert read_small(file) == {"shards": 3}
    whole = file.read_bytes()
    file.write_bytes(
        {
            "trap": pickle.dumps(Trap(tmp_path / "trace")),
            "cut": whole[: len(whole) // 2],
            "empty": b"",
        }[damage]
    )
    with pytest.raises(
        CheckpointError,
        match=r"checkpoint\.pt cannot be read .*: delete it to begin again",
    ) as refused:
        read_small(file)
    assert "weights_only" not in str(refused.value) and "trust" not in str(refused.value)
    assert not (tmp_path / "trace").exists()


# Of a large tensor torch's writer says only that it is at an unexpected place.
@pytest.mark.parametrize("size", [1000, 1_000_000])
def test_a_full_disk_costs_the_new_one_alone_and_is_named(tmp_path, size):
    checkpoints = saved(tmp_path, 4)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"File too large.*the one before it stays"):
            checkpoints.save(5, {"weights": {"w": torch.zeros(size)}}, {"task": {}})
            checkpoints.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert loaded(checkpoints, []) == (4, 4.0)
    assert [place.name for place in (tmp_path / "checkpoints").iterdir()] == ["checkpoint-00000004"]


def test_a_full_disk_is_named_where_another_process_met_it():
    assert "the disk is full" in reason_of(
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598")
    )
