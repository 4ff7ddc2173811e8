"""Streaming from shards: every sample once on any number of ranks and workers, exact resumption, refusals by name."""

import json
import subprocess
import time
from typing import cast

import numpy as np
import pytest
import torch
from shard_sets import RECIPE, feature_of, numbers_of, write_shards

from contracts.types import Artefact
from data.batches import PairLoader, PairOptions, Piece, RowLoader
from data.copies import CopiedShards, FolderCopy, LocalShards
from data.features import FeatureStore, FeatureWriter
from data.image import CropOptions, normalised
from data.manifest import ShardError, rows_digest, verify
from data.order import OrderOptions
from data.stream import Share, Stream
from towers.preprocess import preprocess

COUNTS = [7, 5, 9, 3]  # 24 samples
OPTIONS = PairOptions(seed=1, recipe=RECIPE, crop=CropOptions((0.5, 1.0)), caption_shares=None)
ORDER = OrderOptions(batch=6, seed=1, window=10)  # 4 steps an epoch


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    return folder, write_shards(folder, COUNTS)


def stream(prepared, **share):
    folder, shards = prepared
    return Stream(PairLoader(LocalShards(folder), shards, OPTIONS), ORDER, Share(**share))


def taken(stream, steps):
    """Image numbers and captions of the next steps of a stream, as many lists."""
    found = []
    for batch in stream:
        if batch.piece.part == 0:
            found.append([])
        found[-1] += list(zip(numbers_of(batch.pixels), batch.texts, strict=True))
        if len(found) == steps and batch.piece.part == batch.piece.parts - 1:
            return found
    raise AssertionError("a stream ends only when the loop stops")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_an_epoch_has_every_sample_once_on_any_number_of_ranks_and_workers(prepared, world, workers):
    alone = taken(stream(prepared), 4)
    assert sorted(number for batch in alone for number, _ in batch) == list(range(24))
    assert all(text.startswith(f"{number}.") for batch in alone for number, text in batch)
    ranks = [taken(stream(prepared, rank=rank, world=world, workers=workers), 4) for rank in range(world)]
    # Captions and crops are the same, too: what is drawn does not depend on who draws it.
    assert [[sample for rank in ranks for sample in rank[step]] for step in range(4)] == alone


@pytest.mark.parametrize(("workers", "micro"), [(0, None), (2, 2)])
def test_a_stream_goes_on_exactly_where_the_loop_was_whatever_was_made_ahead(prepared, workers, micro):
    whole = taken(stream(prepared), 8)
    for steps in (1, 3, 4, 6):
        first = stream(prepared, workers=workers, micro=micro)
        assert taken(first, steps) == whole[:steps]
        state = json.loads(json.dumps(first.state_dict()))
        assert state["step"] == steps
        second = stream(prepared)
        second.load_state_dict(state)
        assert taken(second, 8 - steps) == whole[steps:]


def test_workers_that_are_forked_from_a_loader_at_work_read_at_their_own_places(prepared):
    folder, shards = prepared
    loader = PairLoader(LocalShards(folder), shards, OPTIONS)
    alone = taken(Stream(loader, ORDER), 4)
    assert taken(Stream(loader, ORDER, Share(workers=2)), 4) == alone


def test_a_run_on_other_ranks_sees_the_rest_of_the_epoch_once(prepared):
    first = [stream(prepared, rank=rank, world=2) for rank in range(2)]
    seen = [number for each in first for batch in taken(each, 1) for number, _ in batch]
    assert first[0].state_dict() == first[1].state_dict()
    for rank in range(3):
        other = stream(prepared, rank=rank, world=3)
        other.load_state_dict(first[0].state_dict())
        seen += [number for batch in taken(other, 3) for number, _ in batch]
    assert sorted(seen) == list(range(24))


def test_a_state_of_another_order_is_refused(prepared):
    folder, shards = prepared
    state = stream(prepared).state_dict()
    for order in (OrderOptions(batch=4, seed=1, window=10), OrderOptions(batch=6, seed=2, window=10)):
        with pytest.raises(ValueError, match="other shards, another batch, seed"):
            Stream(PairLoader(LocalShards(folder), shards, OPTIONS), order).load_state_dict(state)
    with pytest.raises(ValueError, match="other shards"):
        Stream(PairLoader(LocalShards(folder), shards[:3], OPTIONS), ORDER).load_state_dict(state)
    with pytest.raises(ValueError, match="leaves some of 7 ranks without a sample"):
        stream(prepared, world=7)


def test_parts_of_a_step_are_equally_many_on_every_rank(prepared):
    # Six samples on four ranks are one or two each: a rank with one has an empty second part.
    parts = {}
    for rank in range(4):
        source = stream(prepared, rank=rank, world=4, micro=1)
        parts[rank] = [len(batch.texts) for batch, _ in zip(source, range(2), strict=False)]
    assert parts == {0: [0, 1], 1: [1, 1], 2: [0, 1], 3: [1, 1]}


