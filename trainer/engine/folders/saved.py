"""What a stopped attempt has left to go on from: its names, and reading it without running what it says.

Apart from `engine.checkpoint`, which writes and reads checkpoints of a training: torch's distributed format takes a second to
import, and a stage that trains nothing, or is done before its first checkpoint, needs none of it.
"""

import pickle
import re
from pathlib import Path
from typing import Any

import torch

FOLDER = "checkpoints"  # of tensors; files that name them lie beside it
PREVIOUS = "-previous"  # ends the name of the generation before
UNWRITTEN = re.compile("unexpected pos|PytorchStreamWriter")  # of torch's writer, where a file cannot grow
UNREADABLE = (OSError, RuntimeError, KeyError, EOFError, ValueError, pickle.UnpicklingError)


class CheckpointError(Exception):
    """One cannot be written, or none can be read; the sentence says why and what to do."""


def has_checkpoint(output: Path, name: str) -> bool:
    """Whether a loop of that name saved anything."""
    return any((output / f"{name}.pt").exists() for name in (name, name + PREVIOUS))


def read_small(file: Path) -> dict[str, Any]:
    """What a stage that goes through files has saved; nothing that the file says is run."""
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise CheckpointError(f"{file} cannot be read ({reason_of(error)}): delete it to begin again") from error


def reason_of(error: BaseException) -> str:
    """The first line of what went wrong: what the disk said, where torch hides it behind words of its own."""
    said = disk_error_behind(error)
    if said is not None:
        return str(said)
    if isinstance(error, pickle.UnpicklingError) and "weights_only" in str(error):
        # torch's own words advise to read the file all the same, which runs what it says.
        return "it is no checkpoint, or holds more than numbers, strings and tensors, which could run code"
    if isinstance(error, RuntimeError) and UNWRITTEN.search(str(error)):
        # From another process it comes without what was behind it.
        return "less was written than should have been, most likely because the disk is full"
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def disk_error_behind(error: BaseException | None) -> OSError | None:
    """The error of the system that an exception is, or was raised while it was handled."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
