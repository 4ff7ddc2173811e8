"""Stage `adapt`: an exported model learns a user's own images and captions, titles or classes.

With `space: keep` the text side alone moves towards the images' vectors, which stay as they are; with `space: new` the last
layers and the head of the image tower move, too. Texts about anything are held where they were. The result is a model folder
as `export` writes it, with figures before and after on images that were not learned from.
"""

import math
import sys
import time
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from contracts.types import AdaptConfig, Tier
from towers.adaptation.batches import Batch, General, Sampler
from towers.adaptation.figures import Measured, measure
from towers.adaptation.image_side import ImageSide
from towers.adaptation.losses import class_loss, cut, held, same_or_own
from towers.adaptation.own_data import Pictures, read_own
from towers.adaptation.tiers import TextSide
from towers.adaptation.write_model import Base, Result, finish_manifest, write_files
from towers.exported_files import read_manifest
from towers.formats.item import FormatError
from towers.losses import multi_positive_nce
from towers.optim import adamw, descend
from towers.run import Run
from towers.served_text import served_tiers
from towers.two_towers import MAX_LOGIT_SCALE, new_logit_scale

EMA_DECAY = 0.98
HEAD_RATE = 2  # of the image tower: times the rate of the layers below it
TIMED_STEPS = 5  # after which a limit of minutes becomes a number of steps


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


# ---- training ------------------------------------------------------------------------------------


def train(run: Run[AdaptConfig], images: ImageSide, text: TextSide, general: General, pictures: Pictures) -> int:
    """Train to the end of the schedule or of the time; the averaged weights stay in the modules. Returns the steps."""
    config, schedule = run.config, dict(run.config["schedule"])
    for module in text.modules():
        module.to(run.device).train()
    scale = new_logit_scale()
    optimizer = adamw(groups_of(config, images, text, scale), cast(Any, schedule))
    weights = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    average = [weight.detach().clone() for weight in weights]
    sampler = Sampler(run, pictures, general)
    first, total = 0, config["schedule"]["steps"]
    state = run.resume()
    if state is not None:
        with torch.no_grad():
            for weight, value in zip(weights, state["weights"], strict=True):
                weight.copy_(value)
        optimizer.load_state_dict(state["optimizer"])
        first, total, average = state["step"], state["total"], state["average"]
    started, loss_ema = time.monotonic(), 0.0
    for step in range(first, total):
        schedule["steps"] = total
        loss = loss_of(sampler.draw(step), images, text, general, scale)
        descend(optimizer, loss, step, cast(Any, schedule))
        scale.data.clamp_(0, MAX_LOGIT_SCALE)
        decay = min(EMA_DECAY, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, weight in zip(average, weights, strict=True):
                mean.lerp_(weight, 1 - decay)
        loss_ema = loss.item() if loss_ema == 0 else 0.9 * loss_ema + 0.1 * loss.item()
        if config["minutes"] is not None and step + 1 == first + TIMED_STEPS:
            each = (time.monotonic() - started) / TIMED_STEPS
            left = 60 * config["minutes"] - (time.monotonic() - run.started)
            total = max(step + 1, min(total, step + 1 + math.floor(left / each)))
            run.log(f"{each:.2f} s a step: {total} steps in the time that is left")
        now = {"step": step + 1, "total": total}
        run.tick(
            step + 1,
            total,
            lambda now=now: {**now, "weights": weights, "average": average, "optimizer": optimizer.state_dict()},
            loss=loss_ema,
            scale=scale.exp().item(),
        )
        if step + 1 >= total:
            break
    with torch.no_grad():
        for mean, weight in zip(average, weights, strict=True):
            weight.copy_(mean)
    for module in [*text.modules(), *([images.tail] if images.tail is not None else [])]:
        module.eval()
    return total


def groups_of(config: AdaptConfig, images: ImageSide, text: TextSide, scale: nn.Parameter) -> list[dict[str, Any]]:
    """Parameter groups with their rates. Token rows do not decay: those that own texts lack have to stay as they are."""
    lr, decay = config["schedule"]["lr"], config["schedule"]["weight_decay"]
    tables, matrices, rest = [], [], []
    for student in text.transformers.values():
        own = {id(student.table.weight), id(student.positions.weight)}
        tables += [parameter for parameter in student.parameters() if id(parameter) in own]
        others = [parameter for parameter in student.parameters() if id(parameter) not in own]
        matrices += [parameter for parameter in others if parameter.ndim > 1]
        rest += [parameter for parameter in others if parameter.ndim <= 1]
    groups = [
        {"params": matrices, "lr": lr, "weight_decay": decay},
        {"params": [*rest, *tables], "lr": lr, "weight_decay": 0.0},
        {"params": list(text.static.parameters()), "lr": config["static_lr"], "weight_decay": 0.0},
        {"params": [scale], "lr": 1e-2, "weight_decay": 0.0},
    ]
    if images.tail is not None:
        tail = cast(Any, images.tail)
        head = {tail.names[name] for name in images.graph.head.input if name in tail.names}
        named = dict(tail.named_parameters())
        body = [p for name, p in named.items() if name not in head]
        groups.append({"params": body, "lr": config["image_lr"], "weight_decay": decay})
        groups.append(
            {"params": [named[name] for name in head], "lr": HEAD_RATE * config["image_lr"], "weight_decay": decay}
        )
    return groups


def loss_of(batch: Batch, images: ImageSide, text: TextSide, general: General, log_scale: nn.Parameter) -> torch.Tensor:
    """Own captions and classes against the images, in every tier and at every length, and general texts in place."""
    run, scale = images.run, log_scale.exp()
    config = run.config
    image_BE = images.vectors(batch.rows, batch.views)
    tokens = [*text.tokens([*batch.texts, *batch.class_texts]), *(general.tokens[i] for i in batch.general)]
    ends = (len(batch.texts), len(batch.texts) + len(batch.class_texts))
    match_BT = same_or_own(batch.owners, batch.texts, len(batch.rows)).to(run.device)
    labels_B = batch.labels.to(run.device)
    total = image_BE.new_zeros(())
    tiers: dict[Tier, torch.Tensor] = text.vectors(tokens, run.device, run.amp_dtype)
    for tier, vectors_TE in tiers.items():
        # The image tower listens to the student alone: the others would pull it to what less can say.
        image = image_BE if tier == "student" else image_BE.detach()
        for length in text.dims:
            parts = [cut(part, length) for part in (image, vectors_TE[: ends[0]], vectors_TE[ends[0] : ends[1]])]
            if batch.texts:
                loss = multi_positive_nce(parts[0], parts[1], scale, match_BT)
                total = total + loss * len(batch.texts) / len(batch.rows)
            if batch.labelled:
                share = len(batch.labelled) / len(batch.rows)
                total = total + share * class_loss(parts[0][batch.labelled], parts[2], scale, labels_B)
        if batch.general:
            old_GE = general.old[tier][batch.general].to(run.device)
            weight = config["general_weight"] * len(text.dims)
            total = total + weight * held(vectors_TE[ends[1] :], old_GE)
    return total / len(text.dims)


if __name__ == "__main__":
    main()