def test_rows_alone_come_in_the_order_of_the_pairs_without_their_images(prepared, tmp_path):
    folder, shards = prepared
    for shard in shards:
        (tmp_path / shard["rows"]["path"]).write_bytes((folder / shard["rows"]["path"]).read_bytes())
    rows = Stream(RowLoader(LocalShards(tmp_path), shards), ORDER, Share(workers=2))
    found = [[int(row["key"][1:]) for row in batch.rows] for batch, _ in zip(rows, range(4), strict=False)]
    assert found == [[number for number, _ in batch] for batch in taken(stream(prepared), 4)]


# ---- shards that are not what they should be -------------------------------------------------------------------------


def test_a_missing_a_cut_off_and_an_altered_shard_are_refused_by_name(tmp_path):
    shards = write_shards(tmp_path, COUNTS)
    tar = tmp_path / "pairs.train-00002.tar"
    whole = tar.read_bytes()
    tar.write_bytes(whole[:-512])
    for workers in (0, 2):
        with pytest.raises(ShardError, match=r"pairs\.train-00002\.tar has \d+ bytes, the manifest says"):
            taken(stream((tmp_path, shards), workers=workers), 4)
    altered = bytearray(whole)
    altered[600] ^= 1
    tar.write_bytes(altered)
    verify(tmp_path, [shards[0], shards[1], shards[3]])
    with pytest.raises(ShardError, match=r"pairs\.train-00002\.tar has sha256:\w+, the manifest says sha256:"):
        verify(tmp_path, shards)
    tar.unlink()
    with pytest.raises(ShardError, match=r"pairs\.train-00002\.tar is missing"):
        taken(stream((tmp_path, shards)), 4)


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path):
    shards = write_shards(tmp_path, [2])
    offset = json.loads((tmp_path / "pairs.train-00000.jsonl").read_text().splitlines()[1])["place"][0]
    with (tmp_path / "pairs.train-00000.tar").open("r+b") as tar:
        tar.seek(offset)
        tar.write(b"no picture")
    loader = PairLoader(LocalShards(tmp_path), shards, OPTIONS)
    with pytest.raises(ShardError, match=r"pairs\.train-00000\.tar, image k1 cannot be decoded"):
        loader.batch(Piece(0, 0, 1, epoch=0), np.array([[0, 1]]))


class Remote:
    """A folder that counts what is copied from it."""

    def __init__(self, folder, log):
        self.copy, self.log = FolderCopy(folder), log

    def __call__(self, name, target):
        with self.log.open("a") as log:
            log.write(f"{name}\n")
        self.copy(name, target)


@pytest.mark.parametrize("workers", [0, 2])
def test_shards_are_copied_once_before_they_are_read_and_deleted_behind(tmp_path, workers):
    far, near, log = tmp_path / "far", tmp_path / "near", tmp_path / "log"
    shards = write_shards(far, [6] * 12)
    files = CopiedShards(Remote(far, log), near)
    order = OrderOptions(batch=6, seed=1, window=6)
    copied = Stream(PairLoader(files, shards, OPTIONS), order, Share(workers=workers))
    local = Stream(PairLoader(LocalShards(far), shards, OPTIONS), order)
    assert taken(copied, 12) == taken(local, 12)
    names = log.read_text().splitlines()
    # Twelve shards of two files, and the first two of the next epoch; workers are up to four steps ahead in that.
    assert len(set(names)) == 24 and len(names) <= 24 + 2 * 2 + 2 * 2 * workers
    # Of 24 files those of the window at work, of the next two shards, and of what workers made ahead are left.
    assert len(list(near.glob("pairs.*[lr]"))) <= 2 * (1 + 2 + 4)


def test_streams_and_ranks_of_a_machine_share_copies_and_delete_none_that_another_one_reads(tmp_path):
    far, near, log = tmp_path / "far", tmp_path / "near", tmp_path / "log"
    shards = write_shards(far, [6] * 6)
    tars = [cast(Artefact, shard.get("images")) for shard in shards]
    one, other = (CopiedShards(Remote(far, log), near) for _ in range(2))

    def here():
        return sorted(int(file.stem[-5:]) for file in near.glob("*.tar"))

    def wait_for(numbers):
        end = time.monotonic() + 60
        while here() != numbers and time.monotonic() < end:
            time.sleep(0.01)
        assert here() == numbers

    one.announce(tars[:3], "captioned")
    one.announce(tars[2:4], "labelled")
    wait_for([0, 1, 2, 3])
    one.announce(tars[3:4], "captioned")
    wait_for([2, 3])
    # Another process of the machine wants shard 2; one that is gone wanted shard 3 and counts no more.
    sleeper = subprocess.Popen(["sleep", "60"])
    (near / f".announced-{sleeper.pid}-captioned.images").write_text(tars[2]["path"])
    gone = subprocess.Popen(["true"])
    gone.wait()
    (near / f".announced-{gone.pid}-captioned.images").write_text(tars[3]["path"])
    other.announce([], "elsewhere")
    one.announce([], "labelled")
    one.announce([], "captioned")
    wait_for([2])
    sleeper.kill()
    sleeper.wait()
    assert sorted(log.read_text().split()) == [tar["path"] for tar in tars[:4]]  # each was copied once
    with one.held(tars[5]) as file:
        assert file.read_bytes() == (far / tars[5]["path"]).read_bytes()


