"""The one training loop: steps, gradients over all ranks, the optimiser, the average, progress, checkpoints, the end."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed as dist
from torch import nn

from contracts.types import Parallel, Schedule
from engine import generators
from engine.folders.saved import has_checkpoint
from engine.optim import Average, adamw, clip_gradients, set_lr
from engine.run import Run
from engine.sharding import copy_on_cpu, is_split, place, take_whole
from engine.task import Parts, Task
from engine.world import World

if TYPE_CHECKING:
    from engine.checkpoint import Checkpoints

CHECK_EVERY = 50  # steps between looks at whether all gradients were finite; before a checkpoint there is one, too


class NotFiniteError(Exception):
    """A gradient was infinite or no number; the sentence says of which step, and which checkpoint is still good."""


@dataclass
class Loop:
    """The training of one task. A stage that trains several names them; `before` steps of `total` were other loops'.

    The schedule's number of steps is read at every step: a task that has a time limit shortens it.
    """

    run: Run[Any]
    task: Task
    schedule: Schedule
    parallel: Parallel | None = None
    ema_decay: float | None = None
    name: str = "checkpoint"
    before: int = 0
    total: int | None = None

    @property
    def resumes(self) -> bool:
        """Whether an earlier attempt left a checkpoint."""
        return has_checkpoint(self.run.output, self.name)

    def train(self) -> dict[str, nn.Module]:
        """Train to the end; the modules with what was learned, or with its average where there is one: the task's own, or on
        rank 0 whole copies of them where their blocks were split between the ranks."""
        try:
            return self._train()
        finally:
            self.task.close()

    def _train(self) -> dict[str, nn.Module]:
        run, task, schedule, world = self.run, self.task, self.schedule, self.run.world
        modules = nn.ModuleDict(task.modules)
        world.copy_from_first([*modules.parameters(), *modules.buffers()])
        parallel = self.parallel
        splits = parallel is not None and parallel["weights"] == "sharded" and world.size > 1
        plain = copy_on_cpu(modules) if splits and world.leads else modules
        if parallel is not None:
            place(task.blocks(), parallel, world)
        optimizer = adamw(task.groups(), schedule)
        trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        average = Average(averaged(task), self.ema_decay) if self.ema_decay is not None else None
        saver = Saver(self, Trained(modules, optimizer, average))
        step = saver.resume()
        gradients, flags, finite = Gradients(trained, world), Flags(world), Finite()
        run.note_first_step()
        while step < schedule["steps"]:
            optimizer.zero_grad(set_to_none=True)
            parts = task.backward(step)
            gradients.add_up(parts)
            finite.see(step, clip_gradients(optimizer, schedule["grad_clip"]))
            set_lr(optimizer, step, schedule)
            optimizer.step()
            task.constrain()
            if average is not None:
                average.update(step)
            figures = task.measure(step, parts)
            step += 1
            run.progress(self.before + step, self.total or schedule["steps"], figures)
            stops, saves = flags.any(run.stop_requested, run.checkpoint_is_due())
            if stops or saves or step % CHECK_EVERY == 0:
                finite.check(saver.saved_step)
            if stops or saves:
                saver.save(step)
            if stops:
                flags.close()
                saver.wait()
                run.stop(self.before + step, self.total or schedule["steps"])
        flags.close()
        finite.check(saver.saved_step)
        saver.wait()
        if average is not None:
            average.take()
        if splits:
            take_whole(modules, plain, world)
        return {name: plain[name] for name in task.modules}


def averaged(task: Task) -> list[tuple[str, torch.Tensor]]:
    """The parameters that an average is kept of, by name."""
    return [
        (f"{name}.{parameter_name}", parameter)
        for name in (task.modules if task.averaged is None else task.averaged)
        for parameter_name, parameter in task.modules[name].named_parameters()
        if parameter.requires_grad
    ]


@dataclass
class Trained:
    """What a checkpoint holds of a loop."""

    modules: nn.ModuleDict
    optimizer: torch.optim.Optimizer
    average: Average | None

    def tensors(self) -> dict[str, Any]:
        """Weights that train, the optimiser's state of each, and averages, by name. Rates follow from the recipe and the step."""
        states = {
            name: self.optimizer.state[value] for name, value in self.parameters() if value in self.optimizer.state
        }
        return self._with_states(states)

    def places_for(self, names: set[str]) -> dict[str, Any]:
        """The same, to be filled from a checkpoint that holds tensors of these names; `take` comes after it.

        A parameter that had no gradient yet has no state in it: it gets none.
        """
        states = {
            name: self._new_state(value) for name, value in self.parameters() if f"optimizer.{name}.step" in names
        }
        return self._with_states(states)

    def take(self, tensors: dict[str, Any]) -> None:
        """Give the optimiser what was loaded; weights and averages are in place already."""
        for name, value in self.parameters():
            if name in tensors["optimizer"]:
                self.optimizer.state[value] = tensors["optimizer"][name]

    def parameters(self) -> list[tuple[str, torch.Tensor]]:
        """Those that train, by name."""
        return [(name, value) for name, value in self.modules.named_parameters() if value.requires_grad]

    def _with_states(self, states: dict[str, Any]) -> dict[str, Any]:
        weights = {name: value.detach() for name, value in self.parameters()}
        kept = {"weights": weights, "optimizer": states}
        return kept | ({"average": self.average.weights} if self.average is not None else {})

    def _new_state(self, value: torch.Tensor) -> dict[str, torch.Tensor]:
        # As AdamW makes it at the first gradient; a fused one counts its steps on the device.
        device = value.device if self.optimizer.param_groups[0]["fused"] else torch.device("cpu")
        step = torch.zeros((), dtype=torch.float32, device=device)
        return {
            "step": step,
            "exp_avg": torch.zeros_like(value.detach()),
            "exp_avg_sq": torch.zeros_like(value.detach()),
        }


