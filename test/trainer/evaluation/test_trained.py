"""Runs of `clip` on the dev sets: the control's texts and images are embedded as training embedded them."""

import json
import shutil
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from contracts.types import ScratchTextTower as ScratchTextTowerShape
from evaluation.bench import TEXTS_KEPT, Bench, Place
from evaluation.cache import VectorCache
from evaluation.progress import Progress
from evaluation.trained import TeacherTier, TrainedModel, input_of
from support import TINY_VISION, tiny_clip, tiny_language_model
from towers.image.backbone import create_backbone
from towers.image.tower import ImageTower
from towers.language.read import language_model_in, read_language_model
from towers.token_batches import padded
from towers.two_towers import Adapter, ScratchTextTower, TowersShape, save_towers
from towers.wordpiece import train_vocabulary

PREPROCESS = {"resize_mode": "squash", "size": 64, "interpolation": "bicubic", "crop": "none",
              "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "color": "rgb"}  # fmt: skip
TEXTS = ["a red circle", "two blue squares on a plain field", "lines"]
SCRATCH: ScratchTextTowerShape = {"vocabulary_size": 200, "context_length": 16, "width": 16, "heads": 2, "layers": 1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of both arms of `clip` with random towers, and those behind the teacher's."""
    folder = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    backbone = {"name": tiny_clip(folder / "backbone", TINY_VISION), "size": 64}
    image_tower = ImageTower(create_backbone(backbone["name"]), 8)
    tiny_language_model(folder / "contrastive-1" / "model")
    towers = {
        "clip-llm": Adapter(32, 8, blocks=1, expansion=2),
        "clip-scratch": ScratchTextTower(SCRATCH, 8),
    }
    shape: dict[str, Any] = {"llm_width": 32, "embed_dim": 8, "adapter": {"blocks": 1, "expansion": 2}, "backbone": backbone,
             "preprocess": PREPROCESS, "scratch": SCRATCH}  # fmt: skip
    for name, tower in towers.items():
        (folder / name).mkdir()
        arm = name.removeprefix("clip-")
        save_towers(folder / name, image_tower, tower, cast(TowersShape, {**shape, "text_tower": arm}))
        job = {"inputs": {"embed_captions": f"file://{folder}/embed_captions-1"}}
        (folder / name / "job.json").write_text(json.dumps(job))
    train_vocabulary(TEXTS, 200).write(folder / "clip-scratch" / "vocabulary.txt")
    (folder / "embed_captions-1").mkdir()
    # The run has been moved: its inputs are beside it and no longer where the job says.
    job = {
        "inputs": {"contrastive": "file:///elsewhere/contrastive-1"},
        "config": {"pooling": "mean", "max_tokens": 32, "batch_tokens": 64, "teachers": [{"type": "language_model"}]},
    }
    (folder / "embed_captions-1" / "job.json").write_text(json.dumps(job))
    return folder, image_tower.eval(), {name: tower.eval() for name, tower in towers.items()}


def test_the_teacher_is_the_adapter_over_what_the_language_model_says(runs):
    folder, _, towers = runs
    found = TrainedModel(folder / "clip-llm").tiers["teacher"].embed(TEXTS)
    model = read_language_model(language_model_in(folder / "contrastive-1" / "model"), torch.float32)
    with torch.inference_mode():
        for text, vector in zip(TEXTS, found, strict=True):
            expected = towers["clip-llm"](model.features(model.tokens([text], 32), "mean"))[0].numpy()
            assert vector @ expected == pytest.approx(1, abs=1e-3)  # features are stored as bfloat16


def test_the_control_reads_its_own_vocabulary(runs):
    folder, _, towers = runs
    model = TrainedModel(folder / "clip-scratch")
    assert list(model.tiers) == ["control"]
    vocabulary = train_vocabulary(TEXTS, 200)
    with torch.inference_mode():
        ids, _ = padded(vocabulary.encode(TEXTS[:1], 16), torch.device("cpu"))
        expected = towers["clip-scratch"](ids).numpy()
    assert np.allclose(model.tiers["control"].embed(TEXTS)[:1], expected, atol=1e-5)


def test_images_and_keys_are_those_of_the_run(runs):
    folder, image_tower, _ = runs
    teacher, control = (TrainedModel(folder / name) for name in ("clip-llm", "clip-scratch"))
    pixels = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    with torch.inference_mode():
        assert np.allclose(teacher.embed_pixels(pixels), image_tower(torch.from_numpy(pixels)).numpy(), atol=1e-5)
    assert teacher.space == control.space  # one image tower in this test
    assert teacher.tiers["teacher"].key != control.tiers["control"].key
    assert input_of(folder / "embed_captions-1", "contrastive") == folder / "contrastive-1"


def test_runs_over_the_same_teachers_share_their_features(runs, tmp_path, monkeypatch):
    folder, _, _ = runs
    other = shutil.copytree(folder / "clip-llm", folder / "clip-llm-2")
    torch.manual_seed(5)
    save_file(Adapter(32, 8, blocks=1, expansion=2).state_dict(), other / "text_tower.safetensors")
    models = [TrainedModel(one) for one in (folder / "clip-llm", other)]
    teachers = [model.tiers["teacher"] for model in models]
    assert teachers[0].key != teachers[1].key
    alone = [tier.embed(TEXTS) for tier in teachers]
    asked = []
    features = TeacherTier.features
    monkeypatch.setattr(TeacherTier, "features", lambda self, texts: asked.append(len(texts)) or features(self, texts))
    place = Place(tmp_path, VectorCache(tmp_path / "vectors"), Progress(quiet=True))
    found = [Bench(model, tier, place).texts(TEXTS) for model, tier in zip(models, teachers, strict=True)]
    assert asked == [3]
    for vectors, expected in zip(found, alone, strict=True):
        assert np.allclose(vectors.numpy(), expected, atol=1e-6)
    assert not np.allclose(found[0].numpy(), found[1].numpy(), atol=0.1)


def test_a_measurement_that_is_stopped_loses_the_features_of_a_few_hundred_texts_at_most(runs, tmp_path, monkeypatch):
    tier = TrainedModel(runs[0] / "clip-llm").tiers["teacher"]
    texts = [f"text {number}" for number in range(TEXTS_KEPT + 100)]
    place = Place(tmp_path, VectorCache(tmp_path / "vectors"), Progress(quiet=True))
    seen, features = [], TeacherTier.features

    def until(most):
        def embed(self, some):
            if len(seen) + len(some) > most:
                raise KeyboardInterrupt
            seen.extend(some)
            return features(self, some)

        monkeypatch.setattr(TeacherTier, "features", embed)

    until(TEXTS_KEPT + 70)
    with pytest.raises(KeyboardInterrupt):
        Bench(TrainedModel(runs[0] / "clip-llm"), tier, place).texts(texts)
    assert len(seen) == TEXTS_KEPT + 64
    seen.clear()
    until(10_000)
    found = Bench(TrainedModel(runs[0] / "clip-llm"), tier, place).texts(texts)
    assert seen == texts[TEXTS_KEPT:]
    assert np.allclose(found[-1], tier.embed(texts[-1:])[0], atol=1e-3)
