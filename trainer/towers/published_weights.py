"""Refuses weights from elsewhere that are not what they seem: what Git LFS left in their place, and a checkpoint that lacks some."""

import pickle
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from engine.folders.saved import UNREADABLE as UNREADABLE_SAVED

# What libraries raise of files that are broken, or of a configuration that does not belong to them.
UNREADABLE = (*UNREADABLE_SAVED, SafetensorError, zipfile.BadZipFile, AttributeError, TypeError)
ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
LONGEST = 400  # characters of what a library says; some list every tensor
POINTER = b"version https://git-lfs"  # begins what Git LFS leaves in a file's place (its specification)


class NoWeights(ValueError):
    """A file or a folder without the weights that it should have; the message says what to do."""


@contextmanager
def pointers_told(source: Path) -> Iterator[None]:
    """Where weights cannot be read and Git LFS left a pointer in their place, NoWeights says both; other errors pass."""
    try:
        yield
    except UNREADABLE as error:
        if pointer_in(source) is None:
            raise
        raise NoWeights(in_one_line(error, source)) from error


def pointer_in(source: Path) -> Path | None:
    """The first file of weights, in a folder or alone, in whose place Git LFS left a pointer."""
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    found = (file for file in files if file.suffix in ENDINGS and file.is_file() and begins_as_pointer(file))
    return next(found, None)


def begins_as_pointer(file: Path) -> bool:
    """Whether a file begins as Git LFS begins its pointers."""
    with file.open("rb") as opened:
        return opened.read(len(POINTER)) == POINTER


def refuse_missing(where: object, missing: Iterable[object]) -> None:
    """Raise NoWeights where a library found no values for some tensors and made them up. `missing`: their names."""
    names = sorted(map(str, missing))
    if names:
        raise NoWeights(
            f"{where} lacks {len(names)} tensors of its architecture, such as {names[0]}: they would be random; the folder is "
            "incomplete or belongs to another architecture"
        )


def in_one_line(error: BaseException, source: Path) -> str:
    """What a library says of a source that it cannot read, and what Git LFS did not fetch of it."""
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, pickle.UnpicklingError):
        # torch's own words advise to read the file all the same, which runs what it says.
        said = (
            "it is no file of weights, or holds more than tensors, which could run code: ask its publisher for safetensors, or "
            "save its state_dict() alone"
        )
    elif isinstance(error, KeyError):
        said = f"it has no {error}"
    pointer = pointer_in(source)
    told = "" if pointer is None else f" ({pointer.name} is a pointer of Git LFS: `git lfs pull` fetches the file)"
    return f"{said if len(said) <= LONGEST else f'{said[:LONGEST]} …'}{told}"
