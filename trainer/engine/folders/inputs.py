"""Where the inputs of a job are, what a finished one was told to do, and that a stage reads of them what the job names."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contracts.constants import FILE_JOB
from contracts.parts import PARTED, is_read, part_of


def path_of(uri: str) -> Path:
    """A local path from a `file://` URI or a plain path."""
    if uri.startswith("s3://"):
        raise ValueError(f"{uri}: S3 is mounted or copied by the container's entry, a stage reads local files")
    return Path(uri.removeprefix("file://"))


def job_of(folder: Path) -> dict[str, Any]:
    """The job that a run was told to do."""
    return json.loads((folder / FILE_JOB).read_text(encoding="utf-8"))


def only_parts(folder: Path, role: str, parts: list[str], stage: str) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that refuses to open what the job does not name: its address may not hold it, a container not fetch it."""
    prefix, key = f"{folder.resolve()}{os.sep}", PARTED[role]

    def refuse_others(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], str | os.PathLike):
            return
        path = os.path.realpath(arguments[0])
        if path.startswith(prefix) and not is_read(path.removeprefix(prefix), role, parts):
            name = path.removeprefix(prefix)
            raise PermissionError(
                f"stage {stage} reads {name} of {role}, but its row in STAGES names only "
                f"{', '.join(parts)}: name {part_of(name, role)} under `{key}` there"
            )

    return refuse_others
