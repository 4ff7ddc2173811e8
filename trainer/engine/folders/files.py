"""Files that a stage or a command writes: whole or not at all, and described by their digest."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from contracts.types import Artefact
from engine.folders.temporary import temporary_of


def artefact(folder: Path, path: str) -> Artefact:
    """The descriptor of a file: path relative to `folder`, SHA-256 digest, size in bytes."""
    return {"path": path, "digest": f"sha256:{digest_of_file(folder / path)}", "size": (folder / path).stat().st_size}


def digest_of_file(file: Path) -> str:
    """SHA-256, in hexadecimal."""
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def write_atomically(file: Path, text: str) -> None:
    """Replace a text file in one step."""
    write_bytes_atomically(file, text.encode("utf-8"))


def write_bytes_atomically(file: Path, data: bytes | memoryview) -> None:
    """Replace a file in one step."""
    temporary = file.with_name(file.name + ".tmp")
    temporary.write_bytes(data)
    os.replace(temporary, file)


@contextmanager
def replacing(file: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the place of `file` when the block ends, in one step; nothing is left where the block fails.

    For folders that several write to: the name is nobody else's. A process number would not do, which is 1 in every container.
    """
    # Not by tempfile, whose files nobody else may read.
    temporary = temporary_of(file)
    try:
        with temporary.open("xb") as out:
            yield out
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
