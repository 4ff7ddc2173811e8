"""Stage `adapt`: an exported model learns a user's own images and captions, titles or classes.

With `space: keep` the text side alone moves towards the images' vectors, which stay as they are; with `space: new` the last
layers and the head of the image tower move, too. Texts about anything are held where they were. The result is a model folder
as `export` writes it, with figures before and after on images that were not learned from.
"""

import sys
from pathlib import Path

import torch

from contracts.types import AdaptConfig
from engine.loop import Loop
from engine.run import Run
from tasks.adapt import Adapt
from towers.adaptation.batches import General, Sampler
from towers.adaptation.figures import Measured, measure
from towers.adaptation.image_side import ImageSide
from towers.adaptation.own_data import Pictures, read_own
from towers.adaptation.tiers import TextSide
from towers.adaptation.write_model import Base, Result, finish_manifest, write_files
from towers.exported_files import read_manifest
from towers.formats.item import FormatError
from towers.served_text import served_tiers

EMA_DECAY = 0.98


def main() -> None:
    """Run the stage."""
    run = Run.start(AdaptConfig)
    config = run.config
    data = run.input("data")
    base = read_base((data / config["model"]).resolve())
    try:
        pictures = read_own(data, config["own"], run.seed, lambda n, total: run.tick(n, total))
    except FormatError as error:
        sys.exit(str(error))
    for line in pictures.summary():
        run.log(line)
    images = ImageSide(run, base, pictures)
    images.look()

    before = measure(served_tiers(base.folder, base.manifest), images.dev_vectors(), pictures.dev, pictures.classes)
    torch.manual_seed(run.seed)
    text = TextSide(base.folder, base.manifest)
    general = General(text, config, run.seed)
    if config["text_start"] == "scratch":
        text.start_from_scratch()
    steps = train(run, images, text, general, pictures)

    manifest = write_files(run.output, base, text, images.put_back())
    images_IE = images.dev_vectors()
    served = served_tiers(run.output, manifest)
    after = measure(served, images_IE, pictures.dev, pictures.classes)
    metrics = {f"{name}.before": value for name, value in before.figures.items()} | after.figures
    metrics |= {
        "general.student.cosine": general.cosine(text),
        "images.train": len(pictures.train),
        "images.dev": len(pictures.dev),
        "images.left_out": len(pictures.skipped),
        "steps": steps,
    }
    notes = [*pictures.summary(), *comparison(before, after)]
    files = finish_manifest(run, base, manifest, Result(served, images_IE, after, metrics, notes))
    images.close()
    run.finish(metrics, {name: name for name in files}, notes)


def read_base(folder: Path) -> Base:
    """The model to start from."""
    return Base(folder, read_manifest(folder))


def comparison(before: Measured, after: Measured) -> list[str]:
    """A sentence for every figure: what it was and what it is."""
    return [f"{name}: {before.figures[name]:.1%} before, {value:.1%} after" for name, value in after.figures.items()]


def train(run: Run[AdaptConfig], images: ImageSide, text: TextSide, general: General, pictures: Pictures) -> int:
    """Train to the end of the schedule or of the time; the averaged weights stay in the modules. Returns the steps."""
    for module in text.modules():
        module.to(run.device).train()
    task = Adapt(images, text, general, Sampler(run, pictures, general))
    Loop(run, task, task.schedule, ema_decay=EMA_DECAY).train()
    for module in [*text.modules(), *([images.tail] if images.tail is not None else [])]:
        module.eval()
    return task.schedule["steps"]


if __name__ == "__main__":
    main()
