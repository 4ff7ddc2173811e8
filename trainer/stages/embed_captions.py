"""Stage `embed_captions`: embeds every text with the frozen teachers and stores its features.

The features of a text are the teachers' vectors of it, each at unit length, one after the other. Captions of the images of a
split S are in the store `pairs.S/` (data/features.py), a file for each shard of images, and wrong ones of the train images'
captions in `negatives.train/`, a group for each caption; any other set S has `features.S.safetensors` {features [N, D]
bfloat16}. `captions.S.jsonl` {id, text} says which text a row is of. Work is cut into
units (data/captions/embed.py); one that is finished is never computed again.
"""

from contracts.types import EmbedCaptionsConfig
from data.captions.embed import CaptionWork, embed_all
from engine.run import Run
from towers.teachers import Teacher, read_teacher


def main() -> None:
    """Run the stage."""
    run = Run.start(EmbedCaptionsConfig)
    work = CaptionWork(run.input("prepare"), run.output, run.config)
    embed_all(run, work.units, read_teachers(run))
    run.leave_to_first()
    metrics, files = work.finish()
    run.finish(metrics, files, tidy=work.tidy)


def read_teachers(run: Run[EmbedCaptionsConfig]) -> list[Teacher]:
    """The teachers of the recipe on the run's device, in eval mode; a language model as it is, or as it was last tuned."""
    teachers: list[Teacher] = []
    for block in run.config["teachers"]:
        tuned = None
        if block["type"] == "language_model" and "language_model" not in block:
            tuned = run.input("contrastive") if "contrastive" in run.job["inputs"] else run.input("mntp")
        teachers.append(read_teacher(block, tuned, run.amp_dtype))
        teachers[-1].model.to(run.device)
    return teachers


if __name__ == "__main__":
    main()
