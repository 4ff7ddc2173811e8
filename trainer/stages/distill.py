"""Stage `distill`: distils the text teacher into a token table and into small encoders for the edge.

The target of an English text is the adapter's vector of its language-model features; the target of a translation is that of
its English sentence or name, so that students learn languages for which the teacher saw no images. The static table is
trained first: the vectors of a transformer may be sums with those of the table.
"""

from contracts.types import DistillConfig
from engine.run import Run
from tasks.distill_tiers import dev_cosines, train_static, train_transformer
from towers.distillation import Distillation, Folders
from towers.student import load_static

DONE = "checkpoint-tiers"  # which tiers are written, and the figures of their training


def main() -> None:
    """Run the stage."""
    run = Run.start(DistillConfig)
    config = run.config
    folders = Folders(run.input("prepare"), run.input("embed_captions"), run.input("clip"))
    shared = Distillation(run, folders)
    done = run.resume(DONE) or {}

    # ---- the static table, from what the first transformer makes of every piece before it is trained ------------------
    steps = config["static"]["schedule"]["steps"]
    if "static" not in done:
        done["static"] = train_static(shared)
        run.save(done, DONE)
    run.world.wait()
    static = load_static(run.output).to(run.device)

    # ---- the transformers, one after the other -------------------------------------------------------------------------
    for tier in config["tiers"]:
        if tier["tier"] not in done:
            done[tier["tier"]] = train_transformer(shared, tier, static, before=steps)
            run.save(done, DONE)
        run.world.wait()
        steps += tier["schedule"]["steps"]
    run.leave_to_first()

    # ---- metrics -------------------------------------------------------------------------------------------------------
    metrics: dict[str, float] = {"vocabulary": len(shared.wordpiece.pieces), "alphabet": shared.wordpiece.alphabet()}
    files = ["vocabulary.txt", "static.safetensors"]
    for tier in config["tiers"]:
        name = tier["tier"]
        metrics |= {f"{name}.loss.last": done[name]["loss"], f"{name}.dev_cosine.first": done[name]["cosine"]}
        files += [f"{name}.safetensors", f"{name}.json"]
    run.finish(metrics | dev_cosines(shared), {name: name for name in files})


if __name__ == "__main__":
    main()
