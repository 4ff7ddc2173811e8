"""Stage `imitate`: text students learn the text vectors of a published checkpoint, from captions alone.

What it leaves has the layout of a run of `distill`: `npm run model -- import --distil` puts the checkpoint's own image tower
beside the students. The joint space is the checkpoint's, so vectors of images that it has made stay valid.
"""

from contracts.types import ImitateConfig
from engine.run import Run
from tasks.distill_tiers import train_static, train_transformer
from towers.imitation.captions import read_captions
from towers.imitation.distillation import Imitation
from towers.imitation.figures import figures
from towers.imitation.vectors import embed, read_vectors
from towers.student import load_static

SETS = ("train", "dev")
DONE = "checkpoint-tiers"  # which tiers are written, and the figures of their training


def main() -> None:
    """Run the stage."""
    run = Run.start(ImitateConfig)
    config, data = run.config, run.input("data")
    files = [data / name for name in config["captions"]]
    captions = read_captions(files, config["most_captions"], config["dev_captions"], run.seed)
    run.log(f"{len(captions[0].texts)} captions to learn from, {len(captions[1].texts)} to measure on")

    # ---- the checkpoint's vectors ------------------------------------------------------------------------------------
    vectors = read_vectors(run, data)
    train, dev = ((each, embed(run, vectors, each, name)) for each, name in zip(captions, SETS, strict=True))
    del vectors  # the tower's memory is the students' now

    # ---- the students, as `distill` trains them ----------------------------------------------------------------------
    shared = Imitation(run, train, dev)
    done = run.resume(DONE) or {}
    steps = shared.config["static"]["schedule"]["steps"]
    if "static" not in done:
        done["static"] = train_static(shared)
        run.save(done, DONE)
    static = load_static(run.output).to(run.device)
    for tier in shared.config["tiers"]:
        if tier["tier"] not in done:
            done[tier["tier"]] = train_transformer(shared, tier, static, before=steps)
            run.save(done, DONE)
        steps += tier["schedule"]["steps"]

    # ---- figures -----------------------------------------------------------------------------------------------------
    names = ["vocabulary.txt", "static.safetensors"]
    for tier in shared.config["tiers"]:
        names += [f"{tier['tier']}.safetensors", f"{tier['tier']}.json"]
    run.finish(figures(shared, done), {name: name for name in names})
    for name in SETS:
        (run.output / f"{name}.safetensors").unlink()


if __name__ == "__main__":
    main()
