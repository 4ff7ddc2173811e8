"""Weights that a recipe names by a folder of another machine: a container fetches them and says where they are."""

import hashlib
import json

from container_process import BUCKET, environment, put_input, put_job, run

READING = """
import json, os, sys
from pathlib import Path

job = json.loads(Path(sys.argv[1]).read_text())
out, places = Path(job["output"].removeprefix("file://")), json.loads(os.environ["WEIGHTS"])
read = {"config": job["config"]["language_model"], "stage": job["config"]["stage"],
        "weights": {path: (Path(places[path]) / "model.safetensors").read_text() for path in ("/models/llama", "/models/tower")},
        "adapter": Path(places["mntp"]).read_text(), "paths": sorted(places)}
(out / "read.json").write_text(json.dumps(read))
report = {"id": job["id"], "stage": "mntp", "status": "succeeded", "started_at": "2026-01-01T00:00:00.000Z",
          "seconds": 1.0, "device": "cpu", "metrics": {}, "notes": [], "artefacts": {}}
(out / "report.json").write_text(json.dumps(report))
"""


def test_weights_are_fetched_and_the_stage_is_told_where_they_are_by_their_path(bucket, tmp_path, home):
    (home / "stages" / "mntp.py").write_text(READING)
    put_input(bucket, "runs/prepare-weights")
    put_job(bucket, "runs/weights", "mntp", {"prepare": "runs/prepare-weights"})
    job = json.loads(bucket.get("runs/weights/job.json"))
    job["config"]["language_model"] = {"source": "directory", "name": "/models/llama", "adapters": ["mntp"]}
    stored = {"path": "/models/llama", "uri": f"s3://{BUCKET}/data/sha256/ee", "file": None}
    adapter = {"path": "mntp", "uri": f"s3://{BUCKET}/data/sha256/ff", "file": "a.gguf"}
    # As an earlier version planned it.
    tower = stored | {"path": "/models/tower", "at": ["language_model", "name"], "prefix": ""}
    bucket.put("runs/weights/job.json", json.dumps(job | {"weights": [stored, adapter, tower]}))
    code, _, errors = run("runs/weights", environment(bucket, tmp_path / "work", home))
    assert code == 65 and "there are no weights at s3://training/data/sha256/ee" in errors

    for folder, name, data in (("ee", "model.safetensors", b"weights"), ("ff", "a.gguf", b"adapter")):
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        bucket.put(f"data/files/{digest.removeprefix('sha256:')}", data)
        index = {
            "schema_version": 1,
            "files": [{"path": name, "digest": digest, "size": len(data)}],
            "files_at": "../../files",
        }
        bucket.put(f"data/sha256/{folder}/index.json", json.dumps(index))
    code, _, errors = run("runs/weights", environment(bucket, tmp_path / "work", home))
    assert code == 0, errors
    read = json.loads(bucket.get("runs/weights/read.json"))
    assert read == {
        "config": job["config"][
            "language_model"
        ],  # as the recipe has it: what the stage writes names no folder of a container
        "stage": "mntp",
        "weights": {"/models/llama": "weights", "/models/tower": "weights"},
        "adapter": "adapter",
        "paths": ["/models/llama", "/models/tower", "mntp"],
    }
