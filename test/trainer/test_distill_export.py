"""distill and export as processes on a tiny teacher: exported is what was learned, an interruption is harmless."""

import hashlib
import json
import shutil

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file

from contracts import load
from stages.distill import token_batches
from stages.prepare import ShardWriter
from support import draw_images, interrupt_stage, run_stage, schedule, write_job
from towers.data import write_rows
from towers.metrics import recalls
from towers.student import load_static, load_student
from towers.two_towers import Adapter, TowersShape, load_image_tower, save_towers
from towers.vision import ImageTower, create_backbone, preprocess_recipe

LLM_WIDTH, EMBED_DIM, SIZE = 24, 32, 32
BACKBONE = "test_efficientnet"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Folders as prepare, embed_captions and clip leave them; a text's features are the mean of its words' vectors."""
    folder = tmp_path_factory.mktemp("teacher")
    prepare, embed, clip = (folder / name for name in ("prepare", "embed_captions", "clip"))
    for made in (prepare, embed, clip):
        made.mkdir()
    drawn = draw_images(folder / "images", 24)
    sets = {}
    for split, part in (("train", drawn[:12]), ("dev", drawn[12:])):
        writer = ShardWriter(prepare, split, 0, 100)
        files = [folder / "images" / f"{row['key']}.jpg" for row in part]
        shards = [writer.add(file.stem, file.read_bytes()) for file in files]
        rows = [row | {"shard": shard} for row, shard in zip(part, shards, strict=True)]
        writer.close()
        write_rows(prepare / f"pairs.{split}.jsonl", rows)
        sets[f"pairs.{split}"] = [{"id": row["key"], "text": text} for row in rows for text in row["captions"]]
    long = [{"id": "l0", "captions": ["there is a circle and a square . " * 20]}]
    write_rows(prepare / "long.train.jsonl", long)
    sets["long.train"] = [{"id": "l0", "text": long[0]["captions"][0]}]
    words = {"de": "ein roter Kreis", "fr": "un cercle rouge", "cs": "červený kruh"}
    write_rows(prepare / "translations.train.jsonl", [{"id": "t0", "en": "a red circle", **words}])
    sets["translations.train"] = [{"id": "t0", "text": "a red circle"}]
    sets["groups.train"], sets["fragments.train"], sets["prompts"] = [], [{"id": "0", "text": "circle"}], []
    for name, rows in sets.items():
        features = [np.mean([word_vector(word) for word in row["text"].split()], axis=0) for row in rows]
        tensor = torch.tensor(np.array(features), dtype=torch.bfloat16).reshape(len(rows), LLM_WIDTH)
        save_file({"features": tensor}, embed / f"features.{name}.safetensors")
        write_rows(embed / f"captions.{name}.jsonl", rows)
    torch.manual_seed(0)
    backbone = create_backbone(BACKBONE, pretrained=False)
    shape: TowersShape = {
        "text_tower": "llm", "llm_width": LLM_WIDTH, "embed_dim": EMBED_DIM, "adapter": {"blocks": 1, "expansion": 2},
        "backbone": {"name": BACKBONE, "size": SIZE}, "preprocess": preprocess_recipe(backbone, SIZE),
    }  # fmt: skip
    save_towers(clip, ImageTower(backbone, EMBED_DIM), Adapter(LLM_WIDTH, EMBED_DIM, 1, 2), shape)
    return {"prepare": prepare, "embed_captions": embed, "clip": clip, "contrastive": folder}


def word_vector(word):
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little")
    return np.random.default_rng(seed).normal(size=LLM_WIDTH)


def distill_config(steps):
    return {
        "vocabulary_size": 120, "layers": 2, "width": 32, "heads": 4, "context_length": 48,
        "initial_weights": "scratch", "matryoshka_dims": [32, 16], "contrastive_weight": 0.2, "temperature": 0.1,
        "mix": {"captions": 1, "groups": 1, "long": 0.1, "translations": 0.2, "fragments": 0.2, "prompts": 0},
        "batch_tokens": 200, "schedule": schedule(steps, lr=3e-3),
        "static": {"batch_size": 16, "schedule": schedule(10, lr=1e-2)},
    }  # fmt: skip


EXPORT = {
    "name": "tiny", "version": "1", "opset": 20, "image_weights": "float16", "parity_samples": 10,
    "min_mean_cosine": 0.97, "min_worst_cosine": 0.9,
    "parents": [{"name": "drawn images", "source": "test", "licence": "CC0-1.0"}],
    "terms": "Any use.", "limits": "Tests.",
}  # fmt: skip


@pytest.fixture(scope="module")
def distilled(inputs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("distilled")
    return run_stage(write_job(folder, "distill", inputs, distill_config(40))), folder / "distill"


@pytest.fixture(scope="module")
def exported(inputs, distilled, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    report = run_stage(write_job(folder, "export", inputs | {"distill": distilled[1]}, EXPORT))
    return report, folder / "export"


def test_the_student_comes_closer_to_its_teacher(distilled):
    metrics = distilled[0]["metrics"]
    assert metrics["student.dev_cosine@32"] > metrics["dev_cosine.first"]
    assert metrics["static.dev_cosine@32"] > 0.5


def test_an_interrupted_distillation_resumes_to_the_same_student(inputs, distilled, tmp_path):
    job = write_job(tmp_path, "distill", inputs, distill_config(40))
    assert interrupt_stage(job, at_step=5) == 75
    assert interrupt_stage(job, at_step=43) == 75
    run_stage(job)
    for name in ("student.safetensors", "static.safetensors"):
        expected = load_file(distilled[1] / name)
        for key, value in load_file(job.parent / name).items():
            torch.testing.assert_close(value, expected[key], atol=1e-5, rtol=0)
    assert (job.parent / "vocabulary.txt").read_text() == (distilled[1] / "vocabulary.txt").read_text()


def test_a_manifest_holds_and_its_golden_vectors_are_what_pytorch_computes(exported, distilled):
    folder = exported[1]
    manifest = load("ModelManifest", (folder / "manifest.json").read_text())
    student, wordpiece = load_student(distilled[1])
    static = load_static(distilled[1])
    for golden in manifest["golden"]:
        if golden["tier"] == "student":
            expected = student.embed(wordpiece.encode([golden["text"]], 48))[0]
        else:
            expected = static(wordpiece.tokens([golden["text"]]))[0].detach()
        cosine = float(expected @ torch.tensor(golden["embedding"]))
        assert cosine > 0.95, golden["text"]
    assert {golden["tier"] for golden in manifest["golden"]} == {"student", "static"}
    assert manifest["matryoshka_dims"] == [32, 16] and manifest["embed_dim"] == EMBED_DIM
    # Of 16 numbers at unit length the largest is at least 1/4, and the scale brings it to 127 or beyond.
    assert 127 <= manifest["quantisation"]["int8_scale"] <= 4 * 127
    scores = manifest["score_distributions"]
    for kind in ("text_image", "text_text", "image_image"):
        for quantiles in ("random", "matching"):
            assert len(scores[kind][quantiles]) == len(scores["levels"])
            assert sorted(scores[kind][quantiles]) == scores[kind][quantiles]
        assert len(scores[kind]["cosines"]) == len(scores[kind]["log_ratios"])
        assert sorted(scores[kind]["log_ratios"]) == scores[kind]["log_ratios"]
    # An image is likelier to be its own mirrored crop the nearer the two are.
    assert scores["image_image"]["log_ratios"][-1] > 0 > scores["image_image"]["log_ratios"][0]


def test_every_artefact_of_the_manifest_lies_in_the_folder_with_its_digest(exported):
    folder = exported[1]
    found = []

    def visit(value):
        if isinstance(value, dict) and {"path", "digest", "size"} <= value.keys():
            found.append(value)
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
            visit(item)

    visit(json.loads((folder / "manifest.json").read_text()))
    assert {item["path"] for item in found} == {
        "vocabulary.txt", "text.onnx", "text.weights.bin", "text.partition.bin", "text.table.bin",
        "static.table.bin", "image.onnx",
    }  # fmt: skip
    for item in found:
        data = (folder / item["path"]).read_bytes()
        assert (len(data), "sha256:" + hashlib.sha256(data).hexdigest()) == (item["size"], item["digest"])


def test_the_image_graph_computes_the_towers_vectors(exported, inputs):
    pixels = torch.randn(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    graph = onnxruntime.InferenceSession(str(exported[1] / "image.onnx"))
    embedded = torch.from_numpy(graph.run(["embedding"], {"pixels": pixels.numpy()})[0])
    with torch.no_grad():
        assert (embedded * load_image_tower(inputs["clip"])(pixels)).sum(1).min() > 0.999


def test_the_report_holds_parity_and_the_card_the_licences(exported):
    report, folder = exported
    assert report["metrics"]["parity.text.mean"] > 0.97 and report["metrics"]["parity.image.worst"] > 0.999
    card = (folder / "MODEL_CARD.md").read_text()
    assert "CC0-1.0" in card and "parity.text.worst" in card and "Any use." in card


def test_an_export_that_strays_from_pytorch_fails_and_leaves_no_manifest(inputs, distilled, tmp_path):
    job = write_job(tmp_path, "export", inputs | {"distill": distilled[1]}, EXPORT | {"min_mean_cosine": 1.0})
    assert run_stage(job, expect=1) == {}
    assert not (job.parent / "manifest.json").exists()


def test_a_published_recall_counts_ties_against_the_model(inputs, distilled, tmp_path):
    # Every token has the same row: all captions of dev have one vector, so no image can tell its own from the others.
    folder = tmp_path / "distill"
    shutil.copytree(distilled[1], folder)
    rows = torch.zeros_like(load_file(folder / "static.safetensors")["rows"])
    rows[:, 0] = 1
    save_file({"rows": rows}, folder / "static.safetensors")
    job = write_job(tmp_path, "export", inputs | {"distill": folder}, EXPORT)
    run_stage(job)
    metrics = json.loads((job.parent / "manifest.json").read_text())["metrics"]
    assert [metrics[f"static.image_to_text_R@{k}"] for k in (1, 5, 10)] == [0, 0, 0]
    # Images differ: one of the 12 comes first for that vector, five among the first five, ten among the first ten.
    assert [metrics[f"static.text_to_image_R@{k}"] for k in (1, 5, 10)] == pytest.approx([1 / 12, 5 / 12, 10 / 12])


def test_recall_counts_the_rank_of_the_own_image_and_of_the_best_own_text():
    images = torch.eye(3)
    texts = torch.tensor([[1, 0, 0], [0.5, 0.9, 0.1], [0, 0.2, 1], [0.1, 0.2, 0]])
    owners = torch.tensor([0, 0, 2, 1])
    figures = recalls(images, texts, owners)
    # Ranks of texts: 0, 1, 0, 0. Image 0 and 2 find their text first, image 1 second.
    assert figures["text_to_image_R@1"] == 0.75 and figures["text_to_image_R@5"] == 1
    assert figures["image_to_text_R@1"] == pytest.approx(2 / 3) and figures["image_to_text_R@5"] == 1


def test_a_pool_of_batches_is_the_same_for_the_same_seed_and_wastes_little():
    tokens = {"captions": [[1] * length for length in range(1, 60)], "long": [[1] * 300]}
    weights = {"captions": 1.0, "long": 0.02}
    first, second = (token_batches(1, weights, tokens, 512, 128) for _ in range(2))
    real = padded = 0
    for _ in range(40):
        batch = next(first)
        assert batch == next(second)
        lengths = [min(len(tokens[kind][number]) + 2, 128) for kind, number in batch]
        assert len(batch) * max(lengths) <= 512
        real, padded = real + sum(lengths), padded + len(batch) * max(lengths)
    assert real / padded > 0.95
