"""Checkpoints of a loop: weights and optimiser as shards that any number of ranks can read, written beside the training.

`checkpoints/NAME-STEP/` holds the tensors in torch's distributed format, every rank its own part, on the disk of its machine. `NAME.pt` names that
folder and holds what is small: the step, the task's own state, the random numbers of every rank. It is replaced last and in
one step, so a folder that it does not name was not finished. The generation before stays until the next one is whole, and is
read where the newest cannot be.
"""

import io
import os
import pickle
import shutil
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import torch
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save

from engine.folders.saved import FOLDER, PREVIOUS, UNREADABLE, CheckpointError, reason_of
from engine.world import World

# A process alone is what a machine with two cores has: no reason to warn at every checkpoint.
warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)

FAILURES = (*UNREADABLE, CheckpointException)

Tensors = dict[str, Any]  # dicts of tensors by name: weights, state of the optimiser, averaged weights


class Checkpoints:
    """Of one loop in one output folder. `save` returns at once; `wait` until what was saved is whole."""

    def __init__(self, output: Path, name: str, world: World) -> None:
        self.output, self.name, self.world = output, name, world
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[None] | None = None
        self._newest_is_damaged = False  # found by `load`: the one before it is not given up for it

    def save(self, step: int, tensors: Tensors, small: dict[str, Any]) -> None:
        """Save a generation in the background, from a copy that is made now.

        `small` must be readable without running code: numbers, strings, tensors, and lists, tuples and dicts of them.
        """
        self.wait()
        folder = f"{self.name}-{step:08d}"
        place = self.output / FOLDER / folder
        if self.world.leads_machine:
            shutil.rmtree(place, ignore_errors=True)
        written = async_save(
            tensors,
            storage_writer=FileSystemWriter(place),
            process_group=self.world.storage,
            no_dist=self.world.size == 1,
        )
        # A copy of the small things, too: lists grow and tensors change while the large ones are written.
        copied = io.BytesIO()
        if self.world.leads_machine:
            torch.save({**small, "step": step, "folder": folder}, copied)
        self._pending = self._writer.submit(self._finish, cast(Future[Any], written), place, copied.getbuffer())

    def wait(self) -> None:
        """Until the last save is whole."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            try:
                pending.result()
            except FAILURES as error:
                raise CheckpointError(
                    f"a checkpoint could not be written ({reason_of(first_of(error))}): the one before it stays. Run the same job "
                    "again once that is solved"
                ) from error

    def load(
        self, places_for: Callable[[set[str]], Tensors], log: Callable[[str], None]
    ) -> tuple[Tensors, dict[str, Any]]:
        """Read the newest generation that is whole; returns its tensors, and its `small`.

        `places_for` gives the tensors to be filled, of those whose names the generation has (`weights.net.bias`).
        """
        reasons = []
        for name in (self.name, self.name + PREVIOUS):
            file = self.output / f"{name}.pt"
            if not file.exists():
                continue
            try:
                small = torch.load(file, map_location="cpu", weights_only=True)
                reader = Reader(self.output / FOLDER / small["folder"])
                tensors = places_for(set(reader.read_metadata().state_dict_metadata))
                load(
                    tensors,
                    storage_reader=reader,
                    process_group=self.world.storage,
                    no_dist=self.world.size == 1,
                )
            except FAILURES as error:
                reasons.append(f"{file.name}: {reason_of(first_of(error))}")
                log(f"{reasons[-1]}; trying the one before it")
                continue
            log(f"resumed from {file.name}, step {small['step']}")
            self._newest_is_damaged = bool(reasons)
            return tensors, small
        raise CheckpointError(
            f"no checkpoint in {self.output} can be read ({'; '.join(reasons)}): "
            f"delete {self.name}*.pt there to begin again"
        )

    def _finish(self, written: Future[Any], place: Path, small: memoryview) -> None:
        """Name the folder once all ranks have written their parts."""
        try:
            written.result()
        except BaseException:
            if self.world.leads_machine:
                shutil.rmtree(place, ignore_errors=True)
            raise
        # On every machine: what it says is the same, and it decides there which folders are old.
        if not self.world.leads_machine:
            return
        newest, before = self.output / f"{self.name}.pt", self.output / f"{self.name}{PREVIOUS}.pt"
        temporary = self.output / f"{self.name}.pt.tmp"
        temporary.write_bytes(small)
        if newest.exists() and not self._newest_is_damaged:
            os.replace(newest, before)
        os.replace(temporary, newest)
        self._newest_is_damaged = False
        self._forget_others()

    def _forget_others(self) -> None:
        """Remove generations that neither file names; none while one of the files cannot be read."""
        kept = set()
        for name in (self.name, self.name + PREVIOUS):
            file = self.output / f"{name}.pt"
            if file.exists():
                try:
                    kept.add(torch.load(file, map_location="cpu", weights_only=True)["folder"])
                except FAILURES:
                    return
        for place in (self.output / FOLDER).glob(f"{self.name}-*"):
            if place.name not in kept and place.name.removeprefix(f"{self.name}-").isdigit():
                shutil.rmtree(place, ignore_errors=True)


def first_of(error: BaseException) -> BaseException:
    """What went wrong on the first of the ranks that failed."""
    return next(iter(error.failures.values()))[0] if isinstance(error, CheckpointException) else error


class Reader(FileSystemReader):
    """Reads the index of a checkpoint without running what a stranger may have written into it: it is a pickle."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """The index, with the id under which this reader knows it."""
        data = (Path(self.path) / ".metadata").read_bytes()
        metadata = cast(Metadata, IndexUnpickler(io.BytesIO(data)).load())
        known = getattr(metadata, "storage_meta", None) or StorageMeta()
        known.load_id = self.load_id
        metadata.storage_meta = known
        return metadata


PLAIN = ("torch.serialization._get_layout", "collections.OrderedDict", "builtins.set", "pathlib.PosixPath")


class IndexUnpickler(pickle.Unpickler):
    """Unpickles only what torch's own index of a checkpoint consists of."""

    def find_class(self, module: str, name: str) -> Any:
        """The class or function of that name, where it is one of those."""
        is_index = module.startswith("torch.distributed.checkpoint.") and name.lstrip("_")[:1].isupper()
        is_torch = module == "torch" and (name == "Size" or isinstance(getattr(torch, name, None), torch.dtype))
        if is_index or is_torch or f"{module}.{name}" in PLAIN:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"the index names {module}.{name}, which is no part of a checkpoint")
