"""The training loop of `clip` against open_clip's own, step by step in turns, and the share of a machine's FLOP/s that it uses."""

import logging
import math
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import open_clip
import torch
from open_clip_train.scheduler import cosine_lr
from open_clip_train.train import train_one_epoch
from torch import nn

from bench.rounds import Row, Times, in_turns, synchronise
from contracts.types import ClipConfig, Parallel, Schedule
from engine.loop import Loop
from engine.run import Run, fast_dtype
from engine.task import Figures, Parts
from engine.world import World
from gpu_check import speed
from gpu_check.speed import PEAKS, Sizes, clip_task, device_label, flops_per_pair
from towers.image.backbone import create_backbone
from towers.image.tower import ImageTower
from towers.two_towers import Adapter

# ViT-S/32 on a CPU. ViT-L/14 with features of an 8B model on a GPU.
ON_CPU = replace(speed.FULL, tower="vit_small_patch32_224", images=64, batch=16, width_D=576, space_E=384, steps=15)
ON_GPU, QUICK = speed.FULL, speed.QUICK
OPEN_CLIP = {
    "vit_small_patch32_224": "ViT-S-32",
    "vit_large_patch14_clip_224": "ViT-L-14",
}  # the same tower by its name there
WANTED = {"cpu": 1.0, "cuda": 1.5}
WARM_UP = 2  # steps of each loop that are not counted
AVERAGE = 0.99  # the loop keeps an average of the weights, as in recipes; open_clip's has none
H100, GOAL = 989e12, 900  # dense bfloat16 FLOP/s by its data sheet; images a second


class Silent(Run[ClipConfig]):
    """A run that prints nothing and ends after its steps."""

    def progress(self, step: int, total: int, figures: Figures) -> None:
        """Nobody waits for it."""

    def checkpoint_is_due(self) -> bool:
        """Never: a checkpoint is no part of a step."""
        return False


class SameTowers(nn.Module):
    """Image tower and adapter of `clip` as open_clip's loop wants a model: two inputs, features by name."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        backbone = create_backbone(sizes.tower, sizes.side, pretrained=False)
        self.visual, self.text = ImageTower(backbone, sizes.space_E), Adapter(sizes.width_D, sizes.space_E, 4, 2)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, images: torch.Tensor, texts: torch.Tensor) -> dict[str, torch.Tensor]:
        """Unit vectors of both sides, and the scale."""
        image_BE = self.visual.forward_trainable(images, 0)
        return {"image_features": image_BE, "text_features": self.text(texts), "logit_scale": self.logit_scale.exp()}


def measure(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Our loop against theirs with the same two towers, and what of the machine our steps use.

    On a CPU also with the fused optimiser, which a GPU has always.
    """
    seconds = yield from against_open_clip(device, sizes, fused=False)
    yield {"what": "images a second of clip", "value": sizes.batch / seconds, "unit": ""}
    yield from used(device, sizes, seconds)
    if device.type == "cpu":
        yield from against_open_clip(device, sizes, fused=True)


def against_open_clip(device: torch.device, sizes: Sizes, *, fused: bool) -> Generator[Row, None, float]:
    """Our step, and how many times as long theirs takes with torch's default AdamW; returns the seconds of ours."""
    theirs = {"theirs": open_clip_step(SameTowers(sizes), device, sizes, "features")}
    times, how = loops_in_turns(device, sizes, theirs, fused=fused), ", schedule.fused" if fused else ""
    said = f"{sizes.tower}, batch {sizes.batch}, {name_of(fast_dtype(device))}; with the average of the weights"
    yield {"what": f"step of clip, cached texts{how}", "value": 1000 * times.median("ours"), "unit": "ms", "note": said}
    yield {
        "what": f"the same towers in open_clip's loop, against it{how}",
        "value": times.ratio("theirs", "ours"),
        "unit": "x",
        "least": WANTED[device.type],
        "note": f"its step takes {1000 * times.median('theirs'):.0f} ms",
    }
    return times.median("ours")