@pytest.mark.parametrize("machines", [1, 2])
def test_machines_together_fetch_one_set_an_epoch(tmp_path, machines):
    far, log = tmp_path / "far", tmp_path / "log"
    shards = write_shards(far, [4] * 32)
    order = OrderOptions(batch=8, seed=3, window=16, lanes=4)
    for machine in range(machines):
        near = CopiedShards(Remote(far, log), tmp_path / f"near {machine}")
        stream = Stream(PairLoader(near, shards, OPTIONS), order, Share(machine, machines))
        assert len(taken(stream, 16)) == 16
        assert len(list((tmp_path / f"near {machine}").glob("*.tar"))) <= (4 // machines) * (4 + 1 + 2)
    copies = sum(name.endswith(".tar") for name in log.read_text().split())
    # 32 shards; the border of each lane cuts one at most, and ahead are two of each lane of the next epoch.
    assert 32 <= copies <= 32 + 3 + 4 * 2


def test_a_copy_with_other_bytes_stops_the_stream_with_its_name(tmp_path):
    shards = write_shards(tmp_path / "far", COUNTS)
    altered = bytearray((tmp_path / "far" / "pairs.train-00001.tar").read_bytes())
    altered[600] ^= 1
    (tmp_path / "far" / "pairs.train-00001.tar").write_bytes(altered)
    files = CopiedShards(FolderCopy(tmp_path / "far"), tmp_path / "near")
    with pytest.raises(ShardError, match=r"pairs\.train-00001\.tar has sha256:"):
        taken(Stream(PairLoader(files, shards, OPTIONS), ORDER), 4)
    assert not (tmp_path / "near" / "pairs.train-00001.tar").exists()


# ---- captions and their features -------------------------------------------------------------------------------------


def test_the_features_of_a_batch_are_those_of_its_captions(prepared, tmp_path):
    folder, shards = prepared
    writer = FeatureWriter(tmp_path, of=rows_digest(shards), dtype="bf16", width=16, shards=len(COUNTS))
    number = 0
    for place, count in enumerate(COUNTS):
        rows = [feature_of(number + image, caption, 16) for image in range(count) for caption in range(2)]
        writer.write(place, torch.from_numpy(np.stack(rows)), [2] * count)
        number += count
    writer.finish()
    store = FeatureStore(tmp_path, rows_digest(shards))
    captions = set()
    with_features = Stream(PairLoader(LocalShards(folder), shards, OPTIONS, store), ORDER, Share(workers=2))
    for batch, _ in zip(with_features, range(8), strict=False):
        assert batch.features is not None
        for text, found in zip(batch.texts, batch.features, strict=True):
            image, caption = map(int, text.split("."))
            captions.add(caption)
            expected = torch.from_numpy(feature_of(image, caption, 16)).bfloat16().float()
            assert torch.equal(found, expected)
    assert captions == {0, 1}
    # Copied like the shards, they are the same.
    near = FeatureStore(tmp_path, rows_digest(shards), CopiedShards(FolderCopy(tmp_path), tmp_path / "near"))
    pair = [Stream(PairLoader(LocalShards(folder), shards, OPTIONS, each), ORDER) for each in (near, store)]
    for batch, other, _ in zip(*pair, range(3), strict=False):
        assert batch.features is not None and other.features is not None and torch.equal(batch.features, other.features)
    with pytest.raises(ShardError, match="features of other texts"):
        FeatureStore(tmp_path, rows_digest(shards[::-1]))


def test_uint8_on_the_device_becomes_what_serving_computes(prepared):
    folder, shards = prepared
    loader = PairLoader(LocalShards(folder), shards, PairOptions(seed=1, recipe=RECIPE, crop=None))
    pixels = loader.batch(Piece(0, 0, 1, epoch=0), np.array([[2, 4], [0, 1]])).pixels
    assert pixels.dtype == torch.uint8
    rows = [json.loads(line) for line in (folder / "pairs.train-00002.jsonl").read_text().splitlines()]
    offset, size = rows[4]["place"]
    served = preprocess((folder / "pairs.train-00002.tar").read_bytes()[offset : offset + size], RECIPE)
    assert np.abs(normalised(pixels, RECIPE, torch.device("cpu"))[0].numpy() - served).max() < 1e-6
