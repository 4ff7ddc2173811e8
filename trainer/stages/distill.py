"""Stage `distill`: distils the text teacher into a token table and into small encoders for the edge.

The target of an English text is the adapter's vector of its language-model features; the target of a translation is that of
its English sentence or name, so that students learn languages for which the teacher saw no images. The static table is
trained first, from what the first transformer makes of every piece before it is trained: the vectors of a transformer may be
sums with those of the table.
"""

from contracts.types import DistillConfig
from engine.run import Run
from tasks.distill_tiers import dev_cosines, files_of, train_tiers
from towers.distillation import Distillation, Folders, material_of


def main() -> None:
    """Run the stage."""
    run = Run.start(DistillConfig)
    folders = Folders(
        run.input("prepare"), run.input("embed_captions"), run.input("vocabulary"), run.input("clip")
    )  # fmt: skip
    shared = Distillation(run, run.config, material_of(run, folders))
    done = train_tiers(shared)

    metrics: dict[str, float] = {"vocabulary": len(shared.wordpiece.pieces), "alphabet": shared.wordpiece.alphabet()}
    for tier in shared.config["tiers"]:
        name = tier["tier"]
        metrics |= {f"{name}.loss.last": done[name]["loss"], f"{name}.dev_cosine.first": done[name]["cosine"]}
    run.finish(metrics | dev_cosines(shared), files_of(shared))


if __name__ == "__main__":
    main()
