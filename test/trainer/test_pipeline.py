"""The whole recipe through the real command: what one stage writes is what the next one reads."""

import json
import subprocess
import sys
import tarfile

from contracts import load
from support import ROOT, STAGE_ENV, TINY_VISION, draw_images, tiny_clip, tiny_language_model

CLASSES = {"classes": [{"index": 0, "name": "tench"}, {"index": 1, "name": "goldfish"}, {"index": 2, "name": "hammer"}],
           "templates": ["a photo of a {}."]}  # fmt: skip


def draw_data(folder):
    """The files that recipes/smoke.json names."""
    rows = draw_images(folder / "train", 24)
    draw_images(folder / "drawn", 36)
    (folder / "dev").mkdir()
    for file in sorted((folder / "drawn").iterdir())[48:]:
        file.rename(folder / "dev" / file.name)
    groups = [{"id": f"g{n}", "source": "drawn", "captions": row["captions"]} for n, row in enumerate(rows)]
    plain = [{"source": "drawn", "title": "shapes", "text": "\n".join(row["captions"][0] for row in rows)}]
    for name, lines in (("groups.jsonl", groups), ("plain.jsonl", plain)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "classes.json").write_text(json.dumps(CLASSES))
    # One picture a class: recipes whose report has zero-shot figures name this tar.
    with tarfile.open(folder / "class-images.tar", "w") as archive:
        for row in CLASSES["classes"]:
            archive.add(folder / "train" / f"drawn{row['index']:03d}.jpg", f"{row['name']}.jpg")
    lines = [{"key": row["name"], "index": row["index"]} for row in CLASSES["classes"]]
    (folder / "class-images.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def train(folder, *options):
    """Run `npm run train` as npm does; the lines of --json."""
    node = ROOT / "node_modules" / ".bin" / "node"
    cli = ROOT / "trainer" / "control" / "cli" / "train.ts"
    command = [node, cli, folder / "smoke.json", "--runs", folder / "runs", "--json"]
    env = STAGE_ENV | {"CLIP_DATA": str(folder / "data"), "TRAINER_PYTHON": sys.executable}
    done = subprocess.run([*command, *options], env=env, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_recipe_runs_from_images_to_an_evaluated_model_and_then_has_nothing_left_to_do(tmp_path):
    (tmp_path / "data").mkdir()
    draw_data(tmp_path / "data")
    recipe = json.loads((ROOT / "trainer" / "recipes" / "smoke.json").read_text())
    # A random two-layer model instead of SmolLM2: the pipeline is looked at, not what it learns.
    language_model = tiny_language_model(tmp_path / "language_model")
    recipe["mntp"]["language_model"] = {"source": "directory", "name": str(language_model)}
    recipe["prepare"]["class_images"] = "class-images.tar"
    (tmp_path / "smoke.json").write_text(json.dumps(recipe))

    events = train(tmp_path)
    ids = [event["id"] for event in events if event["event"] == "succeeded"]
    assert ids == ["prepare", "mntp", "contrastive", "embed_captions", "inherit", "clip", "distill", "export",
                   "clip-scratch-1", "evaluate"]  # fmt: skip
    (exported,) = (tmp_path / "runs" / "smoke").glob("export-*")
    manifest = load("ModelManifest", (exported / "manifest.json").read_text())
    assert manifest["lineage"]["recipe"] == "smoke"

    (plan,) = train(tmp_path)
    assert {stage["status"] for stage in plan["stages"]} == {"succeeded"}

    # Another image tower, with a text encoder of its own: the text stages are found finished.
    backbone = {"name": tiny_clip(tmp_path / "clip", TINY_VISION, embed_dim=32), "size": 64}
    recipe["inherit"] |= {"backbone": backbone, "target": "clip_text"}
    recipe["clip"] |= {"backbone": backbone, "first_trainable_block": 0}
    (tmp_path / "smoke.json").write_text(json.dumps(recipe))
    events = train(tmp_path)
    ids = [event["id"] for event in events if event["event"] == "succeeded"]
    assert ids == ["inherit", "clip", "distill", "export", "clip-scratch-1", "evaluate"]
    for folder in (tmp_path / "runs" / "smoke").glob("evaluate-*"):
        zero_shot = json.loads((folder / "evaluation.json").read_text())["zero_shot"]
        assert set(zero_shot) == {"teacher", "student_int8", "frozen_tower"}
