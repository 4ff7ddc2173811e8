"""`prepare` by elements: resumed after a kill, in parallel and as an array, with doubles found across elements."""

import io
import json
import os
import signal
import sys
import tarfile
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image, ImageFilter

from contracts import load
from contracts.parts import part_of
from contracts.types import PrepareConfig
from data.doubles import difference_hash
from data.elements import report_file, run_element
from data.manifest import ShardError, shards_of, verify
from data.manifest import read_manifest as manifest_if_any
from data.plan import plan_of
from data.prepared.languages import is_wanted, language_of
from stages.prepare import main
from support import draw_images, interrupt_stage, run_stage, write_job
from towers.data import read_images, read_pairs, read_rows, read_texts

CONFIG = {"texts": [], "max_side": 64, "min_side": 8, "max_pixels": 1_000_000, "shard_size": 10, "min_caption_chars": 1,
          "max_caption_chars": 200, "fragments": 5, "classes": None, "class_images": None}  # fmt: skip


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """Runs the stage in this process on tmp_path/data: its report and its output folder. `env`: of an array job."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def run(pairs, name="prepare", env=None, **changes):
        job = write_job(tmp_path, "prepare", {"data": tmp_path / "data"}, {**CONFIG, "pairs": pairs, **changes}, name)
        monkeypatch.setattr(sys, "argv", ["prepare", str(job)])
        with monkeypatch.context() as context:
            for variable, value in (env or {}).items():
                context.setenv(variable, value)
            main()
        report = job.parent / "report.json"
        return json.loads(report.read_text()) if report.exists() else None, job.parent

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def picture(seed, size=(40, 32), blur=2.0):
    """Smooth random colours, as a PNG."""
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(blur))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def write_tar(file, members):
    """A tar of (name, bytes) in that order."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def read_manifest(folder):
    manifest = manifest_if_any(folder)
    assert manifest is not None
    return manifest


def files_of(folder):
    """Every file but those that say when it was made."""
    names = sorted(file.name for file in folder.iterdir() if file.name not in ("job.json", "report.json"))
    return {name: (folder / name).read_bytes() for name in names}


FOLDER = {"split": "train", "format": "folder", "path": "images"}


# ---- an element is done once -----------------------------------------------------------------------------------------


def test_a_killed_run_does_the_elements_that_have_no_report_and_ends_as_if_it_had_not_been(tmp_path, prepare):
    draw_images(tmp_path / "data" / "images", 36)
    _, whole = prepare([FOLDER], "whole")
    job = write_job(tmp_path, "prepare", {"data": tmp_path / "data"}, {**CONFIG, "pairs": [FOLDER]}, "killed")
    plan = plan_of(tmp_path / "data", json.loads(job.read_text())["config"])
    assert len(plan.elements) == 4
    for number in (0, 2):
        run_element(plan, plan.elements[number], job.parent)
    # Killed within element 1: a tar without its name, and one whose report is missing.
    (job.parent / "pairs.train-00001.tar.tmp").write_bytes(b"half a tar")
    run_element(plan, plan.elements[3], job.parent)
    report_file(job.parent, 3).unlink()
    finished = {number: report_file(job.parent, number).stat().st_mtime_ns for number in (0, 2)}
    (tmp_path / "data" / "images" / "drawn000.jpg").write_bytes(b"other")  # of element 0, which is not read again
    _, resumed = prepare([FOLDER], "killed")
    assert files_of(resumed) == files_of(whole)
    assert all(not report_file(resumed, number).exists() for number in finished)


def test_a_stop_keeps_what_is_finished(tmp_path):
    # Many, so that the third is finished long before the last, whatever else this machine does.
    draw_images(tmp_path / "data" / "images", 150)
    job = write_job(tmp_path, "prepare", {"data": tmp_path / "data"}, {**CONFIG, "pairs": [FOLDER], "shard_size": 2})
    assert interrupt_stage(job, at_step=3) == 75
    reports = sorted((job.parent / "elements").glob("*.json"))
    assert 3 <= len(reports) < 75
    before = {file.name: (job.parent / file.name).stat().st_mtime_ns for file in job.parent.glob("*.tar")}
    assert run_stage(job)["metrics"]["images.train"] == 150
    kept = {name for name, time in before.items() if (job.parent / name).stat().st_mtime_ns == time}
    assert kept == set(before)
    verify(job.parent, shards_of(read_manifest(job.parent), "pairs", "train"))