class Saver:
    """Checkpoints of a loop: what is trained, the task's own state, and the random numbers of every rank."""

    def __init__(self, loop: Loop, trained: Trained) -> None:
        self.loop, self.run, self.task, self.trained = loop, loop.run, loop.task, trained
        self.saved_step = 0

    @cached_property
    def checkpoints(self) -> "Checkpoints":
        """Opened where there is one to read or to write."""
        from engine.checkpoint import Checkpoints  # a second of imports, which short trainings do without

        return Checkpoints(self.run.output, self.loop.name, self.run.world)

    def resume(self) -> int:
        """Go on from the newest checkpoint; returns the step to do next."""
        rank = self.run.world.rank
        if not self.loop.resumes:
            if self.run.world.size > 1:
                self._seed(0, rank)
            return 0
        tensors, small = self.checkpoints.load(self.trained.places_for, self.run.log)
        self.trained.take(tensors)
        self.task.load_state(small["task"])
        if rank < len(small["random"]):
            generators.restore(small["random"][rank])
        else:
            self._seed(small["step"], rank)
        self.run.seconds_before = small["seconds"]
        self.saved_step = small["step"]
        return small["step"]

    def save(self, step: int) -> None:
        """Save in the background."""
        small = {
            "task": self.task.state(),
            "random": self.run.world.gather(generators.state()),
            "seconds": self.run.seconds(),
        }
        self.checkpoints.save(step, self.trained.tensors(), small)
        self.run.note_checkpoint()
        self.saved_step = step

    def wait(self) -> None:
        """Until what was saved is whole."""
        if self.saved_step > 0:
            self.checkpoints.wait()

    def _seed(self, step: int, rank: int) -> None:
        # Dropout of its own on every rank.
        generators.seed_everything(self.run.seed * 1_000_003 + step + 7919 * rank)


class Gradients:
    """The gradients of all parameters, added up over the ranks. Those of sharded parameters are already.

    What has a gradient may differ between ranks and steps: a batch has regions or none. What no rank has one of keeps none, as
    in one process, where the optimiser leaves it alone.
    """

    def __init__(self, parameters: Sequence[torch.Tensor], world: World) -> None:
        self.parameters = [parameter for parameter in parameters if not is_split(parameter)]
        self.world = world

    def add_up(self, parts: Parts) -> None:
        """Once a step, after the last backward pass, with the parts of the loss."""
        if self.world.size == 1:
            return
        used = self.world.any_has([parameter.grad is not None for parameter in self.parameters])
        for parameter in itertools.compress(self.parameters, used):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        found = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        self.world.add_up([*found, *parts.values()])


class Flags:
    """Whether any rank was asked to stop or wants a checkpoint.

    With several ranks the answer is that to the flags of the step before: the question travels while the next step computes. A
    question that was asked before the last yes was acted on asks for the same again: it is not answered with yes.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.before: tuple[bool, ...] = (False, False)
        self.flags = torch.zeros(2, dtype=torch.int64)
        self.work: Any = None

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Of each flag, whether it holds on any rank."""
        if self.world.size == 1:
            return flags
        if self.work is not None:
            self.work.wait()
        found = tuple(bool(flag) for flag in self.flags.tolist())
        answer = self.before = tuple(now and not before for now, before in zip(found, self.before, strict=True))
        self.flags = torch.tensor([int(flag) for flag in flags])
        self.work = dist.all_reduce(self.flags, dist.ReduceOp.MAX, group=self.world.control, async_op=True)
        return answer

    def close(self) -> None:
        """After the last question: nobody may leave while it travels."""
        if self.work is not None:
            self.work.wait()
            self.work = None


class Finite:
    """Whether all gradients were finite, looked at now and then: each look waits for a GPU."""

    def __init__(self) -> None:
        self.norms: list[tuple[int, torch.Tensor]] = []

    def see(self, step: int, norm: torch.Tensor) -> None:
        """The norm of the gradient of a step (0-based)."""
        self.norms.append((step, norm.detach()))

    def check(self, saved_step: int) -> None:
        """Raises where one was not; no checkpoint has been written since."""
        for step, norm in self.norms:
            if not torch.isfinite(norm):
                kept = (
                    f"the checkpoint of step {saved_step} is whole" if saved_step else "no checkpoint was written yet"
                )
                raise NotFiniteError(
                    f"the gradient of step {step + 1} is {norm.item()}: {kept}. A lower schedule.lr, more warmup_steps or "
                    "a smaller schedule.grad_clip usually help; run again after changing the recipe"
                )
        self.norms.clear()
