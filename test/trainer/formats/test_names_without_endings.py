"""Tables that name images without the ending of their files: found where one file matches, and said where none or several do."""

import json
from pathlib import Path

import pytest

from towers.formats.table import read_items


def images(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def test_a_name_without_ending_is_the_one_file_that_it_begins(tmp_path):
    images(
        tmp_path,
        "pictures/a/cat1.jpg",
        "pictures/cat2.PNG",
        "pictures/v1.5.webp",
        "pictures/cat2.txt",
        "pictures/plain",
    )
    rows = [("a/cat1", "one"), ("cat2", "two"), ("v1.5", "three"), ("plain", "four"), ("a\\cat1", "in Windows' way")]
    (tmp_path / "own.csv").write_text("image,caption\n" + "".join(f"{name},{said}\n" for name, said in rows))
    (tmp_path / "own.jsonl").write_text(
        "".join(json.dumps({"image": name, "text": said}) + "\n" for name, said in rows)
    )
    coco = {
        "images": [{"id": n, "file_name": name} for n, (name, _) in enumerate(rows)],
        "annotations": [{"image_id": n, "caption": said} for n, (_, said) in enumerate(rows)],
    }
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    for table in ("own.csv", "own.jsonl", "coco.json"):
        found = [(item.captions[0], item.load().decode()) for item in read_items(tmp_path / table).items]
        assert found[:4] == [
            ("one", "pictures/a/cat1.jpg"),
            ("two", "pictures/cat2.PNG"),
            ("three", "pictures/v1.5.webp"),
            ("four", "pictures/plain"),
        ], table


def test_a_name_with_and_one_without_ending_are_of_one_image(tmp_path):
    images(tmp_path, "cat1.jpg")
    (tmp_path / "own.csv").write_text("image,caption\ncat1,one\ncat1.jpg,two\n")
    assert [item.captions for item in read_items(tmp_path / "own.csv").items] == [["one", "two"]]


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_name_that_several_files_begin_with_and_one_that_none_has_are_said(tmp_path, kind):
    images(tmp_path, "cat1.jpg", "cat1.png", "cat2.txt")
    rows = [{"file_name": name, "caption": "x", "sentences": ["x"], "filename": name} for name in ("cat1", "cat2")]
    (tmp_path / "own.csv").write_text("file_name,caption\ncat1,x\ncat2,x\n")
    (tmp_path / "own.json").write_text(json.dumps({"images": rows}))
    several, none = read_items(tmp_path / f"own.{kind}").items
    with pytest.raises(OSError, match=r"several files match \(cat1\.jpg, cat1\.png\): write the ending"):
        several.load()
    with pytest.raises(FileNotFoundError, match=r"there is no file .*cat2, nor an image of that name with an ending$"):
        none.load()
