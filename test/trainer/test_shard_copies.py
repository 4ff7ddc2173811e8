"""Shards from a store: copied by the container's command, checked, and refused with the store's own reason."""

import json
from typing import cast

import pytest
from container_process import BUCKET
from shard_sets import write_shards

import container.copy
from container.failures import RefusedError
from container.fetch import read_index
from contracts.types import Artefact, DataIndex
from data.copies import CopiedShards, CopyProcess, copy_command
from data.manifest import ShardError
from engine.folders.files import artefact
from warm import STAGE_ENV


def test_shards_come_from_a_bucket(bucket, tmp_path, monkeypatch):
    shards = write_shards(tmp_path / "far", [3, 2])
    bucket.put_folder("prepared", tmp_path / "far")
    for name, value in (STAGE_ENV | bucket.env).items():
        monkeypatch.setenv(name, value)
    with CopyProcess(copy_command(f"s3://{BUCKET}/prepared")) as copy:
        files = CopiedShards(copy, tmp_path / "near")
        copied = files.path(cast(Artefact, shards[1].get("images")))
        assert copied.read_bytes() == (tmp_path / "far" / "pairs.train-00001.tar").read_bytes()
        bucket.s3.delete_object(Bucket=BUCKET, Key="prepared/pairs.train-00000.tar")
        with pytest.raises(ShardError, match=r"pairs\.train-00000\.tar cannot be copied.*it is not there"):
            files.path(cast(Artefact, shards[0].get("images")))
    # The command ends with the block.
    assert copy.process.returncode == 0


def test_the_index_of_a_folder_is_read_once_for_all_files(tmp_path, monkeypatch):
    far = tmp_path / "far"
    far.mkdir()
    index: DataIndex = {"schema_version": 1, "files": []}
    for name in ("a.tar", "b.tar"):
        (far / name).write_text(f"bytes of {name}")
        index["files"].append(artefact(far, name))
    (far / "index.json").write_text(json.dumps(index))
    (far / "c.tar").write_text("bytes that the index does not know")
    parsed = []
    monkeypatch.setattr(container.copy, "read_index", lambda *args: parsed.append(1) or read_index(*args))
    source = container.copy.Source(f"file://{far}")
    source.copy("a.tar", tmp_path / "a")
    (far / "b.tar").write_text("bytes of c.tar")
    with pytest.raises(RefusedError, match=r"b\.tar has sha256:.*altered"):
        source.copy("b.tar", tmp_path / "b")
    with pytest.raises(RefusedError, match=r"index\.json does not name c\.tar"):
        source.copy("c.tar", tmp_path / "c")
    assert (tmp_path / "a").read_text() == "bytes of a.tar" and parsed == [1]
