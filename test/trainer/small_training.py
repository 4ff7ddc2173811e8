"""A small training on any number of ranks: `python -m engine.launch --processes N small_training FOLDER [what happens]`.

`stop=K` asks rank 0, or `asked=R`, to stop after step K, `die=K` ends rank 1 at step K, `hang=K` waits for a signal there; `sharded=1` splits the
blocks between the ranks and computes their activations again, `fused=1` steps in one kernel, as on a GPU; from `late=K` on, but not in the last step,
one more parameter has a gradient; after step `due=K` the last checkpoint of rank 0 is old; with
`draws=1` every rank writes where its random numbers are; with `abort=1` what native libraries do at exit aborts the process.
"""

import ctypes
import os
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from contracts.types import InheritConfig, Parallel, Schedule, TrainingJob
from engine.loop import Loop
from engine.run import Run
from engine.sharding import Blocks
from engine.task import Figures, Parts, Task
from engine.world import end_process

SCHEDULE: Schedule = {
    "steps": 8,
    "warmup_steps": 2,
    "lr": 1e-2,
    "weight_decay": 0.1,
    "grad_clip": 1.0,
    "decay": "cosine",
}


def run_in(folder: Path) -> Run[InheritConfig]:
    """The run of a stage in a folder."""
    job = {"id": "small", "seed": 3, "inputs": {}, "output": str(folder), "config": {"stage": "inherit"}}
    run = Run(job_of(job), InheritConfig)
    run.begin()
    return run


def job_of(job: dict) -> TrainingJob:
    """Only what this training reads."""
    return job  # pyright: ignore[reportReturnType]


class Small(Task):
    """Contrast of two views of 12 rows, at a learned scale: a loss over the whole batch, as all of this project are."""

    def __init__(self, run: Run[InheritConfig], events: dict[str, int], dropout: float = 0.0) -> None:
        self.run, self.events, self.dropout = run, events, dropout
        self.modules = {
            "net": nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, 4)),
            "scale": nn.ParameterDict(
                {"log": nn.Parameter(torch.tensor(1.0)), "late": nn.Parameter(torch.tensor(0.0))}
            ),
        }
        self.losses: list[float] = []

    def blocks(self) -> Blocks:
        """The first matrix: the second stays on every rank."""
        net = self.modules["net"]
        first, *_ = (module for module in net.modules() if isinstance(module, nn.Linear))
        return Blocks(net, [first])

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Two views of the rows of a step."""
        rows = torch.randn(12, 6, generator=torch.Generator().manual_seed(step))
        return rows, rows + 0.1 * torch.randn(12, 6, generator=torch.Generator().manual_seed(1000 + step))

    def loss(self, step: int) -> tuple[torch.Tensor, Parts]:
        """InfoNCE one way."""
        world = self.run.world
        if self.events.get("die") == step and world.rank == 1:
            os._exit(3)
        if step == 0 and "draws" in self.events:
            (self.run.output / f"drawn-{world.rank}").write_text(f"{torch.get_rng_state().sum()}")
        if self.events.get("hang") == step:
            (self.run.output / f"waiting-{world.rank}").touch()
            while not self.run.stop_requested:
                time.sleep(0.01)
        views = [world.share(view) for view in self.batch(step)]
        a, b = (world.whole(F.normalize(self.modules["net"](view), dim=-1), 12) for view in views)
        scale = world.shared(self.modules["scale"]["log"].exp())  # pyright: ignore[reportIndexIssue]
        loss = F.cross_entropy(scale * a @ b.T, torch.arange(len(a)))
        if self.events.get("late", 99) <= step < SCHEDULE["steps"] - 1:
            loss = loss + (world.shared(self.modules["scale"]["late"]) - 1).square()  # pyright: ignore[reportIndexIssue]
        if self.events.get("nan") == step:
            loss = loss * float("nan")
        return loss, {"loss": loss / world.size}

    def measure(self, step: int, parts: Parts) -> Figures:
        """The loss."""
        self.losses.append(float(parts["loss"]))
        if self.events.get("stop") == step + 1 and self.run.world.rank == self.events.get("asked", 0):
            self.run.stop_requested = True
        if self.events.get("due") == step + 1 and self.run.world.leads:
            self.run._saved_at -= 3600
        return parts

    def state(self) -> dict:
        """The losses so far."""
        return {"losses": self.losses}

    def load_state(self, state: dict) -> None:
        """Put them back."""
        self.losses = state["losses"]


def train(folder: Path, events: dict[str, int], dropout: float = 0.0, schedule: Schedule = SCHEDULE) -> Small:
    """Train to the end, or to what happens."""
    run = run_in(folder)
    task = Small(run, events, dropout)
    sharded = "sharded" in events
    parallel: Parallel = {
        "weights": "sharded" if sharded else "replicated",
        "activation_checkpointing": sharded,
        "compile": False,
    }
    task.modules = Loop(run, task, schedule, parallel, ema_decay=0.9).train()
    return task


if __name__ == "__main__":
    place = Path(sys.argv[1])
    happens = {name: int(number) for name, number in (word.split("=") for word in sys.argv[2:])}
    if "abort" in happens:
        native = ctypes.CDLL(None)
        os.environ["WARM_PYTHON_ENDS_PLAINLY"] = "1"  # test/support/warm_python.py
        native.__cxa_atexit(ctypes.cast(native.abort, ctypes.c_void_p), None, None)
    in_one_kernel: Schedule = {**SCHEDULE, "fused": "fused" in happens}
    task = train(place, happens, schedule=in_one_kernel)
    task.run.leave_to_first()
    weights = {name: value for module in task.modules.values() for name, value in module.named_parameters()}
    torch.save({"weights": weights, "losses": task.losses}, place / "end.pt")
    end_process(task.run.world, 0)
