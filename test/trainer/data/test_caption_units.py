"""embed_captions in units: what a text gets does not depend on how the work is cut, who does it or how often it is killed."""

import json
import signal
import sys
import threading
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from shard_sets import feature_of, vector_of_text, write_shards

from data.captions.embed import CaptionWork, embed_all
from data.features import FeatureStore, features_of_set
from data.manifest import rows_digest
from engine.world import World
from stages import embed_captions
from support import write_job
from towers.data import read_rows
from towers.text.wrong_captions import wrong_captions

COUNTS, WIDTH = [5, 4, 6], 16
CONFIG = {
    "stage": "embed_captions",
    "teachers": [{"type": "sentence_encoder", "package": "none"}],
    "pooling": "mean",
    "max_tokens": 16,
    "batch_tokens": 40,
    "shard_size": 7,
    "limits": {"groups": 0, "long": 0, "translations": 0, "fragments": 0, "concepts": 0},
    "concept_texts": {"templates": [], "synonyms": 0, "gloss": False, "hypernyms": 0, "descriptions": 0},
    "prompt_templates": [],
}


class Teacher:
    """Gives caption c of image n the vector that says so; counts the texts, and fails at one of them if told so."""

    is_encoder, model = True, None

    def __init__(self, fails_at=None):
        self.seen, self.fails_at = [], fails_at

    def tokens(self, texts, _):
        return [[*text.encode()] for text in texts]

    def features(self, rows, _, **__):
        texts = [bytes(row).decode() for row in rows]
        if self.fails_at in texts:
            raise MemoryError(self.fails_at)
        self.seen += texts
        return torch.from_numpy(np.stack([vector_of(text) for text in texts]))


class AnyTeacher(Teacher):
    """Gives any text the vector that says which one it is."""

    def features(self, rows, _, **__):
        texts = [bytes(row).decode() for row in rows]
        self.seen += texts
        return torch.from_numpy(np.stack([vector_of_text(text, WIDTH) for text in texts]))


def vector_of(text):
    image, caption = text.split(".")
    return feature_of(int(image), int(caption), WIDTH)


def expected(image, caption):
    vector = torch.from_numpy(feature_of(image, caption, WIDTH))
    return (vector / vector.norm()).bfloat16().float()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    train = write_shards(folder, COUNTS)
    write_shards(folder, [3], split="dev", before=train)
    return folder, train


