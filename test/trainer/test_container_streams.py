"""`clip` in a container reads shards from an S3 server on this machine while it runs: two machines fetch about one set an epoch.

And one that is stopped goes on as if it had not been.
"""

import json
import re
import socket

import numpy as np
import torch
from container_process import BUCKET, CODE, SMOKE, environment, read_until_step, start
from shard_sets import RECIPE, feature_of, write_shards
from streamed_clip import CONFIG, write_inputs

from data.features import FeatureWriter
from data.manifest import rows_digest
from support import run_stage, schedule, write_job
from warm import ROOT

SHARDS, IMAGES, BATCH = 24, 4, 8
EPOCH, EPOCHS = SHARDS * IMAGES // BATCH, 3  # steps of one, and how many

# What the loader of `clip` does, without a model: says which images it saw and how many files lay on the disk.
STREAMING = f"""
import json, os, sys
from pathlib import Path
from contracts.types import ClipConfig
from data.batches import PairLoader, PairOptions
from data.copies import shards_in
from data.features import FeatureStore
from data.manifest import read_manifest, rows_digest, shards_of
from data.stream import Share, Stream
from engine.run import Run
from tasks.clip_data.streamed import order_options

def main():
    run = Run(json.loads(Path(sys.argv[1]).read_text()), ClipConfig)
    prepared, embedded = run.input("prepare"), run.input("embed_captions")
    assert not list(prepared.glob("pairs.train*")) and not list(embedded.glob("pairs.train/*.safetensors"))
    shards = shards_of(read_manifest(prepared), "pairs", "train")
    copied = shards_in(embedded, run.remote_input("embed_captions"), "pairs.train")
    features = FeatureStore(embedded / "pairs.train", rows_digest(shards), copied)
    options = PairOptions(seed=1, recipe={RECIPE!r}, crop=None)
    loader = PairLoader(shards_in(prepared, run.remote_input("prepare")), shards, options, features)
    options = order_options({BATCH}, 1)
    machine = run.world.rank
    stream = Stream(loader, options, Share(machine, run.world.size), name="captioned")
    seen, most = [], 0
    for batch, step in zip(stream, range(int(os.environ["STEPS_TO"]))):
        seen += batch.texts
        assert batch.features is not None and len(batch.features) == len(batch.texts)
        most = max(most, len(list(prepared.with_name("prepare.copied").glob("*.tar"))))
    print(f"machine {{machine}} saw {{json.dumps(seen)}}, at most {{most}} tars", file=sys.stderr)
    (run.output / "seen.json").write_text(json.dumps(seen))
    run.leave_to_first()
    run.finish({{}}, {{"seen": "seen.json"}})

main()
"""


def put_run(bucket, prefix, folder, stage):
    """A folder as the finished run of a stage."""
    report = {"id": stage, "stage": stage, "status": "succeeded", "started_at": "2026-01-01T00:00:00.000Z", "seconds": 1,
              "device": "cpu", "metrics": {}, "notes": [], "artefacts": {}}  # fmt: skip
    (folder / "report.json").write_text(json.dumps(report))
    bucket.put_folder(prefix, folder)


def home_of(tmp_path):
    """The trainer with that stage in place of its own."""
    home = tmp_path / "trainer home"
    (home / "stages").mkdir(parents=True)
    (home / "stages" / "__init__.py").write_text("")
    (home / "stages" / "clip.py").write_text(STREAMING)
    for folder in ("container", "data", "engine", "losses", "tasks", "towers"):
        (home / folder).symlink_to(ROOT / "trainer" / folder)
    return home


