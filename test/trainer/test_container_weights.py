"""Weights that a recipe names by a folder of another machine: a container fetches them and says where they are."""

import hashlib
import json

from container_process import BUCKET, environment, put_input, put_job, run

READING = """
import json, os, sys
from pathlib import Path

job = json.loads(Path(sys.argv[1]).read_text())
out, model = Path(job["output"].removeprefix("file://")), job["config"]["language_model"]
read = {"name": (Path(model["name"]) / "model.safetensors").read_text(), "stage": job["config"]["stage"],
        "adapter": Path(model["adapters"][0]).read_text(),
        "placed": {path: Path(place).exists() for path, place in json.loads(os.environ["WEIGHTS"]).items()}}
(out / "read.json").write_text(json.dumps(read))
report = {"id": job["id"], "stage": "mntp", "status": "succeeded", "started_at": "2026-01-01T00:00:00.000Z",
          "seconds": 1.0, "device": "cpu", "metrics": {}, "notes": [], "artefacts": {}}
(out / "report.json").write_text(json.dumps(report))
"""


def test_weights_are_fetched_and_stand_in_the_configuration_where_their_path_was(bucket, tmp_path, home):
    (home / "stages" / "mntp.py").write_text(READING)
    put_input(bucket, "runs/prepare-weights")
    put_job(bucket, "runs/weights", "mntp", {"prepare": "runs/prepare-weights"})
    job = json.loads(bucket.get("runs/weights/job.json"))
    job["config"]["language_model"] = {"source": "directory", "name": "/models/llama", "adapters": ["mntp"]}
    stored = {"at": ["language_model", "name"], "prefix": "", "uri": f"s3://{BUCKET}/data/sha256/ee", "file": None,
              "path": "/models/llama"}  # fmt: skip
    adapter = {"at": ["language_model", "adapters", 0], "prefix": "", "file": "a.gguf", "path": "mntp",
               "uri": f"s3://{BUCKET}/data/sha256/ff"}  # fmt: skip
    tower = stored | {"at": [], "path": "/models/tower"}
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
    placed = {"/models/llama": True, "mntp": True, "/models/tower": True}
    assert read == {"name": "weights", "adapter": "adapter", "stage": "mntp", "placed": placed}
    # What was planned is kept as it was.
    assert json.loads(bucket.get("runs/weights/job.json"))["config"]["language_model"]["name"] == "/models/llama"
