"""Files that a container leaves in the store: the stage copies them when it comes to them, or never reads them."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
from container_process import SMOKE
from shard_sets import CAPTIONS, write_shards

from container.fetch import Fetch
from container.folders import open_folder
from container.streamed import left_to_stream
from contracts.types import TrainingJob
from data.copies import CopiedShards, FolderCopy, images_of
from data.manifest import ShardError, has_labels
from towers.data import first_pairs, read_images

PREPARED = [
    "shards.json",
    "pairs.train-00000.jsonl",
    "pairs.train-00000.tar",
    "pairs.dev-00001.jsonl",
    "class-images.tar",
]
EMBEDDED = ["captions.pairs.train.jsonl", "captions.prompts.jsonl", "pairs.train/features.json",
            "pairs.train/features-00000.safetensors", "pairs.dev/features-00000.safetensors", "negatives.train/features.json",
            "negatives.train/features-00000.safetensors", "captions.negatives.train.jsonl", "regions.train/features.json",
            "regions.train/features-00000.safetensors", "captions.regions.train.jsonl"]  # fmt: skip


def left(tmp_path: Path, stage: str, *, streams: bool, **settings: Any) -> set[str]:
    """What a job of a stage of the smoke recipe leaves of these files."""
    folders = {name: tmp_path / name for name in ("prepare", "embed_captions", "embed_images")}
    for folder in folders.values():
        folder.mkdir()
    (folders["embed_images"] / "crops.json").write_text(json.dumps({"streamed": {}} if streams else {}))
    inputs = {name: f"file://{folder}" for name, folder in folders.items()}
    files = [("prepare", name) for name in PREPARED] + [("embed_captions", name) for name in EMBEDDED]
    fetches = [
        Fetch(open_folder(inputs[stage]), name, 1, None, tmp_path / name, "report.json") for stage, name in files
    ]
    job = {"inputs": inputs, "config": {"stage": stage, **SMOKE[stage], **settings}}
    return {fetch.path for fetch in left_to_stream(cast(TrainingJob, job), fetches)}


def test_clip_streams_images_with_their_rows_and_features(tmp_path):
    tars = {"pairs.train-00000.tar", "class-images.tar"}
    assert left(tmp_path, "clip", streams=True) == {
        *tars, "pairs.train-00000.jsonl", "captions.pairs.train.jsonl", "pairs.train/features-00000.safetensors",
        "captions.negatives.train.jsonl", "negatives.train/features-00000.safetensors",
        "captions.regions.train.jsonl", "regions.train/features-00000.safetensors"
    }  # fmt: skip


@pytest.mark.parametrize("settings", [{"text_tower": "scratch"}, {"caption_shares": {"short": 1}}])
def test_clip_has_the_rows_where_it_looks_at_them_before_it_streams(tmp_path, settings):
    assert "pairs.train-00000.jsonl" not in left(tmp_path, "clip", streams=True, **settings)


def test_stored_crops_are_read_without_any_image(tmp_path):
    assert left(tmp_path, "clip", streams=False) == {"pairs.train-00000.tar", "class-images.tar"}


def test_inherit_copies_the_first_tars_and_other_stages_have_all_of_theirs(tmp_path):
    assert "pairs.train-00000.tar" in left(tmp_path, "inherit", streams=False)
    (tmp_path / "other").mkdir()
    assert left(tmp_path / "other", "embed_images", streams=False) == set()


def test_of_the_first_images_only_their_tars_are_copied(tmp_path):
    far, near = tmp_path / "far", tmp_path / "near"
    shards = write_shards(far, [3, 2, 4])
    files = images_of(shards, CopiedShards(FolderCopy(far), near))
    rows = first_pairs(far, "train", 5)
    assert [key for key, _ in read_images(far, rows, files)] == ["k0", "k1", "k2", "k3", "k4"]
    assert sorted(file.name for file in near.glob("*.tar")) == ["pairs.train-00000.tar", "pairs.train-00001.tar"]


def test_the_manifest_says_which_shards_have_labels(tmp_path):
    plain, labelled = write_shards(tmp_path, [3, 2], labels={1: lambda number: "thing" if number == 4 else ""})
    assert (has_labels(plain), has_labels(labelled)) == (False, True)
    assert labelled["captions"] == 2 * CAPTIONS
    del plain["labelled"]
    with pytest.raises(ShardError, match=r"labels: run prepare again"):
        has_labels(plain)
