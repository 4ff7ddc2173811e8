"""Stage `clip`: trains image and text tower by InfoNCE or sigmoid loss with terms that keep what the frozen image tower knows.

Two text towers: `llm` trains an adapter over stored features of the captions; `scratch`, the control, trains a CLIP-style
text transformer from scratch on the same images, texts and steps. `embed_images` has run the frozen image tower over the
images, or left train images to be streamed; only the blocks from `first_trainable_block` on are trained, or the head alone. The
terms are in tasks/clip/objective.py, where images and captions come from in tasks/clip_data. With `soup` nothing is trained:
the towers are the mean of those of earlier runs.
"""

from contracts.types import ClipConfig
from engine.loop import Loop
from engine.run import Run
from tasks.clip_data.build import Inputs, build, write
from tasks.clip_data.soup import average


def main() -> None:
    """Run the stage."""
    run = Run.start(ClipConfig)
    inputs = Inputs(run.input("prepare"), run.input("embed_captions"), run.input("embed_images"), run.input("inherit"))
    config, training = run.config, build(run, inputs)
    if "soup" in config:
        average(training, config["soup"])
    else:
        loop = Loop(run, training.task, config["schedule"], config.get("parallel"), config["ema_decay"])
        training.task.take(loop.train())
    run.leave_to_first()
    run.finish(*write(run, training))


if __name__ == "__main__":
    main()