def measure_own_model(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Our loop with cached texts against open_clip's with its own model: an equal image tower and a text transformer."""
    name = OPEN_CLIP[sizes.tower]
    model: Any = open_clip.create_model(name, output_dict=True)
    times = loops_in_turns(device, sizes, {"theirs": open_clip_step(model, device, sizes, "ids")})
    yield {
        "what": f"open_clip's {name} in its loop, against clip with cached texts",
        "value": times.ratio("theirs", "ours"),
        "unit": "x",
        "note": f"its step takes {1000 * times.median('theirs'):.0f} ms: captions of 77 tokens through a text transformer",
    }


def name_of(dtype: torch.dtype) -> str:
    """As people write it."""
    return str(dtype).removeprefix("torch.")


def used(device: torch.device, sizes: Sizes, seconds: float) -> Iterator[Row]:
    """The counted FLOPs of a step as a share of the peak: the data sheet's of a GPU, a large product's of a CPU."""
    flops = flops_per_pair(sizes)
    peak = next((value for name, value in PEAKS.items() if name in device_label(device)), None)
    of_what = (
        f"the {peak / 1e12:.0f} TFLOP/s of the data sheet" if peak is not None else "the rate of a large product here"
    )
    peak = large_product(device) if peak is None else peak
    note = f"{flops / 1e9:.2f} GFLOP a pair, counted; of {of_what} ({peak / 1e12:.2f} TFLOP/s)"
    yield {
        "what": "share of the FLOP/s that a step uses (MFU)",
        "value": 100 * sizes.batch * flops / seconds / peak,
        "unit": "%",
        "note": note,
    }


def closed_form() -> Iterator[Row]:
    """What counted FLOPs say of ViT-L/14 at 224 pixels with cached texts on an H100. Nothing is run."""
    flops = flops_per_pair(speed.FULL)
    yield {
        "what": "ViT-L/14-224, cached texts, a pair",
        "value": flops / 1e9,
        "unit": "GFLOP",
        "note": "counted, three times the forward pass",
    }
    most = H100 / flops
    yield {
        "what": "an H100 at all of its 989 TFLOP/s, images a second",
        "value": most,
        "unit": "",
        "note": "closed form, not a measurement",
    }
    yield {
        "what": f"share of them that {GOAL} images a second take",
        "value": 100 * GOAL / most,
        "unit": "%",
        "note": "closed form; measured on a GPU: npm run gpu-check",
    }


def large_product(device: torch.device) -> float:
    """FLOP/s of a product of two square matrices."""
    size = 2048
    a, b = (torch.randn(size, size, device=device, dtype=fast_dtype(device)) for _ in range(2))
    return 2 * size**3 / in_turns({"product": lambda _: a @ b}, 5, device).median("product")


# ---- both loops --------------------------------------------------------------------------------------------------------


def loops_in_turns(
    device: torch.device, sizes: Sizes, theirs: dict[str, Callable[[int], None]], *, fused: bool = False
) -> Times:
    """Seconds of a step of each: our loop runs, and after each of its steps every other loop does one."""
    found: dict[str, list[float]] = {name: [] for name in ("ours", *theirs)}
    world = World(0, 1, 0, device)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        task = clip_task(Path(folder), sizes, world, fast_dtype(device))
        schedule: Schedule = {**speed.SCHEDULE, "steps": WARM_UP + sizes.steps, "fused": fused}
        task.run.config["evaluate_every"] = schedule["steps"] + 1  # no dev figures on the way
        job: Any = {"id": "bench", "config": task.run.config, "seed": 0, "output": f"{folder}/run", "inputs": {}}
        measured, started = task.measure, [time.perf_counter()]

        def measure_and_take_turns(step: int, parts: Parts) -> Figures:
            figures = measured(step, parts)
            synchronise(device)
            found["ours"].append(time.perf_counter() - started[0])
            for name, their_step in theirs.items():
                synchronise(device)
                before = time.perf_counter()
                their_step(step)
                synchronise(device)
                found[name].append(time.perf_counter() - before)
            started[0] = time.perf_counter()
            return figures

        task.measure = measure_and_take_turns
        compiled: Parallel = {"weights": "replicated", "activation_checkpointing": False, "compile": True}
        parallel = compiled if device.type == "cuda" else None
        Loop(Silent(job, ClipConfig, world), task, schedule, parallel, AVERAGE).train()
    return Times({name: seconds[WARM_UP:] for name, seconds in found.items()})


def open_clip_step(model: nn.Module, device: torch.device, sizes: Sizes, texts: str) -> Callable[[int], None]:
    """`open_clip_train.train.train_one_epoch` over an epoch of one batch that is in memory, with open_clip's optimiser.

    `texts`: what the model reads of them, `features` or token `ids`.
    """
    logging.getLogger().setLevel(logging.ERROR)  # it reports every epoch, which is a step here
    images = torch.randn(sizes.batch, 3, sizes.side, sizes.side)
    read = {"features": torch.randn(sizes.batch, sizes.width_D), "ids": torch.randint(1, 49000, (sizes.batch, 77))}[
        texts
    ]
    model = model.to(device)
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    # As open_clip_train.main groups them.
    plain = [p.ndim < 2 or "bn" in name or "ln" in name or "bias" in name or "logit_scale" in name for name, p in named]
    groups = [
        {"params": [p for (_, p), is_plain in zip(named, plain, strict=True) if is_plain], "weight_decay": 0.0},
        {"params": [p for (_, p), is_plain in zip(named, plain, strict=True) if not is_plain], "weight_decay": 0.05},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-5, betas=(0.9, 0.98), eps=1e-6)
    precision = "amp_bf16" if fast_dtype(device) == torch.bfloat16 else "fp32"
    args = Namespace(
        device=str(device), precision=precision, distill=False, accum_freq=1, skip_scheduler=False, grad_clip_norm=1.0,
        horovod=False, log_every_n_steps=100, batch_size=sizes.batch, world_size=1, rank=0, wandb=False,
    )  # fmt: skip
    data = {"train": SimpleNamespace(set_epoch=lambda _: None, dataloader=OneBatch(images, read))}
    scheduler = cosine_lr(optimizer, 1e-5, 1, 100)
    loss = open_clip.ClipLoss()
    return lambda step: train_one_epoch(model, data, loss, step, optimizer, None, scheduler, None, args)


class OneBatch:
    """A data loader of one batch."""

    num_batches = 1

    def __init__(self, images: torch.Tensor, texts: torch.Tensor) -> None:
        self.batch, self.num_samples = (images, texts), len(images)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """It."""
        yield self.batch
