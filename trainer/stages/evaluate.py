"""Stage `evaluate`: measures the model on dev and reports JSON, a page with a plot and a table on standard error.

Teacher, float student and served tiers are measured against the same image vectors. Variants of the recipe, the control
from scratch among them, are measured by stage `compare`.
"""

from contracts.types import EvaluateConfig
from engine.folders.files import write_atomically
from engine.run import Run
from evaluation.card import with_dev_sets
from evaluation.measure import Measured, flat
from evaluation.page import Evaluation, render_table, write_evaluation
from evaluation.recipe.dev_sets import STEPS, on_dev_sets
from evaluation.recipe.retrieval import STUDENT, Inputs, metrics_of, retrieval_of_tiers
from evaluation.recipe.zero_shot import zero_shot_metrics
from evaluation.served import ServedModel
from evaluation.trained import TrainedModel

CARD = "MODEL_CARD.md"


def main() -> None:
    """Run the stage."""
    run = Run.start(EvaluateConfig)
    exported = run.input("export")
    inputs = Inputs(run.input("prepare"), run.input("embed_captions"), run.input("clip"), run.input("distill"))
    model = ServedModel(exported)
    served = {STUDENT if name == "base" else name: tier.embed for name, tier in model.tiers.items()}
    retrieval = retrieval_of_tiers(inputs, model.manifest, served)
    run.tick(1, STEPS)
    zero_shots = zero_shot_metrics(inputs, served)
    run.tick(2, STEPS)
    dev_sets: Measured = {"sets": {}, "left_out": {}}
    if run.config.get("dev_sets"):
        of_texts = {"embed_captions": inputs.embed_captions}
        if "contrastive" in run.job["inputs"]:
            of_texts["contrastive"] = run.input("contrastive")
        dev_sets = on_dev_sets(run, run.input("data"), model, TrainedModel(inputs.clip, of_texts))
    run.tick(3, STEPS)
    document: Evaluation = {
        "images": retrieval.images,
        "captions": retrieval.captions,
        "retrieval": retrieval.of_tiers,
        "zero_shot": zero_shots,
        "student_share_of_teacher_R@10": retrieval.kept(),
        "dev_sets": dev_sets,
    }
    run.log("\n" + render_table(document))
    files = write_evaluation(run.output, document)
    write_atomically(run.output / CARD, with_dev_sets((exported / CARD).read_text(encoding="utf-8"), dev_sets))
    run.tick(STEPS, STEPS)
    run.finish(metrics_of(retrieval, zero_shots) | flat(dev_sets), files | {CARD: CARD})


if __name__ == "__main__":
    main()
