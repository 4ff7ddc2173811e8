"""Measures what `clip` does not: the teacher and the control on captions in other languages, and the exported model beside them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.folders.files import write_atomically
from evaluation.bench import Figures, Model, Place
from evaluation.claims.arms import MEASURED, Comparison, report_of, run_behind
from evaluation.claims.table import BASE, STUDENT
from evaluation.measure import measure, missing_file, units
from evaluation.registry import BY_NAME
from evaluation.sets.texts import LANGUAGES

SETS = ("flickr-zh", "multi30k")
ARMS = (BASE, "control")


def measure_languages(runs: Path, comparisons: list[Comparison], exported: Path | None, place: Place) -> list[str]:
    """Write the figures of every finished run of the arms, and of an exported model, beside the runs; reasons of what is missing.

    What has been measured is not measured again, except for the exported model, whose vectors are kept.
    """
    file = runs / MEASURED
    known: dict[str, Figures] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    missing = {name: missing_file(BY_NAME[name], place) for name in SETS}
    sets = [BY_NAME[name] for name, missed in missing.items() if missed is None]
    wanted = list(models(runs_of(comparisons), known, exported)) if sets else []
    place.progress.expect(len(wanted) * units(sets, place, [BASE]))
    for name, open_one in wanted:
        model = open_one()
        tier = next(iter(model.tiers))
        found = measure(model, sets, place, [tier])
        figures = {
            f"{of_set}.{key}": value
            for of_set, by_tier in found["sets"].items()
            for key, value in by_tier[tier].items()
        }
        recalls = [
            figures[f"multi30k.{language}_R@1"] for language in LANGUAGES if f"multi30k.{language}_R@1" in figures
        ]
        if recalls:
            figures["multi30k.mean_R@1"] = sum(recalls) / len(recalls)
        if figures:
            known[name] = figures
            write_atomically(file, json.dumps(known, indent=2))
    return [f"{name} was left out: the data folder has no {missed}" for name, missed in missing.items() if missed]


def runs_of(comparisons: list[Comparison]) -> Iterator[Path]:
    """The runs of `clip` of both arms, the same run once."""
    found = (
        run_behind(run, "clip") for by_arm in comparisons for arm in ARMS for run in by_arm.arms.get(arm, {}).values()
    )
    return iter(dict.fromkeys(run for run in found if run is not None and report_of(run)))


def models(
    folders: Iterator[Path], known: dict[str, Figures], exported: Path | None
) -> Iterator[tuple[str, Callable[[], Model]]]:
    """(name in the file, how to open it) of what is to be measured: one after the other, for a language model takes memory."""
    from evaluation.served import ServedModel
    from evaluation.trained import TrainedModel

    for folder in folders:
        if folder.name not in known:
            yield folder.name, lambda folder=folder: TrainedModel(folder)
    if exported is not None:
        yield STUDENT, lambda: ServedModel(exported)