@pytest.fixture
def stage(tmp_path, prepared, monkeypatch):
    """Runs the stage to its end: its folder, and the texts that its teacher has seen."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def run(name, fails_at=None, source=prepared[0], teacher=None, **changes):
        job = write_job(tmp_path, "embed_captions", {"prepare": source}, {**CONFIG, **changes}, name)
        teacher = teacher or Teacher(fails_at)
        monkeypatch.setattr(sys, "argv", ["embed_captions", str(job)])
        monkeypatch.setattr(embed_captions, "read_teachers", lambda _: [teacher])
        if fails_at is None:
            embed_captions.main()
        else:
            with pytest.raises(MemoryError):
                embed_captions.main()
        return job.parent, teacher.seen

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def all_files(folder):
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*.safetensors")}


@pytest.mark.parametrize("cut", ["texts", "shards"])
def test_every_caption_of_an_image_has_its_own_features_however_the_work_is_cut(stage, prepared, cut):
    folder, seen = stage(cut, cut=cut)
    found = features_of_set(folder, "pairs.train").gather_numbers(np.arange(2 * sum(COUNTS)))
    assert torch.equal(found, torch.stack([expected(n, c) for n in range(sum(COUNTS)) for c in range(2)]))
    store = FeatureStore(folder / "pairs.train", rows_digest(prepared[1]))
    # Image 4 of shard 2 is the fourteenth.
    assert torch.equal(store.gather(np.array([2]), np.array([store.rows_of(2, 4)[1]]))[0], expected(13, 1))
    assert [row["text"] for row in read_rows(folder / "captions.pairs.dev.jsonl")] == [
        "0.0",
        "0.1",
        "1.0",
        "1.1",
        "2.0",
        "2.1",
    ]
    # Captions of dev are those of train: over all texts they are embedded once, over shards once in each.
    assert len(seen) == (30 if cut == "texts" else 36)
    report = json.loads((folder / "report.json").read_text())
    assert (report["metrics"]["rows.pairs.train"], report["metrics"]["width"]) == (30, WIDTH)
    assert {artefact["path"] for artefact in report["artefacts"].values()} >= set(all_files(folder))
    assert not (folder / ".locks").exists() and not list(folder.glob("shard-*"))


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_first_of_several_processes_leaves_what_one_alone_leaves(stage, tmp_path, monkeypatch, ranks):
    def end(_, code):
        raise SystemExit(code)

    world = World(0, ranks, 0, torch.device("cpu"), local_size=ranks)
    monkeypatch.setattr("engine.run.join_world", lambda: world)
    monkeypatch.setattr("engine.run.end_process", end)
    with pytest.raises(SystemExit) if ranks > 1 else nullcontext():
        stage("shared")
    folder = tmp_path / "shared"
    names = ["captions.pairs.train.jsonl", "features.groups.train.safetensors", "pairs.train", "report.json"]
    assert all((folder / name).exists() for name in names)
    assert not (folder / ".locks").exists() and not list(folder.glob("shard-*"))


def test_small_sets_are_cut_at_texts_and_large_ones_at_shards(stage, monkeypatch):
    assert len(stage("small")[1]) == 30
    monkeypatch.setattr("data.manifest.LARGE_SET", 14)
    assert len(stage("large")[1]) == 36


def test_int8_takes_half_of_the_bytes_and_is_off_by_half_a_step(stage):
    (small, _), (whole, _) = stage("int8", cut="shards", store="int8"), stage("bf16", cut="shards")
    found, exact = (features_of_set(folder, "pairs.train").gather_numbers(np.arange(30)) for folder in (small, whole))
    assert (found - exact).abs().max() <= exact.abs().max() / 127 / 2 * 1.01
    store = FeatureStore(small / "pairs.train").shard(0)
    assert store.features.dtype == np.int8 and store.features.nbytes == 10 * WIDTH


@pytest.mark.parametrize("cut", ["texts", "shards"])
def test_a_kill_loses_no_more_than_the_unit_at_work(stage, cut):
    whole, _ = stage("whole", cut=cut)
    # In the second shard of seven texts, or of four images.
    folder, first = stage("killed", fails_at="6.0", cut=cut)
    done = 7 if cut == "texts" else 10
    assert done <= len(first) < done + 8
    again, second = stage("killed", cut=cut)
    assert len(second) == (30 if cut == "texts" else 36) - done
    assert again == folder and all_files(again) == all_files(whole)


def test_processes_share_the_units_and_one_that_has_left_is_replaced(tmp_path, prepared):
    """Three of four processes: what the one that never came would have done is done by the others, nothing twice."""
    teacher, output = Teacher(), tmp_path / "shared"
    config = {**CONFIG, "cut": "shards"}
    output.mkdir()

    def rank(number):
        world = SimpleNamespace(rank=number, size=4, leads=number == 0, local_size=4)
        run = SimpleNamespace(
            world=world, output=output, config=config, resume=dict, save=lambda _: None, tick=lambda *_: None
        )
        embed_all(run, CaptionWork(prepared[0], output, config).units, [teacher])  # pyright: ignore[reportArgumentType]

    threads = [threading.Thread(target=rank, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(teacher.seen) == 36
    work = CaptionWork(prepared[0], output, config)  # pyright: ignore[reportArgumentType]
    assert all(unit.is_done for unit in work.units)
    work.finish()
    assert torch.equal(features_of_set(output, "pairs.train").gather_numbers(np.array([27]))[0], expected(13, 1))


@pytest.mark.parametrize("cut", ["texts", "shards"])
def test_wrong_captions_are_stored_caption_by_caption_beside_the_shard_of_the_right_ones(tmp_path, stage, cut):
    captions = [["a red ball beside the blue chair", "a ball"], ["two dogs", "it is wet"], ["a lighthouse", "dusk"],
                ["a lighthouse", "a man on a horse"]]  # fmt: skip
    source = tmp_path / "source"
    train = write_shards(source, [2, 1, 1], captions=captions.__getitem__)
    write_shards(source, [1], split="dev", before=train, captions=captions.__getitem__)
    folder, seen = stage(cut, source=source, teacher=AnyTeacher(), cut=cut, hard_negatives=2)
    store = FeatureStore(folder / "negatives.train", rows_digest(train))
    # In the second shard no caption has a wrong one.
    assert [(shard["groups"], shard["rows"] > 0) for shard in store.shards] == [(4, True), (2, False), (2, True)]
    assert "a blue ball beside the red chair" in seen
    every, of_shards = [], [captions[:2], captions[2:3], captions[3:]]
    for shard, images in enumerate(of_shards):
        for number, caption in enumerate(text for image in images for text in image):
            wrong = wrong_captions(caption, 2)
            rows = store.rows_of(shard, number)
            assert len(rows) == len(wrong)
            found = store.gather(np.full(len(rows), shard), np.array(rows, dtype=np.int64))
            for text, vector in zip(wrong, found, strict=True):
                expected = torch.from_numpy(vector_of_text(text, WIDTH))
                assert torch.equal(vector, (expected / expected.norm()).bfloat16().float())
            every += wrong
    assert [row["text"] for row in read_rows(folder / "captions.negatives.train.jsonl")] == every
    report = json.loads((folder / "report.json").read_text())
    assert report["metrics"]["rows.negatives.train"] == len(every)
    assert {artefact["path"] for artefact in report["artefacts"].values()} >= set(all_files(folder))


DETAILS = [
    {"negatives": ["a striped cat", "no cat"]},
    {"regions": [{"box": [0, 0, 1, 1], "text": "a dog", "negatives": ["a wolf"]}, {"box": [0, 0, 1, 1], "text": "its red lead"}]},
    {"regions": [{"box": [0, 0, 1, 1], "text": "dusk"}], "negatives": ["dawn"]},
]  # fmt: skip


@pytest.mark.parametrize("cut", ["texts", "shards"])
def test_negatives_of_rows_come_first_and_texts_of_regions_are_stored_image_by_image(tmp_path, stage, cut):
    captions = [["a red cat", "a cat"], ["a dog", "an old dog"], ["a lighthouse", "dusk"]]
    source = tmp_path / "source"
    train = write_shards(source, [2, 1], captions=captions.__getitem__, details=DETAILS.__getitem__)
    write_shards(source, [2], split="dev", before=train, captions=captions.__getitem__, details=DETAILS.__getitem__)
    changes = {"hard_negatives": 3, "regions": {"negatives": 2}}
    folder, _ = stage(cut, source=source, teacher=AnyTeacher(), cut=cut, **changes)
    wrong = {}
    for row in read_rows(folder / "captions.negatives.train.jsonl"):
        wrong.setdefault(row["id"], []).append(row["text"])
    assert wrong["0"] == ["a striped cat", "no cat", *wrong_captions("a red cat", 1)]
    assert wrong["1"][:2] == ["a striped cat", "no cat"] and wrong["3"] == wrong_captions("an old dog", 3)
    assert wrong["4"] == wrong["5"] == ["dawn"]
    store = FeatureStore(folder / "regions.train", rows_digest(train))
    lead, dogs = wrong_captions("its red lead", 2), wrong_captions("a dog", 1)
    expected = [[], ["a dog", "a wolf", *dogs, "its red lead", *lead], ["dusk"]]
    for number, texts in enumerate(expected):
        shard, image = divmod(number, 2)
        rows = store.rows_of(shard, image)
        assert len(rows) == len(texts)
        for text, vector in zip(texts, store.gather(np.full(len(rows), shard), np.array(rows, np.int64)), strict=True):
            whole = torch.from_numpy(vector_of_text(text, WIDTH))
            assert torch.equal(vector, (whole / whole.norm()).bfloat16().float())
    flat = [(str(number), text) for number, texts in enumerate(expected) for text in texts]
    assert [(row["id"], row["text"]) for row in read_rows(folder / "captions.regions.train.jsonl")] == flat
    report = json.loads((folder / "report.json").read_text())
    assert report["metrics"]["rows.regions.train"] == len(flat)
    assert [(row["id"], row["text"]) for row in read_rows(folder / "captions.regions.dev.jsonl")] == flat[:-1]
    assert {artefact["path"] for artefact in report["artefacts"].values()} >= set(all_files(folder))


def test_regions_that_no_image_has_are_not_asked_for(stage):
    with pytest.raises(ValueError, match=r"embed_captions\.regions: no train image has regions"):
        stage("none", regions={"negatives": 0})
