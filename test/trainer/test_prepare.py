"""prepare: labelled pictures, labels held out, sets that use the same keys, concepts, and sources that keep nothing."""

import gzip
import hashlib
import io
import json
import shutil
import signal
import sys
import tarfile
from typing import cast

import pytest
from PIL import Image

from contracts.types import TextSource
from stages.prepare import main
from support import draw_images, write_job
from towers.data import read_images, read_pairs, read_rows, read_texts
from towers.texts import each_text

LIMITS = {"max_side": 64, "min_side": 8, "max_pixels": 1_000_000, "shard_size": 100}
CONFIG = {"texts": [], **LIMITS, "min_caption_chars": 3, "max_caption_chars": 200, "fragments": 50, "classes": None,
          "class_images": None}  # fmt: skip


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """Runs the stage on tmp_path/data, in this process: its report and its output folder."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def run(pairs, **changes):
        job = write_job(tmp_path, "prepare", {"data": tmp_path / "data"}, {**CONFIG, "pairs": pairs, **changes})
        monkeypatch.setattr(sys, "argv", ["prepare", str(job)])
        main()
        return json.loads((job.parent / "report.json").read_text()), job.parent

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def write_lines(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def labelled_set(folder, name, rows):
    """NAME.jsonl and NAME-000.tar of one-coloured pictures; every row's picture is its own."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / f"{name}-000.tar", "w") as archive:
        for number, row in enumerate(rows):
            buffer = io.BytesIO()
            Image.new("RGB", (20, 20 + number % 40), (ord(name[0]), 4 * number, 90)).save(buffer, "JPEG")
            member = tarfile.TarInfo(f"{row['key']}.jpg")
            member.size = len(buffer.getvalue())
            archive.addfile(member, io.BytesIO(buffer.getvalue()))
    write_lines(folder / f"{name}.jsonl", [{"shard": f"{name}-000.tar", **row} for row in rows])


def labelled(name, **changes):
    return {"split": "train", "format": "labelled", "path": f"{name}.jsonl", **changes}


def test_labelled_pictures_keep_their_label_and_get_captions_from_templates(tmp_path, prepare):
    labelled_set(tmp_path / "data", "nouns", [
        {"key": "axe", "label": "axe", "index": 7, "open": True, "licence": "CC0"},
        {"key": "cot", "label": "cot", "captions": ["a white cot"], "open": False},
        {"key": "none", "open": True},
        {"key": "gone", "label": "gone", "shard": "nouns-000.tar", "open": True},
    ])  # fmt: skip
    source = labelled("nouns", templates=["a photo of a {}.", "{}"])
    _, out = prepare([source])
    axe, cot, _ = read_pairs(out, "train")
    assert axe["captions"] == ["a photo of a axe.", "axe"]
    assert (axe["label"], axe["set"], axe["index"], axe["licence"], axe["prompted"]) == ("axe", "nouns", 7, "CC0", True)
    assert (cot["captions"], cot["prompted"]) == (["a white cot"], False)
    assert [row["reason"] for row in read_rows(out / "dropped.jsonl")] == ["no usable caption"]
    assert len(dict(read_images(out, [axe, cot]))) == 2
    # What a label is put into is not what people type: no phrase of it becomes a query of its own.
    assert read_texts(out, "fragments", "train") == []


def test_only_open_keeps_what_is_openly_licensed(tmp_path, prepare):
    labelled_set(tmp_path / "data", "nouns", [{"key": "axe", "label": "axe", "open": True},
                                              {"key": "cot", "label": "cot", "open": False},
                                              {"key": "fox", "label": "fox"}])  # fmt: skip
    _, out = prepare([labelled("nouns", only_open=True)])
    assert [row["key"] for row in read_pairs(out, "train")] == ["axe"]
    assert {row["key"] for row in read_rows(out / "dropped.jsonl")} == {"cot", "fox"}


