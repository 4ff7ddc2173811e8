"""Students that learn a checkpoint's text vectors from captions alone: near to them on captions that they did not see."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from published_clip import text_vectors, write_clip
from support import interrupt_stage, run_stage, schedule, write_job
from towers.formats.item import FormatError
from towers.imitation.captions import read_captions
from towers.imitation.vectors import of_features
from towers.student.files import load_student
from towers.student.model import StaticStudent, TextStudent
from towers.wordpiece import WordPiece

COLOURS = ("red", "green", "blue", "white", "black", "yellow")
THINGS = ("dog", "cat", "ball", "car", "tree", "house", "boat", "bird")
PLACES = ("in the snow", "on a beach", "near a river", "at night", "by the road")


def sentences() -> list[str]:
    return [f"a {colour} {thing} {place}" for colour in COLOURS for thing in THINGS for place in PLACES]


def student(steps: int = 40) -> dict[str, Any]:
    """Small students, both tiers."""
    tier = {"layers": 2, "width": 48, "heads": 4, "table_width": 48, "initial_weights": "scratch", "static_weight": 1}
    return {
        "vocabulary_size": 300, "alphabet": 80, "fallback": "bytes", "context_length": 24, "contrastive_weight": 0.2,
        "temperature": 0.05, "negatives_weight": 0.1, "noise": {"typing_errors": 0.05, "symbols": 0.0},
        "batch_tokens": 400,
        "tiers": [
            {**tier, "tier": "student", "schedule": schedule(steps, lr=3e-3)},
            {**tier, "tier": "tiny", "layers": 1, "schedule": schedule(steps // 2, lr=3e-3)},
        ],
        "static": {"width": 16, "batch_size": 64, "schedule": schedule(steps, lr=1e-2)},
    }  # fmt: skip


def config(checkpoint: Path, **changes: Any) -> dict[str, Any]:
    return {
        "checkpoint": str(checkpoint), "captions": ["captions.txt"], "features": None, "most_captions": 1000,
        "dev_captions": 24, "student": student(), **changes,
    }  # fmt: skip


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A tiny CLIP whose text vectors differ by their words more than those of fresh weights do."""
    folder = tmp_path_factory.mktemp("clip")
    model = write_clip(folder)
    with torch.no_grad():
        for parameter in model.text_model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(3)
    model.save_pretrained(folder)
    return folder, model


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "captions.txt").write_text("\n".join(sentences()) + "\n")
    return folder


def test_students_come_near_to_the_checkpoint_on_captions_that_they_did_not_see(published, data, tmp_path):
    folder, model = published
    report = run_stage(write_job(tmp_path, "imitate", {"data": data}, config(folder)))
    found = report["metrics"]
    assert found["captions"] + 24 == len(sentences())
    for tier in ("student", "tiny"):
        assert found[f"{tier}.dev_cosine"] > found["between.dev_cosine"] + 0.2
        assert found[f"{tier}.dev_top1"] > 4 / 24  # by chance one of 24
    # By transformers' own model, on texts of which none was a caption.
    made, words = load_student(tmp_path / "imitate")[0], WordPiece.read(tmp_path / "imitate" / "vocabulary.txt")
    texts = ["a red house at night", "a yellow bird on a beach"]
    ids, theirs = words.encode(texts, 24), text_vectors(model, texts)
    untrained = TextStudent(made.shape)
    untrained.add_static(StaticStudent.zeros(len(words.pieces), 16, made.shape.embed_dim))
    before, after = (F.cosine_similarity(each.embed(ids), theirs) for each in (untrained.eval(), made))
    assert (after > before + 0.2).all()
    assert sorted(path.name for path in (tmp_path / "imitate").glob("*.safetensors")) == [
        "static.safetensors", "student.safetensors", "tiny.safetensors",
    ]  # fmt: skip


def test_training_never_ends_below_its_start(published, data, tmp_path):
    folder, _ = published
    wild = student(8)
    for tier in wild["tiers"]:
        tier["schedule"] = schedule(tier["schedule"]["steps"], lr=1.0)  # destroys what it starts from
    found = run_stage(write_job(tmp_path, "imitate", {"data": data}, config(folder, student=wild)))["metrics"]
    for tier in ("student", "tiny"):
        assert found[f"{tier}.dev_cosine"] == pytest.approx(found[f"{tier}.dev_cosine.first"], abs=1e-5)