def test_two_machines_fetch_one_set_an_epoch(bucket, tmp_path):
    far, home = tmp_path / "far", home_of(tmp_path)
    shards = write_shards(far / "prepare", [IMAGES] * SHARDS)
    writer = FeatureWriter(
        far / "embed_captions" / "pairs.train", of=rows_digest(shards), dtype="bf16", width=8, shards=SHARDS
    )
    for shard in range(SHARDS):
        rows = [feature_of(IMAGES * shard + image, caption, 8) for image in range(IMAGES) for caption in range(2)]
        writer.write(shard, torch.from_numpy(np.stack(rows)), [2] * IMAGES)
    writer.finish()
    for stage, files in (("embed_images", {"crops.json": {"streamed": {}}}), ("inherit", {"clip.json": {}})):
        (far / stage).mkdir()
        for name, value in files.items():
            (far / stage / name).write_text(json.dumps(value))
    inputs = {}
    for stage in ("prepare", "embed_captions", "embed_images", "inherit"):
        put_run(bucket, f"streams/{stage}", far / stage, stage)
        inputs[stage] = f"s3://{BUCKET}/streams/{stage}"
    job = {"id": "clip", "recipe": "smoke", "seed": 1, "code": CODE, "config": {"stage": "clip", **SMOKE["clip"]},
           "inputs": inputs, "output": f"s3://{BUCKET}/streams/clip"}  # fmt: skip
    bucket.put("streams/clip/job.json", json.dumps(job))

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def attempt(number, **env):
        """Both machines: what they saw and how often each tar and each file of features was fetched."""
        bucket.requests()
        processes = []
        for machine in (1, 0):
            batch = {"AWS_BATCH_JOB_NUM_NODES": "2", "AWS_BATCH_JOB_NODE_INDEX": str(machine), "MASTER_PORT": port,
                     "AWS_BATCH_JOB_MAIN_NODE_INDEX": "0", "AWS_BATCH_JOB_ID": f"job#{machine}",
                     "AWS_BATCH_JOB_ATTEMPT": str(number)}  # fmt: skip
            if machine > 0:  # the main one is not told its own
                batch["AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS"] = "127.0.0.1"
            work = tmp_path / f"machine {machine}, attempt {number}"
            processes.append(start("streams/clip", environment(bucket, work, home, **batch, **env)))
        errors = "".join(process.communicate(timeout=300)[1] for process in processes)
        seen = {
            machine: json.loads(texts)
            for machine, texts, _ in re.findall(r"machine (\d) saw (\[.*?\]), at most (\d+)", errors)
        }
        assert len(seen) == 2, errors
        fetched = [
            key for method, key in bucket.requests() if method == "GET" and key.endswith((".tar", ".safetensors"))
        ]
        return [process.returncode for process in processes], seen, fetched

    codes, seen, fetched = attempt(1, STEPS_TO=str(EPOCHS * EPOCH))
    assert codes == [0, 0]
    images = [text.split(".")[0] for texts in seen.values() for text in texts]
    assert sorted(map(int, images)) == sorted(EPOCHS * [*range(SHARDS * IMAGES)])
    sizes = {file.relative_to(far).as_posix(): file.stat().st_size for file in far.rglob("*") if file.is_file()}
    whole = sum(size for name, size in sizes.items() if name.endswith((".tar", ".safetensors")))
    total = sum(sizes[key.removeprefix("streams/")] for key in fetched)
    # And once the first two of each of eight lanes of the epoch after them. Each machine for itself would fetch twice as much.
    assert whole < total <= (EPOCHS + 1) * whole < 1.5 * EPOCHS * whole


def test_a_container_that_is_stopped_goes_on_from_the_store_and_ends_with_the_same_weights(bucket, tmp_path):
    inputs, config = write_inputs(tmp_path), {**CONFIG, "schedule": schedule(16, lr=1e-2)}
    straight = write_job(tmp_path, "clip", inputs, config, "straight")
    run_stage(straight)
    for stage, folder in inputs.items():
        put_run(bucket, f"stopped/{stage}", folder, stage)
    stored = {stage: f"s3://{BUCKET}/stopped/{stage}" for stage in inputs}
    job = json.loads(straight.read_text()) | {"inputs": stored, "output": f"s3://{BUCKET}/stopped/clip", "code": CODE}
    bucket.put("stopped/clip/job.json", json.dumps(job))

    first = start("stopped/clip", environment(bucket, tmp_path / "first machine", PROGRESS_SECONDS="0"))
    read_until_step(first, 5)
    first.terminate()
    _, errors = first.communicate(timeout=240)
    assert first.returncode == 75, errors
    bucket.requests()
    second = start("stopped/clip", environment(bucket, tmp_path / "second machine", PROGRESS_SECONDS="0"))
    out, errors = second.communicate(timeout=240)
    assert second.returncode == 0, errors
    # It goes on, and reads the images from the store.
    assert 5 < json.loads(out.splitlines()[0])["step"] <= 16
    fetched = {key.removeprefix("stopped/prepare/") for method, key in bucket.requests() if method == "GET"}
    assert {"pairs.train-00000.tar", "pairs.train-00001.tar"} <= fetched
    for name in ("image_tower.safetensors", "text_tower.safetensors"):
        assert bucket.get(f"stopped/clip/{name}") == (straight.parent / name).read_bytes(), name
