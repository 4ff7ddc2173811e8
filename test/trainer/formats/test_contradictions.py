"""Own data that say two things of one image, or a word that means nothing: what counts, and that a person hears of it."""

import io
import json
import tarfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from towers.formats.item import Columns
from towers.formats.table import read_items


def jpeg(colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "JPEG")
    return buffer.getvalue()


def images(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(jpeg())


def shard(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


ROWS = [
    {"image": "a.jpg", "label": "cat", "caption": "one"},
    {"image": "a.jpg", "label": "dog", "caption": "two"},
    {"image": "a.jpg", "label": "cat", "caption": "three"},
    {"image": "b.jpg", "label": "Guinea-Pig", "caption": "four"},
    {"image": "b.jpg", "label": "guinea pig", "caption": "five"},
    {"image": "c.jpg", "label": "fish", "caption": "six"},
    {"image": "c.jpg", "label": "bird", "caption": "seven"},
]
SENTENCE = (
    "2 images are of several classes, such as a.jpg ('cat', 'dog'): the first one counts. Where all of them are right, "
    "read them as captions: --caption-column with the name of their column"
)


def written(folder: Path, kind: str) -> Path:
    images(folder, "a.jpg", "b.jpg", "c.jpg")
    table = folder / f"own.{kind}"
    if kind == "csv":
        table.write_text("image,label,caption\n" + "".join(",".join(row.values()) + "\n" for row in ROWS))
    elif kind == "jsonl":
        table.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif kind == "json":
        table.write_text(json.dumps(ROWS))
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), table)
    return table


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "parquet"])
def test_the_first_of_several_classes_of_an_image_counts_and_a_sentence_says_so(tmp_path, kind):
    table = written(tmp_path, kind)
    found = read_items(table)
    assert [(item.key, item.label, item.captions) for item in found.items] == [
        ("a.jpg", "cat", ["one", "two", "three"]),
        ("b.jpg", "Guinea-Pig", ["four", "five"]),
        ("c.jpg", "fish", ["six", "seven"]),
    ]
    assert found.notes[1:] == [SENTENCE]
    # The advice holds: as captions all of them stay.
    found = read_items(table, Columns(captions=("label",)))
    assert [(item.label, item.captions) for item in found.items] == [
        (None, ["cat", "dog"]), (None, ["Guinea-Pig", "guinea pig"]), (None, ["fish", "bird"]),
    ]  # fmt: skip
    assert len(found.notes) == 1


def test_a_list_of_classes_is_read_as_rows_of_one_class_each_are(tmp_path):
    images(tmp_path, "a.jpg", "b.jpg")
    rows = [{"image": "a.jpg", "label": ["cat", "dog"]}, {"image": "b.jpg", "label": ["bird"]}]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_items(tmp_path / "own.jsonl")
    assert [item.label for item in found.items] == ["cat", "bird"]
    assert "1 image is of several classes, such as a.jpg ('cat', 'dog')" in found.notes[1]


def test_a_number_in_two_ways_and_a_number_beside_a_name_are_no_contradiction(tmp_path):
    images(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "own.csv").write_text("image,label\na.jpg,7\na.jpg,07\nb.jpg,8\nb.jpg,9.0\n")
    assert "1 image is of several classes, such as b.jpg ('8', '9.0')" in read_items(tmp_path / "own.csv").notes[1]
    shard(tmp_path / "x.tar", {"a.jpg": jpeg(), "a.cls": b"7", "a.json": b'{"class_name": "cat"}'})
    found = read_items(tmp_path / "x.tar")
    assert [(item.label, found.notes[1:]) for item in found.items] == [("7", [])]


def test_classes_of_a_shards_members_and_of_the_rows_beside_it_are_compared(tmp_path):
    shard(tmp_path / "x.tar", {"a.jpg": jpeg(), "a.cls": b"cat", "a.json": b'{"label": "dog"}', "b.jpg": jpeg("blue")})
    (tmp_path / "x.jsonl").write_text(
        "".join(
            json.dumps(row) + "\n"
            for row in ({"key": "b", "label": "fish"}, {"key": "b", "label": "bird"}, {"key": "a"})
        )
    )
    found = read_items(tmp_path / "x.tar")
    assert [(item.key, item.label) for item in found.items] == [("a", "cat"), ("b", "fish")]
    assert "2 images are of several classes, such as a ('cat', 'dog')" in found.notes[-1]


