"""Stage clip with images from their shards: stopped or on more ranks it is the same training."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from multiprocessing import active_children
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from shard_sets import RECIPE, vector_of_text, write_shards
from streamed_clip import CONFIG, WIDTH, store, write_inputs

from data import stream
from data.batches import LowResolution, PairLoader, PairOptions, Piece
from data.copies import LocalShards
from data.features import FeatureStore
from data.image import CropOptions
from data.manifest import read_manifest, shards_of
from engine.folders.files import artefact
from engine.run import Run
from stages.clip import main
from support import schedule, write_job
from towers.data import write_rows
from towers.regions.seen import RegionOptions
from towers.shards import ShardWriter
from towers.text.wrong_captions import wrong_captions
from warm import STAGE_ENV, warm_python


@pytest.fixture
def inputs(tmp_path):
    return write_inputs(tmp_path)


@pytest.fixture
def with_wrong(tmp_path):
    """The same with at most three wrong captions of a caption."""
    return write_inputs(tmp_path, wrong=3)


WRONG = {**CONFIG, "hard_negatives_weight": 0.5}


@pytest.fixture
def clip(monkeypatch):
    """Runs a job in this process, to its end or to a request to stop at a step: the figures of every step."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def run(job, stop=None):
        found = {}

        def progress(self, step, _, figures):
            read: dict[str, Any] = {name: value() if callable(value) else value for name, value in figures.items()}
            found[step] = {name: float(value) for name, value in read.items()}
            self.stop_requested = self.stop_requested or step == stop

        monkeypatch.setattr(sys, "argv", ["clip", str(job)])
        monkeypatch.setattr(Run, "progress", progress)
        if stop is None:
            main()
        else:
            with pytest.raises(SystemExit) as interrupted:
                main()
            assert interrupted.value.code == 75
        return found

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def on_ranks(job, ranks):
    """The same on ranks, as processes: what rank 0 prints of every step."""
    env = STAGE_ENV | {"PROGRESS_SECONDS": "0", "OMP_NUM_THREADS": "1"}
    command = [warm_python(), "-m", "engine.launch", "--processes", str(ranks), "stages.clip", str(job)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return {line["step"]: line["metrics"] for line in map(json.loads, done.stdout.splitlines())}


def test_a_stopped_training_goes_on_bit_for_bit(tmp_path, inputs, clip):
    straight, stopped = (write_job(tmp_path, "clip", inputs, CONFIG, name) for name in ("straight", "stopped"))
    figures = clip(straight)
    assert [*clip(stopped, stop=2)] == [1, 2]
    assert active_children() == []  # nobody decodes for a training that has stopped
    assert [*clip(stopped)] == [3, 4]
    for name in ("image_tower.safetensors", "text_tower.safetensors", "dev_images.safetensors"):
        assert (straight.parent / name).read_bytes() == (stopped.parent / name).read_bytes()
    # Before anything is learned the tower says of every crop what the frozen one says.
    assert 0 <= figures[1]["regulariser"] < 1e-3 < figures[4]["regulariser"]


def test_a_recipe_says_how_many_images_are_mixed(tmp_path, inputs, clip):
    said = {"nothing": {}, "as-many-as-then": {"mixed_images": 8192}, "few": {"mixed_images": 8}}
    figures = {name: clip(write_job(tmp_path, "clip", inputs, CONFIG | more, name)) for name, more in said.items()}
    assert figures["nothing"] == figures["as-many-as-then"] != figures["few"]


def test_shards_that_break_while_they_are_read_leave_a_checkpoint_to_go_on_from(tmp_path, inputs, clip):
    longer = {**CONFIG, "schedule": schedule(24, lr=1e-2), "evaluate_every": 24}
    straight, broken = (write_job(tmp_path, "clip", inputs, longer, name) for name in ("straight", "broken"))
    clip(straight)
    assert [*clip(broken, stop=2)] == [1, 2]
    kept = contents(broken.parent, "checkpoint*")
    whole = contents(inputs["prepare"], "*.tar")
    command = [warm_python(), "-m", "stages.clip", str(broken)]
    env = STAGE_ENV | {"PROGRESS_SECONDS": "0", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["step"] == 3
        for tar in whole:
            os.truncate(tar, 600)
        steps, errors = process.communicate(timeout=120)
    assert process.returncode == 1 and len(steps.splitlines()) < 21
    assert re.search(
        r"^\[clip\] shard pairs\.train-\d+\.tar ends within the image of \S+: fetch it again$", errors, re.M
    ), errors
    assert "Traceback" not in errors
    assert contents(broken.parent, "checkpoint*") == kept
    # Fetched again, the training is the one that nothing happened to.
    for tar, data in whole.items():
        tar.write_bytes(data)
    assert [*clip(broken)] == [*range(3, 25)]
    for name in ("image_tower.safetensors", "text_tower.safetensors"):
        assert (straight.parent / name).read_bytes() == (broken.parent / name).read_bytes()


def contents(folder, pattern):
    """The bytes of all files below that pattern, by their path."""
    found = [path for top in folder.glob(pattern) for path in (top.rglob("*") if top.is_dir() else [top])]
    return {path: path.read_bytes() for path in found if path.is_file()}


def test_shards_that_are_left_in_the_store_are_copied_when_they_are_read_and_change_nothing(
    tmp_path, with_wrong, clip, monkeypatch
):
    inputs = with_wrong
    here, far = (write_job(tmp_path, "clip", inputs, WRONG, name) for name in ("here", "far"))
    figures = clip(here)
    roles = ("prepare", "embed_captions")
    for role in roles:
        shutil.copytree(inputs[role], tmp_path / "store" / role)
    left = ("pairs.train-*.jsonl", "*.tar")
    files = [file for pattern in left for file in inputs["prepare"].glob(pattern)]
    stores = ("pairs.train", "negatives.train")
    for file in [
        *files,
        *(file for name in stores for file in (inputs["embed_captions"] / name).glob("*.safetensors")),
    ]:
        file.unlink()
    remote = {"remote_inputs": {role: f"file://{tmp_path / 'store' / role}" for role in roles}}
    far.write_text(json.dumps(json.loads(far.read_text()) | remote))
    for name, value in STAGE_ENV.items():
        monkeypatch.setenv(name, value)
    assert clip(far) == figures
    for name in ("image_tower.safetensors", "text_tower.safetensors"):
        assert (here.parent / name).read_bytes() == (far.parent / name).read_bytes()
    copied = (tmp_path / "prepare.copied", *(tmp_path / "embed_captions.copied" / name for name in stores))
    assert [
        len([file for file in folder.glob("*[0-9].*") if file.suffix in (".tar", ".safetensors")]) for folder in copied
    ] == [3, 3, 2]  # of labelled images no wrong caption is read


def test_two_ranks_see_together_what_one_sees(tmp_path, inputs, clip):
    alone, shared = (write_job(tmp_path, "clip", inputs, CONFIG, name) for name in ("alone", "shared"))
    figures, of_ranks = clip(alone), on_ranks(shared, 2)
    terms = ("loss", "labels", "rows", "softmax", "hypernyms")
    for step in (1, 4):
        assert [of_ranks[step][name] for name in terms] == pytest.approx([figures[step][name] for name in terms], 1e-2)
    one, other = (load_file(job.parent / "dev_captions.safetensors")["features"] for job in (alone, shared))
    assert (one * other).sum(-1).min() > 0.999


def test_labelled_images_leave_a_captioned_one_for_each_rank(tmp_path, inputs, clip):
    changes = {"batch_size": 4, "label_fraction": 1.0}
    alone, shared = (write_job(tmp_path, "clip", inputs, CONFIG | changes, name) for name in ("alone", "shared"))
    assert [all(np.isfinite([*line.values()])) for line in clip(alone).values()] == [True] * 4
    assert [all(np.isfinite([*line.values()])) for line in on_ranks(shared, 2).values()] == [True] * 4


def test_a_drawn_caption_comes_with_its_own_wrong_ones(with_wrong):
    folder, embedded = with_wrong["prepare"], with_wrong["embed_captions"]
    manifest = read_manifest(folder)
    assert manifest is not None
    shards = shards_of(manifest, "pairs", "train")
    stores = [FeatureStore(embedded / name) for name in ("pairs.train", "negatives.train")]
    options = PairOptions(1, RECIPE, None, wrong=3)
    places = np.array([[1, 5], [0, 1], [1, 0], [0, 2], [0, 0], [0, 11]])
    counts = set()
    for epoch in range(4):  # either caption of an image, now and then
        loader = PairLoader(LocalShards(folder), shards, options, stores[0], {"negatives.train": stores[1]})
        batch = loader.batch(Piece(0, 0, 1, epoch), places)
        assert batch.wrong is not None and batch.wrong.features is not None and batch.features is not None
        for number, text in enumerate(batch.texts):
            wrong = wrong_captions(text, 3)
            counts.add(len(wrong))
            assert batch.wrong.is_there[number].tolist() == [place < len(wrong) for place in range(3)]
            assert batch.wrong.texts[number] == [*wrong, *[text] * (3 - len(wrong))]
            vectors = [torch.from_numpy(vector_of_text(other, WIDTH)).bfloat16().float() for other in wrong]
            expected = torch.stack([*vectors, *[batch.features[number]] * (3 - len(wrong))])
            assert torch.equal(batch.wrong.features[number], expected)
    assert counts == {0, 3}
    read = PairLoader(LocalShards(folder), shards, options).batch(Piece(0, 0, 1, 0), places)
    assert read.wrong is not None and read.wrong.features is None  # the control reads the texts themselves


def test_wrong_captions_are_learned_from_alike_when_stopped_and_on_two_ranks(tmp_path, with_wrong, clip, monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    names = ("straight", "stopped", "shared")
    straight, stopped, shared = (write_job(tmp_path, "clip", with_wrong, WRONG, name) for name in names)
    figures = clip(straight)
    assert all(figures[step]["hard_negatives"] > 0 for step in (1, 2, 3, 4))
    assert [*clip(stopped, stop=2)] == [1, 2] and [*clip(stopped)] == [3, 4]
    tower = "text_tower.safetensors"
    assert (straight.parent / tower).read_bytes() == (stopped.parent / tower).read_bytes()
    of_ranks = on_ranks(shared, 2)
    for step in (1, 4):
        assert of_ranks[step]["hard_negatives"] == pytest.approx(figures[step]["hard_negatives"], 1e-2)
    shutil.rmtree(with_wrong["embed_captions"] / "negatives.train")
    control = write_job(tmp_path, "clip", with_wrong, {**WRONG, "text_tower": "scratch"}, "control")
    assert clip(control)[4]["hard_negatives"] > 0


REGIONS = {"per_picture": 1, "weight": 0.2, "negatives_weight": 0.5, "text_contrast_weight": 0.1}


def test_regions_of_a_crop_come_with_the_features_of_their_own_texts(tmp_path):
    inputs = write_inputs(tmp_path, region_negatives=2)
    folder, embedded = inputs["prepare"], inputs["embed_captions"]
    manifest = read_manifest(folder)
    assert manifest is not None
    shards = shards_of(manifest, "pairs", "train")
    stores = [FeatureStore(embedded / name) for name in ("pairs.train", "regions.train")]
    options = PairOptions(1, RECIPE, CropOptions((0.5, 1.0), flip=True), regions=RegionOptions(1, 2))
    loader = PairLoader(LocalShards(folder), shards, options, stores[0], {"regions.train": stores[1]})
    places = np.array([[0, 3], [0, 4], [1, 7], [0, 5]])  # images 3, 4, 19, 5: no region, one, one and two
    seen = set()
    for epoch in range(6):
        batch = loader.batch(Piece(0, 0, 1, epoch), places)
        assert batch.regions is not None and batch.regions.features is not None
        made = batch.regions.regions
        assert made.is_there.shape == (4, 1) and not made.is_there[0]
        assert ((made.boxes >= 0) & (made.boxes <= 1)).all()
        for text, feature in zip(made.texts, batch.regions.features, strict=True):
            assert torch.equal(feature, torch.from_numpy(vector_of_text(text, WIDTH)).bfloat16().float())
        seen |= {made.texts[number] for number in made.phrases(slice(3, 4))}
    assert seen == {"a thing 5", "a thing 6"}  # either region of the last one, now and then


def test_regions_are_learned_from_alike_when_stopped_and_on_two_ranks(tmp_path, clip, monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    inputs = write_inputs(tmp_path, region_negatives=2)
    config = {**CONFIG, "regions": REGIONS}
    names = ("straight", "stopped", "shared")
    straight, stopped, shared = (write_job(tmp_path, "clip", inputs, config, name) for name in names)
    figures = clip(straight)
    terms = ("regions", "region_negatives", "region_text_contrast")
    assert all(figures[step][term] > 0 for step in (1, 2, 3, 4) for term in terms)
    assert [*clip(stopped, stop=2)] == [1, 2] and [*clip(stopped)] == [3, 4]
    for tower in ("image_tower.safetensors", "text_tower.safetensors"):
        assert (straight.parent / tower).read_bytes() == (stopped.parent / tower).read_bytes()
    of_ranks = on_ranks(shared, 2)
    for step in (1, 4):
        assert [of_ranks[step][term] for term in terms] == pytest.approx([figures[step][term] for term in terms], 1e-2)
    without = write_job(tmp_path, "clip", inputs, CONFIG, "without")
    clip(without)
    tower = "image_tower.safetensors"
    assert (straight.parent / tower).read_bytes() != (without.parent / tower).read_bytes()
    shutil.rmtree(inputs["embed_captions"] / "regions.train")
    control = write_job(tmp_path, "clip", inputs, {**config, "text_tower": "scratch"}, "control")
    assert clip(control)[4]["regions"] > 0


def test_split_blocks_see_the_regions_that_whole_ones_see(tmp_path, clip):
    inputs = write_inputs(tmp_path, region_negatives=2)
    config = {**CONFIG, "regions": REGIONS, "micro_batch": 2}
    split = {"weights": "sharded", "activation_checkpointing": False, "compile": False}
    alone = write_job(tmp_path, "clip", inputs, config, "alone")
    shared = write_job(tmp_path, "clip", inputs, {**config, "parallel": split}, "shared")
    figures, of_ranks = clip(alone), on_ranks(shared, 2)
    for step in (1, 4):
        terms = ("loss", "regions", "region_negatives")
        assert [of_ranks[step][name] for name in terms] == pytest.approx([figures[step][name] for name in terms], 1e-2)


def test_phrases_that_nobody_embedded_say_which_setting_embeds_them(tmp_path, inputs, clip):
    write_job(tmp_path, "embed_captions", {}, {}, "embed_captions")
    with pytest.raises(ValueError, match=r"set embed_captions\.regions"):
        clip(write_job(tmp_path, "clip", inputs, {**CONFIG, "regions": REGIONS}))


def test_no_wrong_captions_to_stream_say_which_setting_makes_them(tmp_path, with_wrong, clip):
    job = with_wrong["embed_captions"] / "job.json"
    document = json.loads(job.read_text())
    del document["config"]["hard_negatives"]
    job.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"set embed_captions\.hard_negatives"):
        clip(write_job(tmp_path, "clip", with_wrong, WRONG))


def test_split_blocks_and_the_running_mean_of_them_learn_what_whole_ones_do(tmp_path, inputs, clip):
    # A mean that moves at once, so that it is not the frozen tower for long.
    config = {**CONFIG, "regulariser_ema": 0.5}
    split = {"weights": "sharded", "activation_checkpointing": False, "compile": False}
    alone = write_job(tmp_path, "clip", inputs, config, "alone")
    shared = write_job(tmp_path, "clip", inputs, {**config, "parallel": split}, "shared")
    figures, of_ranks = clip(alone), on_ranks(shared, 2)
    for step in (1, 4):
        terms = ("loss", "regulariser")
        assert [of_ranks[step][name] for name in terms] == pytest.approx([figures[step][name] for name in terms], 1e-2)
    assert figures[4]["regulariser"] > 1e-4
    one, other = (load_file(job.parent / "dev_images.safetensors")["features"] for job in (alone, shared))
    assert (one * other).sum(-1).min() > 0.999


def test_the_control_reads_the_captions_themselves(tmp_path, inputs, clip, monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    shutil.rmtree(inputs["embed_captions"] / "pairs.train")
    job = write_job(tmp_path, "clip", inputs, {**CONFIG, "text_tower": "scratch", "micro_batch": 3})
    assert clip(job)[4]["loss"] > 0 and (job.parent / "vocabulary.txt").exists()


def test_of_a_crop_that_is_learned_from_as_a_small_picture_the_frozen_tower_sees_what_was_before(prepared_pictures):
    folder, shards, recipe = prepared_pictures
    crop, low = CropOptions((1.0, 1.0)), LowResolution(0.5, (4, 4))
    sharp, coarse = (
        PairLoader(LocalShards(folder), shards, PairOptions(1, recipe, crop, low=of_low)).batch(
            Piece(0, 0, 1, epoch=0), np.stack([np.zeros(12, dtype=np.int64), np.arange(12)], 1)
        )
        for of_low in (None, low)
    )
    assert 0 < len(coarse.shrunk) < 12 and torch.equal(coarse.sharp, sharp.pixels[coarse.shrunk])
    kept = torch.ones(12, dtype=torch.bool)
    kept[coarse.shrunk] = False
    assert torch.equal(coarse.pixels[kept], sharp.pixels[kept])
    # What has only four pixels a side cannot change faster.
    change = [(pixels[~kept].float().diff(dim=-1)).abs().mean() for pixels in (coarse.pixels, sharp.pixels)]
    assert change[0] < 0.6 * change[1]


@pytest.fixture
def prepared_pictures(tmp_path):
    """Twelve pictures of noise in one shard."""
    writer = ShardWriter(tmp_path / "pairs.train-00000.tar")
    rng, rows = np.random.default_rng(0), []
    for number in range(12):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(buffer, "PNG")
        place = writer.add(f"k{number}", buffer.getvalue())
        rows.append({"key": f"k{number}", "shard": writer.file.name, "place": place, "captions": ["noise"]})
    writer.close()
    write_rows(tmp_path / "pairs.train-00000.jsonl", rows)
    files = {
        name: artefact(tmp_path, f"pairs.train-00000.{end}") for name, end in (("rows", "jsonl"), ("images", "tar"))
    }
    return tmp_path, [{**files, "count": 12, "captions": 12, "labelled": 0}], RECIPE | {"size": 32}


def test_workers_make_no_more_ahead_than_shared_memory_holds(tmp_path, inputs, clip, monkeypatch):
    # Eight pictures of 32 x 32 with features of twelve numbers: a step takes 25 KB.
    made = []
    loader = stream.DataLoader
    monkeypatch.setattr(stream, "DataLoader", lambda *given, **named: made.append(named) or loader(*given, **named))

    def with_room(kilobytes: float) -> None:
        found = SimpleNamespace(f_frsize=1, f_blocks=round(kilobytes * 1000))
        monkeypatch.setattr(os, "statvfs", lambda _: found)

    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    figures = {}
    for name, kilobytes in (("plenty", 1e6), ("little", 130)):
        made.clear()
        with_room(kilobytes)
        figures[name] = clip(write_job(tmp_path, "clip", inputs, CONFIG, name))
        ahead = {(named["num_workers"], named.get("prefetch_factor")) for named in made if named.get("sampler")}
        assert ahead == ({(3, 2)} if name == "plenty" else {(3, 1)})
    assert figures["little"] == figures["plenty"]
    with_room(40)
    with pytest.raises(ValueError, match=r"shared memory.*--shm-size.*batch_size"):
        clip(write_job(tmp_path, "clip", inputs, CONFIG, "none"))


def relabel(inputs, labels):
    """The images again, with other labels, by shard; wrong captions are not written anew."""
    for folder in (inputs["prepare"], inputs["embed_captions"] / "pairs.train"):
        shutil.rmtree(folder)
    train = write_shards(inputs["prepare"], [12, 8, 6], labels=labels)
    write_shards(inputs["prepare"], [4], split="dev", before=train)
    store(inputs["embed_captions"] / "pairs.train", train, [range(12), range(12, 20), range(20, 26)])


def test_labelled_pictures_alone_are_learned_from_alike_when_stopped_and_on_two_ranks(tmp_path, inputs, clip):
    relabel(inputs, dict.fromkeys(range(3), lambda number: f"thing {number % 5}"))
    jobs = [write_job(tmp_path, "clip", inputs, CONFIG, name) for name in ("straight", "stopped", "ranks")]
    figures, ranks = clip(jobs[0]), on_ranks(jobs[2], 2)
    assert figures == clip(jobs[1], stop=2) | clip(jobs[1])
    assert all("labels" not in step and step["loss"] > 0 for step in figures.values())
    assert ranks[4]["loss"] == pytest.approx(figures[4]["loss"], rel=1e-4)
    towers = [(job.parent / "image_tower.safetensors").read_bytes() for job in jobs[:2]]
    assert towers[0] == towers[1]


def test_a_shard_with_labelled_and_other_images_is_refused(tmp_path, inputs, clip):
    relabel(inputs, {2: lambda number: "thing" if number % 2 else ""})
    with pytest.raises(ValueError, match=r"a shard has images with labels and others without.* as two sources"):
        clip(write_job(tmp_path, "clip", inputs, CONFIG))
