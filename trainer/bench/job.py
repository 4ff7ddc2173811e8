"""Writes the job of a stage that a measurement or a check runs."""

import json
from pathlib import Path
from typing import Any

from contracts.constants import FILE_JOB


def write_job(output: Path, config: dict[str, Any], inputs: dict[str, Path], **of_job: Any) -> Path:
    """The job of the stage that `config` names, into the folder that it writes to; returns its path."""
    output.mkdir(parents=True, exist_ok=True)
    job = {
        "id": output.name,
        "code": "sha256:" + "0" * 64,
        "inputs": {role: folder.as_uri() for role, folder in inputs.items()},
        "output": output.as_uri(),
        "config": config,
        **of_job,
    }
    file = output / FILE_JOB
    file.write_text(json.dumps(job), encoding="utf-8")
    return file