def test_a_held_out_label_is_trained_on_in_no_set(tmp_path, prepare):
    words = [f"word {number}" for number in range(60)]
    # The rule, written down again: the first eight digits of the SHA-256 of the label, modulo 1000.
    unseen = {word for word in words if int(hashlib.sha256(word.encode()).hexdigest()[:8], 16) % 1000 < 250}
    assert 5 < len(unseen) < 25
    labelled_set(tmp_path / "data", "one", [{"key": f"one-{word}", "label": word} for word in words])
    labelled_set(
        tmp_path / "data", "two", [{"key": f"two-{word}", "label": word.replace(" ", "-").upper()} for word in words]
    )
    report, out = prepare([labelled("one", hold_out_labels=0.25), labelled("two")])
    train, held_out = read_pairs(out, "train"), read_pairs(out, "unseen")
    assert {row["label"] for row in held_out} == unseen
    assert {row["set"] for row in held_out} == {"one"}
    for row in train:
        assert row["label"].lower().replace("-", " ") not in unseen
    assert len(train) == 2 * (60 - len(unseen))
    assert report["metrics"]["labels.unseen"] == len(unseen)
    assert dict(read_images(out, held_out)).keys() == {f"one-{word}" for word in unseen}


def test_sets_whose_keys_are_alike_lose_no_picture(tmp_path, prepare):
    for name, size in (("left", (48, 40)), ("right", (40, 48))):
        draw_images(tmp_path / "data" / name, 3, size)
    write_lines(tmp_path / "data" / "zh.jsonl", [{"key": "drawn001", "captions": ["第一"]}])
    pairs = [{"split": "dev", "format": "folder", "path": "left"},
             {"split": "train", "format": "folder", "path": "right", "translated_captions": {"zh": "zh.jsonl"}}]  # fmt: skip
    _, out = prepare(pairs)
    assert [row["key"] for row in read_pairs(out, "dev")] == ["drawn000", "drawn001", "drawn002"]
    train = read_pairs(out, "train")
    assert [row["key"] for row in train] == ["right/drawn000", "right/drawn001", "right/drawn002"]
    images = dict(read_images(out, train))
    assert images["right/drawn002"] == (tmp_path / "data" / "right" / "drawn002.jpg").read_bytes()
    # Captions in other languages are found by the keys that the set itself uses.
    assert [row.get("tr") for row in train] == [None, {"zh": ["第一"]}, None]


@pytest.mark.parametrize(("described", "is_said"), [(1, True), (2, False)])
def test_prepare_says_that_dev_has_too_few_images_of_two_captions_for_an_export(tmp_path, prepare, described, is_said):
    draw_images(tmp_path / "data", 3)
    rows = [{"image": f"drawn00{n}.jpg", "captions": ["a shape", "one form"][: 1 + (n < described)]} for n in range(3)]
    write_lines(tmp_path / "data" / "own.jsonl", rows)
    report, _ = prepare([{"split": "dev", "format": "jsonl", "path": "own.jsonl", "caption_column": "captions"}])
    said = f"{described} of 3 dev images have two captions or more, and export needs at least 2"
    assert any(note.startswith(said) for note in report["notes"]) == is_said


def test_a_row_that_names_no_image_is_left_out_by_its_number(tmp_path, prepare):
    draw_images(tmp_path / "data", 4)
    (tmp_path / "data" / "own.csv").write_text("image,caption\ndrawn000.jpg,one shape\n,no image\n ,blank\n")
    names = ["drawn001.jpg", "drawn002.jpg", None, 12, "drawn003.jpg", None]
    write_lines(tmp_path / "data" / "own.jsonl", [{"image": name, "caption": "a shape"} for name in names])
    pairs = [{"split": "train", "format": form, "path": f"own.{form}"} for form in ("csv", "jsonl")]
    report, out = prepare(pairs, shard_size=2)  # rows are counted over the parts of a table
    assert [row["key"] for row in read_pairs(out, "train")] == [f"drawn00{number}" for number in range(4)]
    assert [(row["source"], row["reason"]) for row in read_rows(out / "dropped.jsonl")] == [
        ("own.csv", "missing image: row 2 names no image"),
        ("own.csv", "missing image: row 3 names no image"),
        ("own.jsonl", "missing image: row 3 names no image"),
        ("own.jsonl", "missing image: row 4 has 12 where the name of an image belongs"),
        ("own.jsonl", "missing image: row 6 names no image"),
    ]
    assert report["metrics"]["dropped.missing image"] == 5


