"""Stage `adapt`: an exported model learns a user's own images and captions, titles or classes.

With `space: keep` the text side alone moves towards the images' vectors, which stay as they are; with `space: new` the last
layers and the head of the image tower move, too. Texts about anything are held where they were. The result is a model folder
as `export` writes it, with figures before and after on images that were not learned from.
"""

import torch

from contracts.types import AdaptConfig
from engine.run import Run
from tasks.adapt import train
from towers.adaptation.batches import General
from towers.adaptation.figures import comparison, measure
from towers.adaptation.image_side import ImageSide
from towers.adaptation.own_data import look_through
from towers.adaptation.scores import Adapted, fit_again
from towers.adaptation.tiers import TextSide
from towers.adaptation.write_model import Result, finish_manifest, has_room, read_base, taught_before, write_files
from towers.served_text import served_tiers


def main() -> None:
    """Run the stage."""
    run = Run.start(AdaptConfig)
    config = run.config
    base = read_base(run.input("data"), config["model"])
    has_room(run.output, base)
    pictures = look_through(run)
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
    kept = general.cosine(text)
    scores = fit_again(run, Adapted(base, manifest, served, pictures, images_IE, after, kept))
    metrics |= {"general.student.cosine": kept, **pictures.counts(), "steps": steps, **scores.metrics}
    notes = [*pictures.summary(), *taught_before(base), *comparison(before, after), *scores.notes]
    files = finish_manifest(run, base, manifest, Result(served, images_IE, after, scores.fields, metrics, notes))
    images.close()
    run.finish(metrics, {name: name for name in files}, notes)


if __name__ == "__main__":
    main()
