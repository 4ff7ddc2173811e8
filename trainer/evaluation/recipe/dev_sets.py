"""The exported model on the dev sets that a recipe names, and its text teacher beside it."""

import shutil
from pathlib import Path

from contracts.types import EvaluateConfig
from engine.run import Run
from evaluation.bench import Place
from evaluation.cache import VectorCache
from evaluation.measure import Measured, measure, units
from evaluation.progress import Progress
from evaluation.registry import BY_NAME
from evaluation.served import ServedModel
from evaluation.trained import TrainedModel

STEPS = 4  # of stage `evaluate`; the third is this
VECTORS = "vectors"
TEACHER = (
    30.0  # what a set costs by the text teacher, beside a tier that it taught: 500 s and 17 s of the embedded recipe's
)


class StageProgress(Progress):
    """Progress of a measurement within a stage: a stop is noticed while vectors are computed."""

    def __init__(self, run: Run[EvaluateConfig]) -> None:
        super().__init__(quiet=True)
        self.run = run

    def tick(self, done: int, total: int, what: str) -> None:
        """Report the stage's step with the share of it that is done; its parts are not steps of their own."""
        super().tick(done, total, what)
        self.run.tick(2, STEPS, dict, share=self.share)


def on_dev_sets(run: Run[EvaluateConfig], data: Path, model: ServedModel, taught_by: TrainedModel) -> Measured:
    """The exported model on the dev sets of the recipe; vectors are kept until the stage has ended, for its next attempt."""
    place = Place(data, VectorCache(run.output / VECTORS), StageProgress(run))
    sets = [BY_NAME[name] for name in run.config.get("dev_sets", [])]
    # The teacher is far slower than what it taught: on texts alone.
    of_texts = [row for row in sets if row.texts_only]
    place.progress.expect(units(sets, place, [*model.tiers]))
    place.progress.expect(units(of_texts, place, [*taught_by.tiers]), TEACHER)
    measured = measure(model, sets, place)
    teacher = measure(taught_by, of_texts, place, cost=TEACHER)
    for name, of_set in teacher["sets"].items():
        measured["sets"][name] |= of_set
    shutil.rmtree(run.output / VECTORS, ignore_errors=True)
    return measured