def test_the_children_of_an_array_job_and_a_join_make_what_one_process_makes(tmp_path, prepare):
    draw_images(tmp_path / "data" / "images", 36)
    alone, whole = prepare([FOLDER], "whole")
    assert 0 < alone["metrics"]["element_seconds"] < 60
    out = tmp_path / "array"
    for index in range(3):
        env = {"AWS_BATCH_JOB_ARRAY_INDEX": str(index), "AWS_BATCH_JOB_ARRAY_SIZE": "3"}
        assert prepare([FOLDER], "array", env) == (None, out)
    assert [report_file(out, number).exists() for number in range(5)] == [True] * 4 + [False]
    # As if each had taken its machine a quarter of an hour: the time of the job after them is not that of the work.
    for number in range(4):
        element = json.loads(report_file(out, number).read_text())
        assert element["seconds"] > 0 and element["in_array"]
        report_file(out, number).write_text(json.dumps(element | {"seconds": 900.0}))
    stamps = {file.name: file.stat().st_mtime_ns for file in out.glob("*.tar")}
    report, out = prepare([FOLDER], "array")
    assert report["metrics"]["images.train"] == 36
    assert report["metrics"]["element_seconds"] == 3600
    assert 3600 <= report["seconds"] < 3700
    assert {file.name: file.stat().st_mtime_ns for file in out.glob("*.tar")} == stamps
    assert files_of(out) == files_of(whole)


def test_the_manifest_says_what_there_is_and_altered_shards_are_refused(tmp_path, prepare):
    draw_images(tmp_path / "data" / "images", 24)
    (tmp_path / "data" / "images" / "drawn003.jpg").write_bytes(b"no picture")
    (tmp_path / "data" / "plain.jsonl").write_text('{"text": "a document"}\n')
    _, out = prepare([FOLDER], texts=[{"split": "train", "kind": "plain", "path": "plain.jsonl"}])
    manifest = load("PreparedManifest", (out / "shards.json").read_text())
    counts = [(shard["kind"], shard["source"], shard["count"], shard["captions"]) for shard in manifest["shards"]]
    assert counts[:4] == [("pairs", "images", 9, 18), ("pairs", "images", 10, 20), ("pairs", "images", 4, 8),
                          ("plain", "plain", 1, 0)]  # fmt: skip
    assert manifest["shards"][3]["rows"]["path"] == "plain.train-00000.jsonl"
    assert read_texts(out, "plain", "train") == [{"text": "a document"}]
    (drop,) = manifest["drops"]
    assert (drop["source"], drop["reason"], drop["count"]) == ("images", "broken image", 1)
    assert drop["examples"][0].startswith("drawn003 (cannot identify")
    rows = read_pairs(out, "train")
    assert len(dict(read_images(out, rows))) == 23
    with pytest.raises(FileNotFoundError, match="has no images of split dev"):
        read_pairs(out, "dev")
    rows_file = out / "pairs.train-00001.jsonl"
    rows_file.write_text(rows_file.read_text()[:-1])
    with pytest.raises(ShardError, match=r"pairs\.train-00001\.jsonl has \d+ bytes, the manifest says"):
        read_pairs(out, "train")


