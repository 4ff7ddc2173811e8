"""Stage `evaluate`: measures the model on dev and reports JSON, a page with a plot and a table on standard error.

Teacher, float student and served tiers are measured against the same image vectors. Variants of the recipe, the control
from scratch among them, are measured by stage `compare`.
"""

import json

from contracts.types import EvaluateConfig
from engine.run import Run, write_atomically
from evaluation.card import with_dev_sets
from evaluation.measure import flat
from evaluation.page import Evaluation, render_page, render_table
from evaluation.recipe.dev_sets import STEPS, on_dev_sets
from evaluation.recipe.retrieval import STUDENT, retrieval_of_tiers
from evaluation.recipe.zero_shot import zero_shot_metrics
from evaluation.served import ServedModel

CARD = "MODEL_CARD.md"


def main() -> None:
    """Run the stage."""
    run = Run.start(EvaluateConfig)
    model = ServedModel(run.input("export"))
    served = {STUDENT if name == "base" else name: tier.embed for name, tier in model.tiers.items()}
    retrieval = retrieval_of_tiers(run, served)
    run.tick(1, STEPS)
    zero_shots = zero_shot_metrics(run, served)
    run.tick(2, STEPS)
    dev_sets = on_dev_sets(run, model)
    run.tick(3, STEPS)

    document: Evaluation = {
        "images": retrieval.images,
        "captions": retrieval.captions,
        "retrieval": retrieval.of_tiers,
        "zero_shot": zero_shots,
        "student_share_of_teacher_R@10": retrieval.kept(),
        "dev_sets": dev_sets,
    }
    write_atomically(run.output / "evaluation.json", json.dumps(document, indent=2))
    write_atomically(run.output / "evaluation.html", render_page(document))
    run.log("\n" + render_table(document))
    card = (run.input("export") / CARD).read_text(encoding="utf-8")
    write_atomically(run.output / CARD, with_dev_sets(card, dev_sets))
    figures = [*retrieval.of_tiers.items(), *zero_shots.items()]
    metrics = {f"{name}.{key}": value for name, found in figures for key, value in found.items()}
    metrics |= {f"student_share.{way}_R@10": share for way, share in retrieval.kept().items()} | flat(dev_sets)
    run.tick(STEPS, STEPS)
    run.finish(metrics, {"evaluation": "evaluation.json", "page": "evaluation.html", CARD: CARD})


if __name__ == "__main__":
    main()
