"""distill and export as processes on a tiny teacher: exported is what was learned, an interruption is harmless."""

import hashlib
import json
import shutil
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file

from contracts import load
from contracts.types import ExportConfigMaxMib, ModelManifest
from support import draw_images, interrupt_stage, run_stage, schedule, write_job
from tasks.distill import DistillStudent
from towers.data import read_pairs, write_rows
from towers.exported_files import check_sizes, load_tiers
from towers.image.backbone import create_backbone, preprocess_recipe
from towers.image.of_run import load_image_tower
from towers.image.tower import ImageTower
from towers.metrics import recalls
from towers.served_text import served_tiers
from towers.shards import ShardWriter
from towers.student.examples import Example, Sampler
from towers.student.files import load_static, load_student
from towers.student.targets import Targets
from towers.student.texts import read_student_texts
from towers.student.vocabulary import token_table
from towers.two_towers import Adapter, TowersShape, save_towers
from towers.wordpiece import train_vocabulary

LLM_WIDTH, EMBED_DIM, SIZE = 24, 32, 32
BACKBONE = "test_efficientnet"
VOCABULARY = {"vocabulary_size": 500, "alphabet": 60, "fallback": "bytes"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Folders as prepare, embed_captions and clip leave them, and a vocabulary; a text's features are the mean of its words' vectors."""
    folder = tmp_path_factory.mktemp("teacher")
    prepare, embed, clip = (folder / name for name in ("prepare", "embed_captions", "clip"))
    for made in (prepare, embed, clip):
        made.mkdir()
    drawn = draw_images(folder / "images", 24)
    sets = {}
    for split, part in (("train", drawn[:12]), ("dev", drawn[12:])):
        writer = ShardWriter(prepare / f"{split}-00000.tar")
        for row in part:
            writer.add(row["key"], (folder / "images" / f"{row['key']}.jpg").read_bytes())
        chinese = {"train": {"tr": {"zh": ["一个红色的圆圈"]}}, "dev": {}}[split]
        rows = [row | {"shard": writer.file.name} | chinese for row in part]
        writer.close()
        write_rows(prepare / f"pairs.{split}.jsonl", rows)
        sets[f"pairs.{split}"] = [{"id": row["key"], "text": text} for row in rows for text in row["captions"]]
    long = [{"id": "l0", "captions": ["there is a circle and a square . " * 20]}]
    write_rows(prepare / "long.train.jsonl", long)
    sets["long.train"] = [{"id": "l0", "text": long[0]["captions"][0]}]
    words = {"de": "ein roter Kreis", "fr": "un cercle rouge", "uk": "червоне коло"}
    write_rows(prepare / "translations.train.jsonl", [{"id": "t0", "en": "a red circle", **words}])
    write_rows(prepare / "translations.dev.jsonl", [{"id": f"d{n}", "en": "a red circle", **words} for n in range(60)])
    sets["translations.train"] = [{"id": "t0", "text": "a red circle"}]
    sets["groups.train"], sets["fragments.train"], sets["prompts"] = [], [{"id": "0", "text": "circle"}], []
    concept = {"id": "own:0", "source": "own", "name": "Circle", "names": ["Circle"], "gloss": "a round line"}
    write_rows(
        prepare / "concepts.train.jsonl", [concept | {"descriptions": [], "tr": {"de": ["Kreis"], "ar": ["دائرة"]}}]
    )
    sets["concepts.train"] = [{"id": "own:0", "text": "a round line"}]
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
    made = {"prepare": prepare, "embed_captions": embed, "clip": clip, "contrastive": folder}
    run_stage(write_job(folder, "vocabulary", made, VOCABULARY))
    return made | {"vocabulary": folder / "vocabulary"}


def word_vector(word):
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little")
    return np.random.default_rng(seed).normal(size=LLM_WIDTH)


def distill_config(steps, **changes):
    tier = {
        "tier": "student", "layers": 2, "width": 32, "heads": 4, "table_width": 32, "initial_weights": "scratch",
        "static_weight": 1, "schedule": schedule(steps, lr=3e-3),
    }  # fmt: skip
    tiny = {"tier": "tiny", "layers": 1, "table_width": 8, "initial_weights": "student", "schedule": schedule(10)}
    return {
        "context_length": 48,
        "matryoshka_dims": [32, 16], "contrastive_weight": 0.2, "temperature": 0.1,
        "image_weight": 0.1, "negatives_weight": 0.1,
        "mix": {
            "captions": 1, "captions_tr": 0.2, "groups": 1, "long": 0.1, "translations": 0.2, "fragments": 0.2,
            "prompts": 0, "concepts": 0.1, "names": 0.1,
        },
        "noise": {"typing_errors": 0.2, "symbols": 0.2},
        "batch_tokens": 200, "tiers": [tier, tier | tiny],
        "static": {"width": 16, "batch_size": 16, "schedule": schedule(10, lr=1e-2)},
    } | changes  # fmt: skip


EXPORT = {
    "name": "tiny", "version": "1", "opset": 20, "image_weights": "float16", "parity_samples": 10,
    "min_mean_cosine": 0.97, "min_worst_cosine": 0.9,
    "max_mib": {"student": 24, "tiny": 8, "static": 4, "all": 56},
    "parents": [{"name": "drawn images", "source": "test", "licence": "CC0-1.0"}],
    "terms": "Any use.", "limits": "Tests.", "static_weights": {"student": 3},
}  # fmt: skip


@pytest.fixture(scope="module")
def distilled(inputs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("distilled")
    return run_stage(write_job(folder, "distill", inputs, distill_config(70))), folder / "distill"


@pytest.fixture(scope="module")
def exported(inputs, distilled, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    report = run_stage(write_job(folder, "export", inputs | {"distill": distilled[1]}, EXPORT))
    return report, folder / "export"


def test_the_student_comes_closer_to_its_teacher(distilled):
    metrics = distilled[0]["metrics"]
    assert metrics["student.dev_cosine@32"] > metrics["student.dev_cosine.first"]
    assert metrics["tiny.dev_cosine@32"] > 0.5 and metrics["static.dev_cosine@32"] > 0.5


def test_an_interrupted_distillation_resumes_to_the_same_student(inputs, distilled, tmp_path):
    job = write_job(tmp_path, "distill", inputs, distill_config(70))
    for step in (5, 13, 83):  # in the static table, the student, the tiny tier
        assert interrupt_stage(job, at_step=step) == 75
    run_stage(job)
    for name in ("student.safetensors", "tiny.safetensors", "static.safetensors"):
        expected = load_file(distilled[1] / name)
        for key, value in load_file(job.parent / name).items():
            torch.testing.assert_close(value, expected[key], atol=1e-5, rtol=0)
    assert (job.parent / "vocabulary.txt").read_text() == (distilled[1] / "vocabulary.txt").read_text()


def test_a_manifest_holds_and_its_golden_vectors_are_what_pytorch_computes(exported, distilled):
    folder = exported[1]
    manifest = load("ModelManifest", (folder / "manifest.json").read_text())
    student, wordpiece = load_student(distilled[1])
    static = load_static(distilled[1])
    tiny, _ = load_student(distilled[1], "tiny")
    student.shape = replace(student.shape, static_weight=3)
    assert (manifest["text"]["static_weight"], manifest["tiny"]["static_weight"]) == (3, 1)
    for golden in manifest["golden"]:
        if golden["tier"] == "static":
            expected = static(wordpiece.tokens([golden["text"]]))[0].detach()
        else:
            tier = {"student": student, "tiny": tiny}[golden["tier"]]
            expected = tier.embed(wordpiece.encode([golden["text"]], 48))[0]
        cosine = float(expected @ torch.tensor(golden["embedding"]))
        assert cosine > 0.95, golden["text"]
    assert {golden["tier"] for golden in manifest["golden"]} == {"student", "tiny", "static"}
    assert manifest["text"]["tokenizer"]["fallback"] == "bytes"
    assert (manifest["tiny"]["width"], manifest["tiny"]["table"]["width"]) == (32, 8)
    assert manifest["static"]["projection"]["rows"] == manifest["static"]["table"]["width"] == 16
    assert manifest["matryoshka_dims"] == [32, 16] and manifest["embed_dim"] == EMBED_DIM
    assert {each["language"]: list(each["metrics"]) for each in manifest["languages"]} == {
        "en": ["text_to_image_R@10"], "de": ["to_english_R@1"], "fr": ["to_english_R@1"], "uk": ["to_english_R@1"],
    }  # fmt: skip
    # Of 16 numbers at unit length the largest is at least 1/4, and the scale brings it to 127 or beyond.
    assert 127 <= manifest["quantisation"]["int8_scale"] <= 4 * 127
    assert manifest["quantisation"]["bits"] == "rotated"
    verdicts = manifest["search_verdicts"]
    assert set(verdicts) == {"student", "tiny", "static"}
    for verdict in (each for tier in verdicts.values() for each in tier.values()):
        assert verdict["counts"] == sorted(set(verdict["counts"])) and verdict["counts"][0] == 1
        assert {len(values) for values in verdict.values()} == {len(verdict["counts"])}
        assert all(np.less_equal(verdict["absent_below"], verdict["present_above"])) and min(verdict["scales"]) >= 0
    # The towers have learnt next to nothing here: what the figures are is of no interest, that they are there is.
    assert 0 <= manifest["metrics"]["static.verdict.ece"] <= 1 and 0 <= manifest["metrics"]["tiny.verdict.auc"] <= 1
    scores = manifest["score_distributions"]
    for kind in ("text_image", "text_text", "image_image"):
        for quantiles in ("random", "matching"):
            assert len(scores[kind][quantiles]) == len(scores["levels"])
            assert sorted(scores[kind][quantiles]) == scores[kind][quantiles]
        assert len(scores[kind]["cosines"]) == len(scores[kind]["log_ratios"])
        assert sorted(scores[kind]["log_ratios"]) == scores[kind]["log_ratios"]
    # An image is likelier to be its own mirrored crop the nearer the two are.
    assert scores["image_image"]["log_ratios"][-1] > 0 > scores["image_image"]["log_ratios"][0]


def test_a_weight_of_a_tier_that_is_not_there_is_refused(distilled, tmp_path):
    for file in distilled[1].iterdir():
        if file.is_file() and not file.name.startswith("tiny"):
            shutil.copy(file, tmp_path)
    with pytest.raises(SystemExit, match=r"export\.static_weights names tiny, and the run of distill has student"):
        load_tiers(tmp_path, {"tiny": 2})


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
        "tiny.onnx", "tiny.weights.bin", "tiny.partition.bin", "tiny.table.bin", "static.table.bin",
        "static.projection.bin", "image.onnx",
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


@pytest.mark.parametrize("described", [0, 5])
def test_dev_images_of_one_caption_are_refused_before_anything_is_written(inputs, distilled, tmp_path, described):
    """How alike two texts about one thing are cannot be seen on them. Of twelve images half is enough."""
    shutil.copytree(inputs["prepare"], tmp_path / "prepare")
    rows = read_pairs(tmp_path / "prepare", "dev")
    for row in rows[described:]:
        row["captions"] = row["captions"][:1]
    write_rows(tmp_path / "prepare" / "pairs.dev.jsonl", rows)
    given = inputs | {"distill": distilled[1], "prepare": tmp_path / "prepare"}
    job = write_job(tmp_path, "export", given, EXPORT)
    with pytest.raises(AssertionError, match=rf"{described} of 12 dev images have two captions or more, .* at least 6"):
        run_stage(job)
    assert [file.name for file in job.parent.iterdir() if file.suffix in (".onnx", ".bin")] == []


def test_a_published_recall_counts_ties_against_the_model(inputs, distilled, tmp_path):
    # Every token has the same row: all captions of dev have one vector, so no image can tell its own from the others.
    folder = tmp_path / "distill"
    shutil.copytree(distilled[1], folder)
    tensors = load_file(folder / "static.safetensors")
    tensors["rows"].zero_()[:, 0] = 1
    save_file(tensors, folder / "static.safetensors")
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


class Given:
    """Vectors as if they were features, for a teacher that says what it is given."""

    def __init__(self, vectors_NE):
        self.vectors_NE, self.width = vectors_NE, vectors_NE.shape[1]

    def __len__(self):
        return len(self.vectors_NE)

    def gather_numbers(self, numbers_B):
        return self.vectors_NE[numbers_B]


def test_texts_of_every_kind_have_the_target_of_what_they_mean(inputs, tmp_path):
    words = {}

    def targets_of(name):
        rows = [json.loads(line) for line in (inputs["embed_captions"] / f"captions.{name}.jsonl").open()]
        words[name] = [row["text"] for row in rows]
        return torch.nn.functional.normalize(
            torch.tensor(
                np.array([sum(word_vector(w) for w in row["text"].split()) for row in rows]), dtype=torch.float32
            ),
            dim=-1,
        )

    texts = read_student_texts(inputs["prepare"], inputs["embed_captions"], tmp_path)
    kinds = texts.kinds
    sets: Any = [Given(targets_of(name)) for name in texts.sets]
    targets = Targets(tmp_path, sets, lambda features_BD: features_BD, sets[0].width, texts.means)
    assert len(targets) == sum(map(len, sets)) + len(texts.means)
    english = targets_of("translations.train")[0]
    assert set(kinds["translations"].texts) == {"ein roter Kreis", "un cercle rouge", "червоне коло"}
    assert all(torch.equal(target, english) for target in targets.of(kinds["translations"].rows.tolist()))
    # Chinese captions: the mean of the two English ones of the same image.
    captions = targets_of("pairs.train")
    for row, image in zip(kinds["captions_tr"].rows, kinds["captions_tr"].images, strict=True):
        mean = captions[2 * image] + captions[2 * image + 1]
        torch.testing.assert_close(targets.of([row])[0], mean / mean.norm())
    # A name alone and in sentences of its language: the vector of the English name, which was embedded in lower case.
    assert {"Kreis", "ein Foto von einem Kreis", "دائرة", "صورة دائرة"} <= set(kinds["names"].texts)
    circle = targets_of("fragments.train")[0]
    assert all(torch.equal(target, circle) for target in targets.of(kinds["names"].rows.tolist()))
    assert set(texts.languages) == {"de", "fr", "uk", "zh", "ar"}


def test_batches_are_the_same_for_the_same_seed_and_waste_little(inputs, tmp_path):
    texts = read_student_texts(inputs["prepare"], inputs["embed_captions"], tmp_path)
    wordpiece = train_vocabulary(texts.kinds["captions"].texts, 400, 60, spells=True)
    tokens = {name: token_table(kind.texts, wordpiece, tmp_path) for name, kind in texts.kinds.items()}
    samplers = [Sampler(texts, wordpiece, tokens, distill_config(1), seed) for seed in (1, 1)]
    first, second = (sampler.batches("student", 512, 48) for sampler in samplers)
    real = padded = contradictions = 0
    for _ in range(40):
        batch: list[Example] = next(first)
        assert batch == next(second)
        lengths = [min(len(example.ids) + 2, 48) for example in batch]
        assert len(batch) * max(lengths) <= 512
        real, padded = real + sum(lengths), padded + len(batch) * max(lengths)
        contradictions += sum(example.contradiction is not None for example in batch)
    assert real / padded > 0.9
    assert contradictions > 0
    few = Sampler(texts, wordpiece, tokens, distill_config(1, pool_batches=1), 1)
    assert len(few.pool("student", 0, 512, 48)) < 32 <= len(samplers[0].pool("student", 0, 512, 48))


def test_the_teacher_is_asked_once_for_a_text_when_it_is_drawn_and_says_the_same_in_any_company(tmp_path):
    torch.manual_seed(0)
    adapter = Adapter(24, 16, 2, 2).eval()
    sets: Any = [Given(torch.randn(count, 24)) for count in (700, 1000)]
    asked: list[int] = []

    def teacher(features_BD):
        asked.append(len(features_BD))
        with torch.no_grad():
            return adapter(features_BD)

    def targets():
        return Targets(tmp_path, sets, teacher, 16, [[3, 1699], [5, 6, 7]])

    alone, straight = targets(), targets()
    first_BE = alone.of([1700, 5, 5, 1699])
    assert asked == [512]  # more than are wanted, always as many: the rest are asked for later
    all_NE = straight.of(range(1702))
    assert asked == [512] * 5
    assert torch.equal(first_BE, all_NE[[1700, 5, 5, 1699]])
    assert torch.equal(straight.of([1701, 0]), all_NE[[1701, 0]]) and asked == [512] * 5
    expected_NE = teacher(torch.cat([given.vectors_NE for given in sets]))
    torch.testing.assert_close(all_NE[:1700], expected_NE)
    mean_E = expected_NE[[5, 6, 7]].mean(0)
    torch.testing.assert_close(all_NE[1701], mean_E / mean_E.norm())
    assert list(tmp_path.iterdir()) == []


def test_another_attempt_draws_no_pool_again(inputs, tmp_path, monkeypatch):
    texts = read_student_texts(inputs["prepare"], inputs["embed_captions"], tmp_path)
    wordpiece = train_vocabulary(texts.kinds["captions"].texts, 400, 60, spells=True)
    tokens = {name: token_table(kind.texts, wordpiece, tmp_path) for name, kind in texts.kinds.items()}
    sampler = Sampler(texts, wordpiece, tokens, distill_config(1), 1)
    shared: Any = SimpleNamespace(sampler=sampler, config=distill_config(1) | {"batch_tokens": 512})
    straight, resumed = (DistillStudent(shared, "student", []) for _ in range(2))
    before = [straight.draw(step) for step in range(90)]
    state = straight.state()
    after = [straight.draw(step) for step in range(90, 140)]
    assert 0 < state["pool"] < straight.pool
    drawn, draw = [], Sampler.draw
    monkeypatch.setattr(Sampler, "draw", lambda self, name, count: drawn.append(name) or draw(self, name, count))
    resumed.load_state(state)
    assert [resumed.draw(step) for step in range(90, 140)] == after
    assert {int(name.split("/")[1]) for name in drawn} == set(range(state["pool"], straight.pool + 1))
    again = sampler.batches("student", 512, distill_config(1)["context_length"])
    assert list(islice(again, 140)) == [*before, *after]


def test_a_tier_that_is_too_large_is_refused_with_its_size_and_what_would_help():
    half = {"path": "a", "digest": "", "size": 5 * 2**19}
    described = {"text": {"table": {"file": half}}, "static": {"table": {"file": half}}}
    limits: ExportConfigMaxMib = {"student": 3, "tiny": 1, "static": 3, "all": 5}
    assert check_sizes(described, limits) == {"student": 5 * 2**19, "static": 5 * 2**19, "all": 5 * 2**20}
    with pytest.raises(
        SystemExit, match=r"the static tier: 2\.50 MiB, and the recipe allows 2 .*max_mib\.static.*static\.width"
    ):
        check_sizes(described, {**limits, "static": 2})
    with pytest.raises(SystemExit, match="all files together: 5"):
        check_sizes(described, {**limits, "all": 4})


def test_no_text_is_without_a_vector_of_its_own_in_any_tier(exported):
    folder = exported[1]
    tiers = served_tiers(folder, cast(ModelManifest, load("ModelManifest", (folder / "manifest.json").read_text())))
    assert set(tiers) == {"student", "tiny", "static"}
    texts = ["犬", "собака", "🐶", "👍", "x" * 150, "qw" * 150, "a red circle", "ქალაქი"]
    for tier, embed in tiers.items():
        vectors = embed(texts)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        cosines = vectors @ vectors.T - np.eye(len(texts))
        assert cosines.max() < 0.9999, tier
        # One text per run: neighbours do not change a vector, not in one bit.
        assert np.array_equal(embed(texts[:3])[2], vectors[2]), tier
