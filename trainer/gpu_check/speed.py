"""How fast training steps are on the machine at hand: image towers from cached texts, language models, losses.

Each function is called in a process of its own, which counts memory from nothing. Weights and data are random.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from bench import losses
from bench.small_models import proportioned_llama
from contracts.types import Parallel, Schedule
from engine.optim import adamw, clip_gradients
from engine.sharding import place
from engine.world import World, fast_dtype
from gpu_check.small import small_tokenizer
from tasks.clip.objective import Objective, Texts
from tasks.clip.task import Clip
from tasks.clip_data.batch import Place
from tasks.clip_data.cached import CachedPairs, Sampler, StoredPairs
from towers.crops import Activations
from towers.data import write_rows
from towers.image.backbone import create_backbone
from towers.image.tower import ImageTower
from towers.language.lora import with_lora
from towers.language.model import LanguageModel
from towers.language.packing import batches_by_tokens
from towers.language.tokens import TextTokens
from towers.text_sets import TextSet
from towers.token_batches import batches_by_length
from towers.two_towers import Adapter

# Dense bfloat16 products of a GPU, in FLOP/s, by what its name contains: the makers' data sheets, without sparsity.
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "A10G": 70e12, "L4": 121e12}
SCHEDULE: Schedule = {
    "steps": 100,
    "warmup_steps": 1,
    "lr": 1e-5,
    "weight_decay": 0.05,
    "grad_clip": 1.0,
    "decay": "cosine",
}
WARM_UP = 3  # steps that are not timed


@dataclass(frozen=True)
class Sizes:
    """Of what is measured; D features of a caption, E dimensions of the joint space."""

    tower: str
    side: int  # pixels
    images: int
    batch: int
    width_D: int
    space_E: int
    steps: int
    layers: int  # of the language model, and its other sizes below
    width: int
    heads: int
    key_heads: int
    texts: int
    batch_tokens: int


# ViT-L/14 at 224 pixels with captions of an 8B model, as LLM2CLIP trains it; a language model of SmolLM2-135M's shape.
FULL = Sizes("vit_large_patch14_clip_224", 224, 1024, 256, 4096, 768, 8, 30, 576, 9, 3, 8192, 16384)
QUICK = Sizes("test_vit", 160, 16, 8, 64, 32, 2, 2, 64, 4, 2, 64, 512)


# ---- image towers ----------------------------------------------------------------------------------------------------


def clip_step(device_name: str, sizes: Sizes, checkpointing: bool, compiled: bool) -> dict[str, Any]:  # noqa: FBT001 - of a process
    """A step of `clip` with InfoNCE alone: whole tower and adapter trained, pixels and text features read from files."""
    device = torch.device(device_name)
    torch.set_float32_matmul_precision("highest")
    world, dtype = World(0, 1, 0, device), fast_dtype(device)
    with tempfile.TemporaryDirectory() as folder:
        task = clip_task(Path(folder), sizes, world, dtype)
        parallel: Parallel = {"weights": "replicated", "activation_checkpointing": checkpointing, "compile": compiled}
        place(task.blocks(), parallel, world)
        optimizer = adamw(task.groups(), SCHEDULE)

        def step(number: int) -> None:
            optimizer.zero_grad(set_to_none=True)
            task.backward(number)
            clip_gradients(optimizer, SCHEDULE["grad_clip"])
            optimizer.step()
            task.constrain()

        first, seconds, peak = timed(step, sizes.steps, device)
    flops = flops_per_pair(sizes)
    peak_flops = next((value for name, value in PEAKS.items() if name in device_label(device)), None)
    return {
        "batch": sizes.batch,
        "first_step_seconds": round(first, 2),
        "step_seconds": round(seconds, 4),
        "images_per_second": round(sizes.batch / seconds, 1),
        "peak_gb": round(peak / 1e9, 2),
        "gflop_per_pair": round(flops / 1e9, 1),
        "mfu": None if peak_flops is None else round(sizes.batch * flops / seconds / peak_flops, 3),
        "blocks_compiled": unique_graphs() if compiled else 0,
    }


def unique_graphs() -> int:
    """Graphs that torch.compile made: one, where all blocks share it."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def clip_task(folder: Path, sizes: Sizes, world: World, dtype: torch.dtype) -> Clip:
    """The task of the stage over random pictures and captions' features."""
    rng = np.random.default_rng(0)
    some = rng.standard_normal((min(32, sizes.images), 1, 3, sizes.side, sizes.side), dtype=np.float32).astype(
        np.float16
    )
    shape = (sizes.images, *some.shape[1:])
    pixels = np.lib.format.open_memmap(folder / "train.npy", "w+", np.dtype(np.float16), shape)
    for start in range(0, sizes.images, len(some)):
        pixels[start : start + len(some)] = some[: sizes.images - start]
    pixels.flush()
    backbone = create_backbone(sizes.tower, sizes.side, pretrained=False)
    tower = ImageTower(backbone, sizes.space_E)
    features = rng.standard_normal((sizes.images, 1, tower.head.in_features), dtype=np.float32).astype(np.float16)
    crops: Any = {"backbone": {}, "first_trainable_block": 0, "crops": 1}
    activations = Activations(pixels, features, pixels[:, 0], pixels[:1, 0], None, None, crops)
    write_rows(folder / "captions.pairs.train.jsonl", [{"id": f"{n}", "text": f"{n}"} for n in range(sizes.images)])
    vectors_ND = torch.randn(sizes.images, sizes.width_D).bfloat16()
    save_file({"features": vectors_ND}, folder / "features.pairs.train.safetensors")
    captions = TextSet(folder, "pairs.train", world.device).with_features()
    weights = ("regulariser", "rows", "softmax", "hypernyms", "labels")
    config: Any = {f"{name}_weight": 0.0 for name in weights} | {
        "batch_size": sizes.batch,
        "label_fraction": 0.0,
        "embed_dim": sizes.space_E,
        "rows_mixin": 0.0,
        "hypernyms_batch": 1,
        "dropout": 0.0,
        "layer_decay": 0.75,
        "backbone_lr": 1e-5,
        "schedule": SCHEDULE,
    }
    tower = tower.to_device(world.device)
    text_tower = Adapter(sizes.width_D, sizes.space_E, 4, 2).to(world.device)
    rows: Any = [{"key": f"{n}"} for n in range(sizes.images)]
    place = Place(world, dtype)
    pairs = CachedPairs(StoredPairs(activations, captions, [""] * sizes.images), Sampler(rows, config, 0), place)
    objective = Objective((tower, text_tower), pairs, Texts(captions, captions, None), config, place)
    run: Any = SimpleNamespace(config=config, seed=0, world=world)
    return Clip(run, objective, dict)


