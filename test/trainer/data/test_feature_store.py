"""The feature store: what is written is read, row by row, in flat memory, and an interrupted run writes the rest."""

import json
import subprocess

import numpy as np
import pytest
import torch

from data.features import FeatureStore, FeatureWriter, quantised
from data.manifest import ShardError
from warm import STAGE_ENV, warm_python

OF = "sha256:" + "0" * 64


def write_store(folder, dtype, counts_of_shards, width=24):
    """A store of random unit rows; returns them as float32, shard by shard."""
    writer = FeatureWriter(folder, of=OF, dtype=dtype, width=width, shards=len(counts_of_shards))
    rows = []
    for number, counts in enumerate(counts_of_shards):
        generator = torch.Generator().manual_seed(number)
        rows.append(torch.nn.functional.normalize(torch.randn(sum(counts), width, generator=generator), dim=-1))
        writer.write(number, rows[-1], counts)
    writer.finish()
    return rows


COUNTS = [[2, 0, 3], [1], [4, 4, 1, 2]]


def test_bf16_rows_come_back_as_they_are_rounded_and_all_captions_of_an_image_are_found(tmp_path):
    rows = write_store(tmp_path, "bf16", COUNTS)
    store = FeatureStore(tmp_path, OF)
    assert len(store) == 17
    everything = torch.cat(rows).bfloat16().float()
    numbers = np.array([16, 0, 5, 5, 11, 4])
    assert torch.equal(store.gather_numbers(numbers), everything[numbers])
    assert [list(store.rows_of(0, image)) for image in range(3)] == [[0, 1], [], [2, 3, 4]]
    captions = np.array(store.rows_of(2, 1))
    assert torch.equal(store.gather(np.full(4, 2), captions), rows[2][4:8].bfloat16().float())


def test_int8_rows_are_off_by_half_a_step_at_most_and_take_a_quarter_of_the_bytes(tmp_path):
    rows = torch.cat(write_store(tmp_path, "int8", [[4] * 50], width=256))
    found = FeatureStore(tmp_path).gather_numbers(np.arange(200))
    step = rows.abs().amax(dim=-1, keepdim=True) / 127
    assert ((found - rows).abs() <= 0.5 * step * (1 + 1e-5)).all()
    assert torch.nn.functional.cosine_similarity(found, rows).min() > 0.9999
    assert (tmp_path / "features-00000.safetensors").stat().st_size < 200 * (256 + 4) + 2000
    zero, scale = quantised(torch.zeros(1, 4))
    assert torch.equal(zero.float() * scale, torch.zeros(1, 4))


def test_what_an_interrupted_run_finished_is_not_written_again(tmp_path):
    writer = FeatureWriter(tmp_path, of=OF, dtype="int8", width=4, shards=3)
    writer.write(0, torch.ones(2, 4), [2])
    writer.write(2, torch.ones(1, 4), [1])
    # Killed while it wrote shard 1: its report is missing, whatever else is there.
    (tmp_path / "features-00001.safetensors").write_bytes(b"half")
    assert FeatureWriter(tmp_path, of=OF, dtype="int8", width=4, shards=3).missing() == [1]
    with pytest.raises(ShardError, match="1 of 3 shards of features are missing, first 1"):
        writer.finish()
    with pytest.raises(ShardError, match=r"no features\.json: the features are not finished"):
        FeatureStore(tmp_path)
    with pytest.raises(ShardError, match="written for other texts or settings"):
        FeatureWriter(tmp_path, of=OF, dtype="bf16", width=4, shards=3).missing()
    writer.write(1, torch.zeros(0, 4), [])
    writer.finish()
    assert len(FeatureStore(tmp_path)) == 3
    with pytest.raises(ValueError, match=r"features \(2, 4\), but 3 captions of width 4"):
        writer.write(1, torch.zeros(2, 4), [3])


def test_a_store_that_was_altered_is_refused_by_name(tmp_path):
    write_store(tmp_path, "bf16", COUNTS)
    file = tmp_path / "features-00002.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ShardError, match=r"features-00002\.safetensors has sha256"):
        FeatureStore(tmp_path).verify()
    file.write_bytes(data[:-2])
    with pytest.raises(ShardError, match=r"features-00002\.safetensors has \d+ bytes"):
        FeatureStore(tmp_path).gather_numbers(np.array([16]))


MEMORY = """
import json, sys
from pathlib import Path
import numpy as np
from data.features import FeatureStore

def own():
    return {line.split()[0]: int(line.split()[1]) for line in open("/proc/self/status") if "kB" in line}["RssAnon:"]

store = FeatureStore(Path(sys.argv[1]))
store.gather_numbers(np.arange(64))
before = own()
total, peak = 0.0, 0
order = np.random.default_rng(0).permutation(len(store))
for batch in np.array_split(order, 200):
    total += float(store.gather_numbers(batch).sum())
    peak = max(peak, own() - before)
print(json.dumps({"peak": peak, "total": total, "mapped": len(store.mapped)}))
"""


def test_two_hundred_thousand_rows_are_read_in_flat_memory(tmp_path):
    rows = write_store(tmp_path, "bf16", [[5] * 500] * 80, width=64)
    done = subprocess.run(
        [warm_python(), "-c", MEMORY, str(tmp_path)], env=STAGE_ENV, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    # All rows in float32 are 51,200 kB, as they are stored 25,600 kB.
    assert found["peak"] < 6_000
    assert found["mapped"] == 64  # of 80 shards: the others were let go
    assert abs(found["total"] - float(torch.cat(rows).bfloat16().double().sum())) < 0.5