def test_a_row_of_labelled_pictures_that_is_no_object_is_refused_by_its_number(tmp_path, prepare):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "nouns.jsonl.gz").write_bytes(gzip.compress(b"17\n"))
    with pytest.raises(ValueError, match=r"nouns\.jsonl\.gz, row 1 is no object but 17"):
        prepare([{**labelled("nouns"), "path": "nouns.jsonl.gz"}])


def test_labels_and_keys_may_be_numbers(tmp_path, prepare):
    labelled_set(tmp_path / "data", "nouns", [{"key": 1, "label": 7}, {"key": 2, "label": 8.0}])
    _, out = prepare([labelled("nouns", templates=["number {}"])])
    found = [(row["key"], row["label"], row["captions"]) for row in read_pairs(out, "train")]
    assert found == [("1", "7", ["number 7"]), ("2", "8", ["number 8"])]


def test_texts_of_a_tar_are_read_in_any_encoding_and_a_broken_one_is_named(tmp_path, prepare):
    folder = tmp_path / "data"
    draw_images(folder, 2)
    texts = {
        "a.txt": "ein grüner Apfel".encode("cp1252"),
        "b.txt": "\ufeffein Päckchen\n".encode(),
        "b.json": b'{"x": 1',
    }
    for names in (("a.txt", "b.txt"), ("a.txt", "b.json")):
        with tarfile.open(folder / "own.tar", "w") as archive:
            members = {"a.jpg": (folder / "drawn000.jpg").read_bytes(), "b.jpg": (folder / "drawn001.jpg").read_bytes()}
            for name, data in (members | {name: texts[name] for name in names}).items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        for form in ("webdataset", "any"):
            shutil.rmtree(tmp_path / "prepare", ignore_errors=True)
            pairs = [{"split": "train", "format": form, "path": "own.tar"}]
            if "b.json" in names:
                with pytest.raises(ValueError, match=r"own\.tar, b\.json is not JSON"):
                    prepare(pairs)
            else:
                _, out = prepare(pairs)
                assert [row["captions"] for row in read_pairs(out, "train")] == [["ein grüner Apfel"], ["ein Päckchen"]]


def test_a_folder_has_every_kind_of_image_and_a_table_every_column_of_captions(tmp_path, prepare):
    folder = tmp_path / "data" / "own"
    folder.mkdir(parents=True)
    kinds = {"a.bmp": "BMP", "b.TIF": "TIFF", "c.tiff": "TIFF", "d.jfif": "JPEG"}
    for number, (name, kind) in enumerate(kinds.items()):
        Image.new("RGB", (20, 20), (60 * number, 90, 9)).save(folder / name, kind)
        (folder / name).with_suffix(".txt").write_text(f"picture {name}")
    (folder / "own.csv").write_text("image,caption,caption\na.bmp,first,second\n")
    _, out = prepare([{"split": "train", "format": "folder", "path": "own"}])
    assert [row["captions"] for row in read_pairs(out, "train")] == [[f"picture {name}"] for name in kinds]
    shutil.rmtree(out)
    _, out = prepare([{"split": "train", "format": "csv", "path": "own/own.csv"}])
    assert [row["captions"] for row in read_pairs(out, "train")] == [["first", "second"]]


def test_a_source_that_keeps_nothing_fails(tmp_path, prepare):
    labelled_set(tmp_path / "data", "nouns", [{"key": "axe", "label": "axe", "open": False}])
    with pytest.raises(ValueError, match=r"nouns\.jsonl: not one image .*not under an open licence: 1"):
        prepare([labelled("nouns", only_open=True)])


def test_translations_of_one_caption_are_joined_over_files(tmp_path, prepare):
    draw_images(tmp_path / "data" / "train", 1)
    write_lines(
        tmp_path / "data" / "a.jsonl", [{"id": "1", "en": "a dog", "de": "ein Hund"}, {"id": "2", "en": "a cat"}]
    )
    write_lines(tmp_path / "data" / "b.jsonl", [{"id": "1", "zh": "狗"}, {"id": "3", "zh": "鸟"}])
    texts = [{"split": "train", "kind": "translations", "path": f"{name}.jsonl"} for name in "ab"]
    _, out = prepare([{"split": "train", "format": "folder", "path": "train"}], texts=texts)
    assert read_texts(out, "translations", "train") == [
        {"id": "1", "en": "a dog", "de": "ein Hund", "zh": "狗"},
        {"id": "2", "en": "a cat"},
    ]


