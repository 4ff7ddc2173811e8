"""Several containers for one stage: the children of an AWS Batch array job each do some of its elements, the job after them joins.

An element is done once its report is in the run's folder, `elements/NUMBER.json`, which goes there after what it names. So a child
that is tried again does what is left of its own, and any number of children give the same result. Tars of the user's data are not
fetched but left in the store, an empty file in their place: the stage copies those of its elements one by one.
https://docs.aws.amazon.com/batch/latest/userguide/array_jobs.html
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from container.fetch import Fetch
from contracts.constants import ELEMENTS
from contracts.types import TrainingJob

REPORT = re.compile(rf"{ELEMENTS}/(\d+)\.json")
TAR = re.compile(r".*\.(tar|tar\.gz|tgz)")


@dataclass(frozen=True)
class Child:
    """One of `size` children of an array job; `number` counts from 0."""

    number: int
    size: int

    @classmethod
    def of(cls, env: Mapping[str, str]) -> "Child | None":
        """From AWS Batch's variables; None in every other job."""
        if "AWS_BATCH_JOB_ARRAY_INDEX" not in env:
            return None
        return cls(int(env["AWS_BATCH_JOB_ARRAY_INDEX"]), int(env["AWS_BATCH_JOB_ARRAY_SIZE"]))

    def does(self, path: str) -> bool:
        """Whether a file is the report of an element that is this child's."""
        found = REPORT.fullmatch(path)
        return found is not None and int(found[1]) % self.size == self.number

    def file(self, name: str) -> str:
        """This child's own file in place of one that a job has, such as its log; gone when the elements are joined."""
        return f"{ELEMENTS}/child-{self.number:05d}-{name}"


def is_report(path: str) -> bool:
    """Whether a file says that an element is done."""
    return REPORT.fullmatch(path) is not None


def left_in_store(job: TrainingJob, fetches: Iterable[Fetch]) -> list[Fetch]:
    """The tars that the stage copies when it comes to them: those of its sources whose elements are whole tars."""
    config: Any = job["config"]
    sources = config.get("pairs", [])
    # Fine-tuning's formats may look into any file of a folder.
    if any(source["format"] == "any" and TAR.fullmatch(source["path"]) is None for source in sources):
        return []
    # Held by a digest of its index, or it could not be checked later; `class_images` is read whole.
    wanted = (fetch for fetch in fetches if fetch.digest is not None and fetch.path != config.get("class_images"))
    return [fetch for fetch in wanted if TAR.fullmatch(fetch.path)]


def hold_places(left: Iterable[Fetch]) -> None:
    """An empty file for each tar that is left: patterns find it, and reading it before it is copied fails."""
    for fetch in left:
        fetch.file.parent.mkdir(parents=True, exist_ok=True)
        fetch.file.touch()


def remote_inputs(job: TrainingJob, left: list[Fetch]) -> dict[str, Any]:
    """What the stage is told of inputs of which files are left in the store."""
    folders = {fetch.folder.uri for fetch in left}
    remote = {role: uri for role, uri in job["inputs"].items() if uri in folders}
    return {"remote_inputs": remote} if remote else {}
