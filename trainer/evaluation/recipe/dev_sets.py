"""The exported model on the dev sets that a recipe names, and its text teacher beside it."""

import shutil
from pathlib import Path

from contracts.types import EvaluateConfig
from engine.run import Run
from evaluation.bench import Place
from evaluation.cache import VectorCache
from evaluation.measure import Measured, measure
from evaluation.progress import Progress
from evaluation.registry import BY_NAME
from evaluation.served import ServedModel
from evaluation.trained import TrainedModel

STEPS = 4  # of stage `evaluate`; the third is this
VECTORS = "vectors"


class StageProgress(Progress):
    """Progress of a measurement within a stage: a stop is noticed while vectors are computed."""

    def __init__(self, run: Run[EvaluateConfig]) -> None:
        super().__init__(quiet=True)
        self.run = run

    def tick(self, done: int, total: int, what: str) -> None:
        """Report the stage's step; its parts are not steps of their own."""
        self.run.tick(2, STEPS, dict, share=done / total)


def on_dev_sets(run: Run[EvaluateConfig], data: Path, model: ServedModel, taught_by: TrainedModel) -> Measured:
    """The exported model on the dev sets of the recipe; vectors are kept until the stage has ended, for its next attempt."""
    place = Place(data, VectorCache(run.output / VECTORS), StageProgress(run))
    sets = [BY_NAME[name] for name in run.config.get("dev_sets", [])]
    measured = measure(model, sets, place)
    # The teacher is a hundred times slower than what it taught: on texts alone.
    teacher = measure(taught_by, [row for row in sets if row.texts_only], place)
    for name, of_set in teacher["sets"].items():
        measured["sets"][name] |= of_set
    shutil.rmtree(run.output / VECTORS, ignore_errors=True)
    return measured