def flops_per_pair(sizes: Sizes) -> int:
    """Floating-point operations of one picture and its caption, forwards and twice as many backwards."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        tower = ImageTower(create_backbone(sizes.tower, sizes.side, pretrained=False), sizes.space_E)
        tower.forward_trainable(torch.empty(1, 3, sizes.side, sizes.side), 0)
        Adapter(sizes.width_D, sizes.space_E, 4, 2)(torch.empty(1, sizes.width_D))
    return 3 * counter.get_total_flops()


# ---- language models -------------------------------------------------------------------------------------------------


def language_model(device_name: str, sizes: Sizes, packing: bool, training: bool) -> dict[str, Any]:  # noqa: FBT001 - of a process
    """Captions through a language model, packed or padded: embedded, or with gradients for LoRA layers."""
    device = torch.device(device_name)
    torch.manual_seed(0)
    tokenizer = small_tokenizer()
    random_weights = proportioned_llama(
        tokenizer, layers=sizes.layers, width=sizes.width, heads=sizes.heads, key_heads=sizes.key_heads
    )
    model = LanguageModel(random_weights.to(fast_dtype(device)), tokenizer)
    if training:
        model = with_lora(model, {"rank": 16, "alpha": 32, "dropout": 0.0})
    model.model.to(device).train(training)
    rows = random_texts(sizes.texts // (8 if training else 1), len(tokenizer))
    cut = batches_by_tokens if packing else batches_by_length
    batches = [[rows[i] for i in batch] for batch in cut([len(row) for row in rows], sizes.batch_tokens)]

    def through(_: int) -> None:
        for batch in batches:
            with torch.inference_mode(mode=not training):
                vectors_BD = F.normalize(model.features(batch, "mean", packing=packing), dim=-1)
                if training:
                    (vectors_BD @ vectors_BD.T / 0.05).logsumexp(1).mean().backward()

    first, seconds, peak = timed(through, 2, device, warm_up=1)
    tokens = sum(len(row) for row in rows)
    return {
        "texts": len(rows),
        "tokens": tokens,
        "first_pass_seconds": round(first, 2),
        "tokens_per_second": round(tokens / seconds),
        "peak_gb": round(peak / 1e9, 2),
    }


def random_texts(count: int, vocabulary: int) -> list[TextTokens]:
    """Random tokens, as many in a text as captions of photographs have: half of them between 10 and 20, a few of 77."""
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.normal(np.log(14), 0.5, count)).astype(int).clip(4, 77)
    return [TextTokens(rng.integers(1, vocabulary, length).tolist()) for length in lengths]


# ---- losses ----------------------------------------------------------------------------------------------------------


def loss(name: str, rows: int) -> dict[str, Any]:
    """Time and memory of a contrastive loss, as `python -m bench.losses` measures it."""
    needed, free = 4 * losses.MATRICES * rows**2, losses.free_bytes()
    if name == "whole_matrix" and needed > free:
        return {"left_out": f"needs about {needed / 1e9:.0f} GB, {free / 1e9:.0f} GB are free"}
    return losses.measured(name, rows, argparse.Namespace(width=768, tile=None, share=8))


# ---- measuring -------------------------------------------------------------------------------------------------------


def timed(
    step: Callable[[int], None], steps: int, device: torch.device, warm_up: int = WARM_UP
) -> tuple[float, float, int]:
    """(seconds of the first step, mean seconds of those after the warm-up, peak bytes of those)."""
    durations, first = [], 0.0
    for number in range(warm_up + steps):
        if number == warm_up:
            losses.reset_peak(device)
        losses.synchronise(device)
        started = time.perf_counter()
        step(number)
        losses.synchronise(device)
        duration = time.perf_counter() - started
        if number == 0:
            first = duration
        if number >= warm_up:
            durations.append(duration)
    return first, sum(durations) / len(durations), losses.peak(device)


def device_label(device: torch.device) -> str:
    """What the machine calls what computes."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def machine(device_name: str) -> dict[str, Any]:
    """What computes, and with what."""
    device = torch.device(device_name)
    memory = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else None
    return {
        "device": device_label(device),
        "gb": None if memory is None else round(memory / 1e9, 1),
        "torch": torch.__version__,
        "dtype": str(fast_dtype(device)).removeprefix("torch."),
    }


def sizes_as_json(sizes: Sizes) -> dict[str, Any]:
    """For the report."""
    return cast(dict[str, Any], asdict(sizes))