def test_it_goes_on_where_it_was_stopped(published, data, tmp_path):
    folder, _ = published
    short = config(folder, student=student(8))
    whole = run_stage(write_job(tmp_path, "imitate", {"data": data}, short, "whole"))
    job = write_job(tmp_path, "imitate", {"data": data}, short, "stopped")
    assert interrupt_stage(job, at_step=4) == 75
    assert run_stage(job)["metrics"] == whole["metrics"]
    for file in ("student", "tiny", "static"):
        ours, theirs = (load_file(tmp_path / name / f"{file}.safetensors") for name in ("whole", "stopped"))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_captions_are_read_from_what_people_have_and_split_by_picture(tmp_path):
    (tmp_path / "a.txt").write_text("one dog\n\none dog\ntwo  cats\n")
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        rows = [{"captions": [f"picture {n} from the left", f"picture {n} from the right"]} for n in range(30)]
        file.writelines(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "c.csv").write_text("caption;id\nthree birds;7\n")
    train, dev = read_captions([tmp_path / name for name in ("a.txt", "b.jsonl.gz", "c.csv")], 1000, 6, 1)
    assert len(train.texts) + len(dev.texts) == 63
    every = ["one dog", "one dog", "two cats"] + [text for row in rows for text in row["captions"]] + ["three birds"]
    for part in (train, dev):
        assert [every[number] for number in part.numbers] == part.texts
        pictures = [text.split(" from")[0] for text in part.texts if text.startswith("picture")]
        assert all(pictures.count(name) == 2 for name in pictures)
    assert not set(train.texts) & set(dev.texts)
    few, _ = read_captions([tmp_path / "b.jsonl.gz"], 20, 2, 1)
    assert len(few.texts) <= 18
    (tmp_path / "d.jsonl").write_text('{"url": "a.jpg"}\n')
    with pytest.raises(FormatError, match=r"d\.jsonl holds no captions: expected are a caption a line"):
        read_captions([tmp_path / "d.jsonl"], 10, 1, 1)
    with pytest.raises(FormatError, match=r"captions are read from \.txt"):
        read_captions([tmp_path / "e.docx"], 10, 1, 1)


def test_features_of_a_language_model_go_through_llm2clips_adapter(tmp_path):
    width, embed_dim, torch_rng = 12, 8, torch.Generator().manual_seed(0)

    def some(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=torch_rng)

    one = {"ln.weight": some(width), "ln.bias": some(width), "fn.0.weight": some(24, width), "fn.0.bias": some(24),
           "fn.3.weight": some(width, 24), "fn.3.bias": some(width)}  # fmt: skip
    last = {
        "1.weight": some(width),
        "1.bias": some(width),
        "2.weight": some(embed_dim, width),
        "2.bias": some(embed_dim),
    }
    weights = {f"text_adapter.adaptor.0.{name}": value for name, value in one.items()}
    weights |= {f"text_adapter.adaptor.{name}": value for name, value in last.items()}
    save_file(weights, tmp_path / "model.safetensors")
    features_ND = some(5, width)
    save_file({"features": features_ND.half()}, tmp_path / "features.safetensors")
    found = of_features(tmp_path / "features.safetensors", tmp_path, torch.device("cpu"))(["", ""], [3, 1])
    # The adapter as its authors write it, on features of length one (LLM2CLIP, 2411.04997).
    x = F.normalize(features_ND.half().float()[[3, 1]], dim=-1)
    hidden = F.gelu(
        F.linear(F.layer_norm(x, [width], one["ln.weight"], one["ln.bias"]), one["fn.0.weight"], one["fn.0.bias"])
    )
    x = x + F.linear(hidden, one["fn.3.weight"], one["fn.3.bias"])
    x = F.linear(F.layer_norm(x, [width], last["1.weight"], last["1.bias"]), last["2.weight"], last["2.bias"])
    np.testing.assert_allclose(found, F.normalize(x, dim=-1), atol=1e-5)
    save_file({"features": 3 * some(5, embed_dim)}, tmp_path / "vectors.safetensors")
    given = of_features(tmp_path / "vectors.safetensors", tmp_path, torch.device("cpu"))(["", ""], [0, 4])
    np.testing.assert_allclose(np.linalg.norm(given, axis=1), 1, atol=1e-6)
    save_file({"features": some(5, 7)}, tmp_path / "other.safetensors")
    with pytest.raises(
        ValueError, match=r"features have 7 numbers: the adapter of .* reads 12, and its joint space has 8"
    ):
        of_features(tmp_path / "other.safetensors", tmp_path, torch.device("cpu"))
