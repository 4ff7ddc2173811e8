"""The comparisons in a folder of runs: which run is which arm with which seed, and what a figure is of each."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from contracts.constants import FILE_JOB, FILE_REPORT
from engine.folders.inputs import job_of, path_of
from evaluation.claims.table import DEV_SETS, START, STUDENT, Figure, Question
from towers.items import read_items

MEASURED = "claims-dev-sets.json"  # figures of dev sets by the name of a run's folder, beside the runs
STARTS = "claims-starts"  # items of what runs of `clip` started from, by the name of a run's folder, beside the runs


class Found(NamedTuple):
    """A figure over the seeds, and the contribution of every item [N], the mean over the seeds, where it has any."""

    values: list[float]
    items: np.ndarray | None
    devices: list[str]  # `cpu` or `cuda`, of the runs that were measured


@dataclass(frozen=True)
class Comparison:
    """Runs by arm and seed that one `--ablate` compared, and figures of dev sets by run."""

    arms: dict[str, dict[int, Path]]
    dev_sets: dict[str, dict[str, float]]
    changed: float

    def has_arms(self, question: Question) -> bool:
        """Whether there are finished runs of both sides, whatever has been measured of them."""
        return {figure.arm for figure in (question.more, question.than)} <= {*self.arms, STUDENT}

    def seeds_of(self, figure: Figure) -> set[int]:
        """With which seeds there is this figure."""
        if figure.arm == STUDENT:  # one model, beside runs of every seed
            is_there = figure.metric in self.dev_sets.get(STUDENT, {})
            return {seed for arm in self.arms.values() for seed in arm} if is_there else set()
        return {seed for seed in self.arms.get(figure.arm, {}) if self.value(figure, seed) is not None}

    def found(self, figure: Figure, seeds: list[int]) -> Found:
        """The figure with each of these seeds; one value where the same run is behind all of them."""
        if figure.arm == STUDENT:
            return Found([self.dev_sets[STUDENT][figure.metric]], None, [])
        folders = [self.folder(figure, seed) for seed in seeds]
        values = [value for seed in seeds if (value := self.value(figure, seed)) is not None]
        if len(set(folders)) == 1:
            values = values[:1]
        runs = [folder for folder in folders if folder is not None]
        devices = sorted({str(report_of(run)["device"]).partition(":")[0] for run in runs})
        items = [read_items(start_of(run) if figure.of == START else run).get(figure.metric) for run in runs]
        if figure.of == DEV_SETS or any(of_seed is None for of_seed in items):
            return Found(values, None, devices)
        return Found(values, np.mean([of_seed for of_seed in items if of_seed is not None], axis=0), devices)

    def value(self, figure: Figure, seed: int) -> float | None:
        """The figure of one run; None where its report has none."""
        if figure.arm == STUDENT:
            return self.dev_sets.get(STUDENT, {}).get(figure.metric)
        folder = self.folder(figure, seed)
        if folder is None:
            return None
        if figure.of == START:
            items = read_items(start_of(folder)).get(figure.metric)
            return None if items is None else float(items.mean())
        figures = self.dev_sets.get(folder.name, {}) if figure.of == DEV_SETS else report_of(folder).get("metrics", {})
        return figures.get(figure.metric)

    def folder(self, figure: Figure, seed: int) -> Path | None:
        """The run of the figure's stage: that of the arm, or one behind it."""
        run = self.arms.get(figure.arm, {}).get(seed)
        return None if run is None else run_behind(run, "clip" if figure.of in (DEV_SETS, START) else figure.of)


def comparisons_in(runs: Path) -> list[Comparison]:
    """All that were started in a folder of one recipe's runs, with the runs that are finished."""
    dev_sets = json.loads((runs / MEASURED).read_text(encoding="utf-8")) if (runs / MEASURED).exists() else {}
    found = []
    for file in sorted(runs.glob(f"compare-*/{FILE_JOB}")):
        arms: dict[str, dict[int, Path]] = {}
        for role, uri in job_of(file.parent)["inputs"].items():
            name, seed = role.rsplit("_", 1)
            folder = moved_with(file.parent, path_of(uri))
            if report_of(folder):
                arms.setdefault(name, {})[int(seed)] = folder
        found.append(Comparison(arms, dev_sets, file.stat().st_mtime))
    return found


def run_behind(folder: Path, stage: str) -> Path | None:
    """The run of a stage that a run is, or that it read, however far behind it."""
    if not (folder / FILE_JOB).exists():
        return None
    job = job_of(folder)
    if job["config"]["stage"] == stage:
        return folder
    behind = (
        run_behind(moved_with(folder, path_of(uri)), stage) for role, uri in job["inputs"].items() if role != "data"
    )
    return next((found for found in behind if found is not None), None)


def moved_with(folder: Path, named: Path) -> Path:
    """A run that another one's job names, or the one of its name beside it where runs have been moved together."""
    return named if named.exists() else folder.parent / named.name


def start_of(run: Path) -> Path:
    """Where it is kept what a run of `clip` started from."""
    return run.parent / STARTS / run.name


def report_of(folder: Path) -> dict:
    """The report of a finished run; empty where there is none."""
    file = folder / FILE_REPORT
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
