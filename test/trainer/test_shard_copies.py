"""Shards from a store: copied by the container's command, checked, and refused with the store's own reason."""

from typing import cast

import pytest
from container_process import BUCKET
from shard_sets import write_shards

from contracts.types import Artefact
from data.copies import CopiedShards, CopyProcess, copy_command
from data.manifest import ShardError
from support import STAGE_ENV


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