def test_an_image_that_one_row_keeps_apart_is_kept_apart(tmp_path):
    names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    images(tmp_path, *names)
    splits = [("train", "test"), ("train", "val"), ("train", "holdout"), ("train", "")]
    rows = [f"{name},{split}\n" for name, both in zip(names, splits, strict=True) for split in both]
    (tmp_path / "own.csv").write_text("".join(["image,split,caption\n", *(f"{row.strip()},x\n" for row in rows)]))
    found = read_items(tmp_path / "own.csv")
    assert {item.key: item.split for item in found.items} == {
        "a.jpg": "test", "b.jpg": "dev", "c.jpg": "test", "d.jpg": "train",
    }  # fmt: skip


def test_a_word_that_is_no_split_is_judged_by_all_shards_of_a_set(tmp_path):
    def said(split: str) -> bytes:
        return json.dumps({"caption": split, "split": split}).encode()

    shard(tmp_path / "own-0.tar", {"a.jpg": jpeg(), "a.json": said("train")})
    shard(tmp_path / "own-1.tar", {"b.jpg": jpeg("blue"), "b.json": said("holdout")})
    shard(tmp_path / "own-2.tar", {"c.jpg": jpeg("green"), "c.json": said("holdout")})
    found = read_items(tmp_path)
    assert {item.key: item.split for item in found.items} == {"a": "train", "b": "test", "c": "test"}
    assert found.notes[-1] == (
        "'split' of own-1.tar and 1 like it say 'holdout' (2 images), which is none of train, val and test: "
        "these images are left alone, as those of test are"
    )
    (tmp_path / "own-0.tar").unlink()
    found = read_items(tmp_path)
    assert [item.split for item in found.items] == [None, None]
    assert found.notes[-1].endswith("which is none of train, val and test: so it is not read as a split")


def test_a_word_in_rows_beside_shards_and_in_parts_of_a_table_is_judged_with_the_others(tmp_path):
    (tmp_path / "tars").mkdir()
    shard(tmp_path / "tars" / "x.tar", {"a.jpg": jpeg(), "b.jpg": jpeg("blue")})
    rows = [{"key": "a", "caption": "x", "split": "holdout"}, {"key": "b", "caption": "y"}]
    (tmp_path / "tars" / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_items(tmp_path / "tars" / "x.tar")
    assert "column 'split' says 'holdout' (1 image)" in found.notes[-1]
    shard(tmp_path / "tars" / "y.tar", {"c.jpg": jpeg("green"), "c.json": b'{"caption": "z", "split": "train"}'})
    assert {item.key: item.split for item in read_items(tmp_path / "tars").items} == {
        "a": "test", "b": None, "c": "train",
    }  # fmt: skip

    (tmp_path / "parts").mkdir()
    for number, split in enumerate(["train", "holdout"]):
        row = {"image": {"bytes": jpeg(), "path": f"{number}.jpg"}, "text": "x", "split": split}
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "parts" / f"{number}.parquet")
    assert [item.split for item in read_items(tmp_path / "parts").items] == ["train", "test"]

    for number, split in enumerate(["train", "holdout"]):
        images(tmp_path / "meta" / str(number), "1.jpg")
        row = {"file_name": "1.jpg", "text": "x", "split": split}
        (tmp_path / "meta" / str(number) / "metadata.jsonl").write_text(json.dumps(row))
    assert [item.split for item in read_items(tmp_path / "meta").items] == ["train", "test"]


def test_a_column_that_speaks_of_something_else_leaves_the_split_of_files_and_folders_alone(tmp_path):
    images(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "train.csv").write_text("image,caption,subset\na.jpg,x,indoor\n")
    (tmp_path / "val.csv").write_text("image,caption,subset\nb.jpg,x,outdoor\n")
    found = read_items(tmp_path)
    assert [item.split for item in found.items] == ["train", "dev"]
    assert any("'indoor' (1 image), 'outdoor' (1 image)" in note for note in found.notes)