def test_texts_are_cut_into_shards_and_read_in_their_order(tmp_path, prepare, monkeypatch):
    draw_images(tmp_path / "data" / "images", 2)
    monkeypatch.setattr("data.prepared.texts.TEXTS_PER_SHARD", 3)
    rows = [{"id": str(n), "source": "s", "captions": [f"one {n}", f"two {n}"]} for n in range(8)]
    for name, part in (("a", rows[:5]), ("b", rows[5:])):
        (tmp_path / "data" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    texts = [{"split": "train", "kind": "groups", "path": f"{name}.jsonl"} for name in "ab"]
    named = {"classes": [{"index": 7, "name": "tench"}, {"index": 9, "name": "goldfish"}]}
    (tmp_path / "data" / "named.json").write_text(json.dumps(named))
    report, out = prepare([FOLDER], texts=texts, classes="named.json")
    shards = shards_of(read_manifest(out), "groups", "train")
    assert [(shard["count"], shard["captions"]) for shard in shards] == [(3, 6), (3, 6), (2, 4)]
    assert read_texts(out, "groups", "train") == rows
    found = {name: report["metrics"][name] for name in ("groups.train", "captions.groups.train", "classes")}
    assert found == {"groups.train": 8, "captions.groups.train": 16, "classes": 2}
    # A stage that may read texts of this kind may read every shard of it.
    assert {part_of(shard["rows"]["path"]) for shard in shards} == {"groups.train"}
    assert (part_of("pairs.train-00003.jsonl"), part_of("pairs.train-00003.tar")) == ("pairs", "images.train")
    assert (part_of("classes.json"), part_of("class_images.jsonl")) == ("classes", "class_images")


# ---- doubles ---------------------------------------------------------------------------------------------------------


def test_doubles_are_found_across_elements_and_the_earlier_one_stays(tmp_path, prepare):
    data = tmp_path / "data"
    for shard in range(3):
        numbers = [4 * shard + place for place in range(4)]
        # The last picture of each tar is the first of all; the key 000 is in every tar.
        pictures = [picture(number) for number in numbers[:3]] + [picture(0)]
        write_tar(data / f"set-{shard}.tar", [
            member for place, image in enumerate(pictures)
            for member in ((f"{place:03d}.png", image), (f"{place:03d}.txt", f"caption {shard} {place}".encode()))
        ])  # fmt: skip
    write_tar(data / "dev.tar", [("007.png", picture(5)), ("007.txt", b"in dev")])
    pairs = [{"split": "train", "format": "webdataset", "path": f"set-{n}.tar"} for n in range(3)]
    pairs.append({"split": "dev", "format": "webdataset", "path": "dev.tar"})
    report, out = prepare(pairs)
    kept = [(row["key"], row["captions"]) for row in read_pairs(out, "train")]
    # Picture 5 is in dev; picture 0 comes in every tar. Keys of later sets get their set's name.
    assert kept == [("000", ["caption 0 0"]), ("001", ["caption 0 1"]), ("002", ["caption 0 2"]),
                    ("set-2/000", ["caption 1 0"]), ("set-2/002", ["caption 1 2"]),
                    ("set-3/000", ["caption 2 0"]), ("set-3/001", ["caption 2 1"]), ("set-3/002", ["caption 2 2"])]  # fmt: skip
    assert report["metrics"]["dropped.same image as another"] == 4
    dropped = {(row["source"], row["key"]): row["reason"] for row in read_rows(out / "dropped.jsonl")}
    assert dropped["set-1.tar", "001"] == "same image as another: 007"
    # The pictures that are left are found although their shard holds the doubles as well.
    images = dict(read_images(out, read_pairs(out, "train")))
    assert len(images) == 8 and Image.open(io.BytesIO(images["set-3/002"])).size == (40, 32)
    # With the set in front of every key nothing depends on other sets.
    _, named = prepare(pairs, "named", keys="source")
    assert [row["key"] for row in read_pairs(named, "train")][:4] == ["set/000", "set/001", "set/002", "set-2/000"]


def test_near_duplicates_are_left_out_when_the_recipe_asks_for_it(tmp_path, prepare):
    data = tmp_path / "data"
    original = picture(1, (160, 120))
    smaller = io.BytesIO()
    Image.open(io.BytesIO(original)).resize((80, 60)).save(smaller, "JPEG", quality=70)
    members = [("a.png", original), ("b.jpg", smaller.getvalue()), ("c.png", picture(2)), ("d.png", picture(3))]
    flat = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    for name, image in zip(("e", "f"), flat, strict=True):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        members.append((f"{name}.png", buffer.getvalue()))
    members += [(f"{name}.txt", b"a caption") for name in "abcdef"]
    write_tar(data / "set.tar", members)
    pairs = [{"split": "train", "format": "webdataset", "path": "set.tar"}]
    _, out = prepare(pairs, "all")
    assert [row["key"] for row in read_pairs(out, "train")] == list("abcdef")
    _, out = prepare(pairs, "different", near_duplicates=3)
    # Two flat colours have no edges to compare: they are no doubles.
    assert [row["key"] for row in read_pairs(out, "train")] == list("acdef")
    assert read_rows(out / "dropped.jsonl")[0]["reason"] == "nearly the same image as another: a"


def test_the_difference_hash_says_where_it_becomes_brighter():
    # A ramp from left to right is brighter at every step, its mirror image at none.
    ramp = Image.fromarray(np.tile(np.arange(0, 252, 7, dtype=np.uint8), (32, 1)))
    hashes = []
    for image in (ramp, ramp.transpose(Image.Transpose.FLIP_LEFT_RIGHT)):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        hashes.append(difference_hash(buffer.getvalue()))
    assert hashes == [2**64 - 1, 0]


# ---- sources ---------------------------------------------------------------------------------------------------------


def keys(out, split="train"):
    return [row["key"] for row in read_pairs(out, split)]


def test_captions_by_role_from_the_fields_that_the_recipe_names_in_any_member_order(tmp_path, prepare):
    fields = {"raw_caption": "as found", "shortSV_captions": ["short one", "short two"], "longSV_captions": ["long"]}
    members = [(f"{n}.json", json.dumps(fields | {"n": n}).encode()) for n in range(3)]
    members += [(f"{n}.png", picture(n)) for n in (2, 0, 1)]
    write_tar(tmp_path / "data" / "cc-00000.tar", members)
    source = {"split": "train", "format": "webdataset", "path": "cc-{00000..00000}.tar",
              "caption_fields": {"long": ["longSV_captions"], "raw": ["raw_caption", "txt"], "short": ["shortSV_captions"]}}  # fmt: skip
    _, out = prepare([source])
    for row in read_pairs(out, "train"):
        assert row["captions"] == ["as found", "short one", "short two", "long"]
        assert row["roles"] == ["raw", "short", "short", "long"]
    assert sorted(keys(out)) == ["0", "1", "2"]
    # Without the names nothing is found, and that is an error with its reason.
    with pytest.raises(ValueError, match=r"not one image of this source is usable \(no usable caption: 3 such as 0"):
        prepare([{"split": "train", "format": "webdataset", "path": "cc-00000.tar"}], "unnamed")


def test_braces_name_files_that_have_to_be_there(tmp_path, prepare):
    for number in (8, 9, 10):
        write_tar(tmp_path / "data" / f"s{number:03d}.tar", [("a.png", picture(number)), ("a.txt", b"some words")])
    source = {"split": "train", "format": "webdataset", "path": "s{008..010}.tar", "caption_fields": {"raw": ["txt"]}}
    _, out = prepare([source])
    assert keys(out) == ["a", "s/s009/a", "s/s010/a"]  # one key in three tars of one set, of different pictures
    with pytest.raises(FileNotFoundError, match=r"s011\.tar, s012\.tar"):
        prepare([source | {"path": "s{008..012}.tar"}], "more")
    _, out = prepare([source | {"path": "s{010,008}.tar"}], "some")
    assert read_images(out, read_pairs(out, "train")).__next__()[0] == "a"
    with pytest.raises(ValueError, match="braces inside braces"):
        prepare([source | {"path": "s{00{8,9}}.tar"}], "nested")


def test_rows_of_one_image_stay_together_when_a_table_is_cut(tmp_path, prepare):
    drawn = draw_images(tmp_path / "data" / "table", 25)
    rows = [{"image": f"{row['key']}.jpg", "caption": caption} for row in drawn for caption in row["captions"]]
    table = tmp_path / "data" / "table" / "rows.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = {"split": "train", "format": "jsonl", "path": "table/rows.jsonl"}
    plan = plan_of(tmp_path / "data", cast(PrepareConfig, {**CONFIG, "pairs": [source]}))
    assert [element.lines is not None for element in plan.elements] == [True] * 3
    _, out = prepare([source])
    found = read_pairs(out, "train")
    assert [(row["key"], row["captions"]) for row in found] == [(row["key"], row["captions"]) for row in drawn]
    # Where they lie apart the table is read whole, and nothing is lost either.
    table.write_text("".join(json.dumps(row) + "\n" for row in rows[::2] + rows[1::2]))
    _, apart = prepare([source], "apart")
    assert [(row["key"], row["captions"]) for row in read_pairs(apart, "train")] == [
        (row["key"], row["captions"]) for row in drawn
    ]
    assert len(read_manifest(apart)["shards"]) == len(read_manifest(out)["shards"])


def test_what_fine_tuning_reads_is_read_here_too_with_the_splits_of_the_data(tmp_path, prepare):
    draw_images(tmp_path / "data" / "coco" / "images", 6)
    images = [{"filename": f"drawn{n:03d}.jpg", "split": ("train", "restval", "val")[n % 3],
               "sentences": [{"raw": f"sentence {n}"}]} for n in range(6)]  # fmt: skip
    (tmp_path / "data" / "coco" / "dataset.json").write_text(json.dumps({"images": images}))
    source = {"format": "any", "path": "coco/dataset.json"}
    _, out = prepare(
        [{**source, "split": "train", "own_split": "train"}, {**source, "split": "dev", "own_split": "dev"}]
    )
    assert keys(out, "dev") == ["drawn002.jpg", "drawn005.jpg"]
    assert keys(out) == [f"drawn{n:03d}.jpg" for n in (0, 1, 3, 4)]
    assert read_pairs(out, "dev")[0]["captions"] == ["sentence 2"]
    for name in ("cat", "dog"):
        folder = tmp_path / "data" / "classes" / name
        folder.mkdir(parents=True)
        for number in range(3):
            (folder / f"{number}.png").write_bytes(picture(ord(name[0]) + number))
    _, out = prepare(
        [{"split": "train", "format": "any", "path": "classes", "templates": ["a photo of a {}."]}], "classes"
    )
    rows = read_pairs(out, "train")
    assert [(row["label"], row["prompted"], row["captions"]) for row in rows[2:4]] == [
        ("cat", True, ["a photo of a cat."]), ("dog", True, ["a photo of a dog."])]  # fmt: skip
    # Six rows with labels, as many as there are.
    assert [shard["labelled"] for shard in json.loads((out / "shards.json").read_text())["shards"]] == [len(rows)]


def test_labels_that_are_numbers_get_the_names_of_a_file_of_classes(tmp_path, prepare):
    data = tmp_path / "data"
    write_tar(data / "shop.tar", [(f"{n}.png", picture(n)) for n in range(4)])
    rows = [{"key": str(n), "class_id": n % 2} for n in range(4)]
    (data / "shop.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (data / "classes.json").write_text(json.dumps(["Golden Delicious", "Royal Gala"]))
    source = {"split": "train", "format": "any", "path": "shop.tar", "class_names": "classes.json"}
    _, out = prepare([source | {"templates": ["a {} apple"]}])
    assert [row["captions"] for row in read_pairs(out, "train")] == [
        ["a Golden Delicious apple"], ["a Royal Gala apple"]] * 2  # fmt: skip
    (data / "classes.json").write_text(json.dumps(["Golden Delicious"]))
    with pytest.raises(ValueError, match=r"shop\.tar: class '1' of 1 is not in .*classes\.json"):
        prepare([source], "unknown")


def test_columns_and_classes_that_are_not_there_are_refused_with_what_says_them(tmp_path, prepare):
    draw_images(tmp_path / "data" / "images", 2)
    for ending, text in (
        ("csv", "Datei,caption\na.jpg,words\n"),
        ("jsonl", '{"Datei": "a.jpg", "caption": "words"}\n'),
    ):
        (tmp_path / "data" / f"own.{ending}").write_text(text)
        with pytest.raises(
            ValueError, match=r"row 1: no column 'image' \(has \['Datei', 'caption'\]\); image_column of"
        ):
            prepare([{"split": "train", "format": ending, "path": f"own.{ending}"}], ending)
    source = {"split": "train", "format": "csv", "path": "own.csv", "image_column": "Datei", "caption_column": "text"}
    with pytest.raises(ValueError, match=r"no column 'text' .*; caption_column of the source"):
        prepare([source], "caption")
    (tmp_path / "data" / "list.json").write_text('["apple", "pear"]')
    with pytest.raises(ValueError, match=r"list\.json is not \{classes: .* A list of names belongs into class_names"):
        prepare([FOLDER], "list", classes="list.json")
    (tmp_path / "data" / "named.json").write_text('{"classes": [{"index": 3, "name": "apple"}]}')
    write_tar(tmp_path / "data" / "shown.tar", [("a.jpg", picture(1))])
    with pytest.raises(FileNotFoundError, match=r"there is no shown\.jsonl beside shown\.tar"):
        prepare([FOLDER], "beside", classes="named.json", class_images="shown.tar")
    # The grocery set as it lies names classes otherwise, and a number may be of no class.
    for row in ({"key": "a", "class_id": 3}, {"key": "a", "index": 4}):
        (tmp_path / "data" / "shown.jsonl").write_text(json.dumps(row))
        with pytest.raises(
            ValueError, match=r"shown\.jsonl, row 1, needs `key`.* one of the 1 classes of prepare\.classes"
        ):
            prepare([FOLDER], "row", classes="named.json", class_images="shown.tar")


def test_what_img2dataset_could_not_download_is_counted(tmp_path, prepare):
    write_tar(tmp_path / "data" / "00000.tar", [("000000000.jpg", picture(1)), ("000000000.txt", b"words")])
    status = {"success": 1, "HTTP Error 404: Not Found": 3, "timed out": 2}
    (tmp_path / "data" / "00000_stats.json").write_text(json.dumps({"count": 6, "status_dict": status}))
    report, out = prepare([{"split": "train", "format": "webdataset", "path": "0*.tar"}])
    assert report["metrics"]["dropped.not downloaded"] == 5
    (drop,) = read_manifest(out)["drops"]
    assert drop["examples"] == ["00000 (HTTP Error 404: Not Found)", "00000 (timed out)"]
    (tmp_path / "data" / "list.csv").write_text("image,caption\nhttps://example.org/a.jpg,words\n")
    with pytest.raises(ValueError, match=r"missing image: 1 such as .*download the list with img2dataset"):
        prepare([{"split": "train", "format": "csv", "path": "list.csv"}], "list")


@pytest.mark.parametrize(("text", "declared", "tag"), [
    ("a red bus", None, "und-Latn"), ("a red bus", "en", "en"), ("ein Straßenzug über dem Fluß", "de", "de"),
    ("красный автобус", "en", "und-Cyrl"), ("красный автобус", "ru", "ru"), ("κόκκινο λεωφορείο", None, "el"),
    ("东京塔的夜景", None, "zh"), ("東京タワーの夜景", None, "ja"), ("東京タワー", "en", "ja"), ("빨간 버스", None, "ko"),
    ("繁體中文", "zh-Hant", "zh-Hant"), ("iPhone 手机壳和充电器的照片", None, "zh"), ("12:30 🚌", "en", "und"),
])  # fmt: skip
def test_a_language_is_what_the_source_declares_unless_the_script_is_another(text, declared, tag):
    assert language_of(text, declared) == tag


# A dog in many languages, in the script of each; of several scripts the tag says which one.
DOGS = {
    "gu": "કૂતરો", "pa": "ਕੁੱਤਾ", "ml": "നായ", "kn": "ನಾಯಿ", "my": "ခွေး", "km": "ឆ្កែ", "lo": "ໝາ", "si": "බල්ලා", "or": "କୁକୁର", "dv": "ކުއްތާ",
    "am": "ውሻ", "ti": "ከልቢ", "bo": "ཁྱི", "yi": "הונט", "he": "כלב", "yue": "雪中的狗", "zh-Hant": "雪中的狗", "ja": "雪中犬", "sa": "श्वा",
    "ckb": "سەگ", "sd": "ڪتو", "tt": "эт", "ce": "жӏаьла", "sr": "пас", "sr-Latn": "pas u snegu", "uz": "it", "uz-Cyrl": "ит",
    "pa-Arab": "کتا", "chr": "ᎩᎵ", "zgh": "ⴰⵢⴷⵉ", "de-Latn-AT": "Hund", "pt-BR": "cão", "vi": "con chó", "xh": "inja",
}  # fmt: skip


@pytest.mark.parametrize("tag", DOGS)
def test_a_declared_language_is_believed_in_its_script_and_kept_where_it_is_wanted(tag):
    assert language_of(DOGS[tag], tag) == tag
    assert is_wanted(tag, {tag}) and is_wanted(tag, {"en", tag.partition("-")[0]})
    # In a script that is not that of the language it is not.
    other = "a dog" if tag in ("gu", "am", "yi", "ja", "uz-Cyrl") else "Ω"
    assert language_of(other, tag) in ("und-Latn", "el")


def test_a_wanted_tag_stands_for_those_that_it_begins_and_undetermined_for_itself():
    found = ["zh-Hant", "zh", "yue", "und", "und-Latn", "pt-PT", "sr-latn-RS"]
    assert [tag for tag in found if is_wanted(tag, {"zh", "pt-BR", "und", "sr-Latn"})] == [
        "zh-Hant",
        "zh",
        "und",
        "sr-latn-RS",
    ]
    assert [tag for tag in found if is_wanted(tag, ["und-Latn"])] == ["und-Latn"]


def test_captions_in_other_languages_are_left_out_and_all_are_counted(tmp_path, prepare):
    texts = ["a red bus\nкрасный автобус", "красный трамвай", "a tram\na yellow tram"]
    members = [(f"{n}.{end}", data) for n, text in enumerate(texts) for end, data in
               (("png", picture(n)), ("txt", text.encode()))]  # fmt: skip
    write_tar(tmp_path / "data" / "shop.tar", members)
    source = {"split": "train", "format": "webdataset", "path": "shop.tar", "language": "en"}
    _, counted = prepare([source], "counted")
    assert read_manifest(counted).get("languages") == {"en": 3, "und-Cyrl": 2}
    _, kept = prepare([source], "kept", languages=["en"])
    assert [row["captions"] for row in read_pairs(kept, "train")] == [["a red bus"], ["a tram", "a yellow tram"]]
    manifest = read_manifest(kept)
    assert manifest.get("languages") == {"en": 3}
    assert {(drop["reason"], drop["count"], *drop["examples"]) for drop in manifest["drops"]} == {
        ("caption in another language", 1, "0"), ("no caption in a wanted language", 1, "1 (und-Cyrl)")}  # fmt: skip
    _, regional = prepare([source | {"language": "en-GB"}], "regional", languages=["en"])
    assert [row["captions"] for row in read_pairs(regional, "train")] == [["a red bus"], ["a tram", "a yellow tram"]]
    assert read_manifest(regional).get("languages") == {"en-GB": 3}
    _, plain = prepare([{name: source[name] for name in ("split", "format", "path")}], "plain")
    assert "languages" not in read_manifest(plain)


def test_a_setting_that_its_format_does_not_know_is_refused(tmp_path, prepare):
    draw_images(tmp_path / "data" / "images", 2)
    for setting in ({"templates": ["{}"]}, {"own_split": "dev"}, {"caption_fields": {"raw": ["txt"]}}):
        with pytest.raises(ValueError, match=rf"images: {next(iter(setting))}: for sources of format"):
            prepare([FOLDER | setting])


def test_elements_of_a_pool_make_what_one_process_makes(tmp_path, prepare, monkeypatch):
    draw_images(tmp_path / "data" / "images", 36)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    _, alone = prepare([FOLDER], "alone")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    _, pool = prepare([FOLDER], "pool")
    assert files_of(pool) == files_of(alone) and Path(pool / "shards.json").exists()