# ---- concepts --------------------------------------------------------------------------------------------------------

WORDNET = {"id": "1-n", "wnid": "n1", "lex": "animal", "words": ["tench", "Tinca tinca"], "gloss": "a fish",
           "hypernyms": ["cyprinid", "fish"], "tr": {"de": ["Schleie"], "fr": []}}  # fmt: skip
IMAGENET = {"index": 0, "wnid": "n1", "name": "tench", "synonyms": ["Tench", "Tinca tinca"], "gloss": "a fish",
            "hypernyms": ["fish"], "dclip": ["a fish", "has fins", "red eyes"], "cupl": ["A tench is green."],
            "babelnet": {"de": "Schlei", "es": "tenca"}, "tr": {"de": ["Schleie"]}}  # fmt: skip
CASES = {
    "wordnet": (WORDNET, {"id": "wordnet:1-n", "source": "wordnet", "name": "tench", "names": ["tench", "Tinca tinca"],
                          "gloss": "a fish", "hypernyms": ["cyprinid", "fish"], "descriptions": [],
                          "tr": {"de": ["Schleie"]}}),
    "imagenet_classes": (IMAGENET, {
        "id": "imagenet:n1", "source": "imagenet", "name": "tench", "names": ["tench", "Tinca tinca"],
        "gloss": "a fish", "hypernyms": ["fish"],
        "descriptions": ["A tench is green.", "tench, which is a fish", "tench, which has fins", "tench, which has red eyes"],
        "tr": {"de": ["Schleie", "Schlei"], "es": ["tenca"]}}),
    "class_descriptions": (
        {"dataset": "sun", "class": "fish_pond", "by": "CuPL", "texts": ["A pond.", "A pond."]},
        {"id": "sun:fish pond", "source": "sun", "name": "fish pond", "names": ["fish pond"], "gloss": None,
         "hypernyms": [], "descriptions": ["A pond."], "tr": {}}),
    "taxonomy": (
        {"id": 5, "en": ["Home", "Linens", "Towels"], "de": "Tücher"},
        {"id": "taxonomy:5", "source": "taxonomy", "name": "Towels", "names": ["Towels"], "gloss": None,
         "hypernyms": ["Linens", "Home"], "descriptions": [], "tr": {"de": ["Tücher"]}}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_format_becomes_the_normal_form_of_a_concept(tmp_path, name):
    row, expected = CASES[name]
    write_lines(tmp_path / "rows.jsonl", [row])
    source = {"split": "train", "kind": "concepts", "format": name, "path": "rows.jsonl"}
    assert list(each_text(tmp_path, cast(TextSource, source))) == [expected]
    # The normal form itself is read as it is.
    write_lines(tmp_path / "rows.jsonl", [expected])
    assert list(each_text(tmp_path, {"split": "train", "kind": "concepts", "path": "rows.jsonl"})) == [expected]


def test_open_concepts_come_without_descriptions_that_state_no_licence(tmp_path):
    write_lines(tmp_path / "rows.jsonl", [IMAGENET])
    source: TextSource = {"split": "train", "kind": "concepts", "path": "rows.jsonl", "only_open": True}
    (row,) = each_text(tmp_path, {**source, "format": "imagenet_classes"})
    assert (row["descriptions"], row["tr"], row["gloss"]) == ([], {"de": ["Schleie"]}, "a fish")
    write_lines(tmp_path / "rows.jsonl", [CASES["taxonomy"][0]])
    with pytest.raises(ValueError, match="none of its 1 rows is left"):
        list(each_text(tmp_path, {**source, "format": "taxonomy"}))


def test_a_filter_that_leaves_no_text_fails_with_its_name(tmp_path):
    write_lines(tmp_path / "rows.jsonl", [{"id": "1", "source": "coco", "captions": ["one", "two"]}])
    with pytest.raises(ValueError, match=r"rows\.jsonl.*sources.*COCO"):
        list(each_text(tmp_path, {"split": "train", "kind": "groups", "path": "rows.jsonl", "sources": ["COCO"]}))
