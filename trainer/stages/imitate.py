"""Stage `imitate`: text students learn the text vectors of a published checkpoint, from captions alone.

What it leaves has the layout of a run of `distill`: `npm run model -- import --distil` puts the checkpoint's own image tower
beside the students. The joint space is the checkpoint's, so vectors of images that it has made stay valid.
"""

from contracts.types import ImitateConfig
from engine.run import Run
from tasks.distill_tiers import dev_vectors, files_of, train_tiers
from towers.distillation import Distillation
from towers.imitation.captions import read_captions
from towers.imitation.distillation import distill_config, material_of
from towers.imitation.figures import figures
from towers.imitation.vectors import embed, read_vectors

SETS = ("train", "dev")


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
    students = distill_config(config, train[1].width)
    shared = Distillation(run, students, material_of(run, train, dev))
    done = train_tiers(shared, keeps_best=True)
    run.finish(figures(shared, done, dev_vectors(shared)), files_of(shared))
    for name in SETS:
        (run.output / f"{name}.safetensors").unlink()


if __name__ == "__main__":
    main()
