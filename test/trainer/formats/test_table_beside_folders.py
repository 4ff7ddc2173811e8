"""A folder per class with a table on top: the table is read where it is one of these images; else it is said how to choose."""

from pathlib import Path

import pytest
from PIL import Image

from towers.formats.item import FormatError
from towers.formats.table import read_items


def classes(folder: Path) -> Path:
    for name in ("rose/1.png", "rose/2.png", "lily/1.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / name)
    return folder


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("prices.csv", "sku,price\n1,2.50\n", "prices.csv has no column that looks like the name of an image file"),
        ("names.jsonl", '{"foto": "rose/1.png", "caption": "x"}\n', "names.jsonl has no column that looks like"),
        ("index.json", '{"rose": 0, "lily": 1}', "index.json is none of the JSON documents that are read"),
        ("rows.csv", "image,price\nrose/1.png,2\n", "rows.csv says nothing about its images"),
        ("broken.parquet", "no parquet", "broken.parquet cannot be read as Parquet"),
        ("empty.csv", "", "empty.csv has no rows"),
    ],
)
def test_a_table_that_cannot_be_read_beside_class_folders_says_how_to_choose(tmp_path, name, text, reason):
    classes(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(FormatError) as refused:
        read_items(tmp_path)
    said = str(refused.value)
    assert reason in said
    assert said.endswith(
        f". {tmp_path} holds folders of images, too, and a table goes before them: name {tmp_path / name} instead of the folder if "
        "it says what the images show; if the 2 folders are the classes of their images, move it out of the folder (a file that "
        "says what the classes are is named with --classes FILE)"
    )
    (tmp_path / name).unlink()
    assert {item.label for item in read_items(tmp_path).items} == {"rose", "lily"}


def test_several_tables_beside_class_folders_are_all_named(tmp_path):
    classes(tmp_path)
    (tmp_path / "a.csv").write_text("image,caption\nrose/1.png,x\n")
    (tmp_path / "b.csv").write_text("sku,price\n1,2\n")
    with pytest.raises(
        FormatError,
        match=r"several tables .a.csv, b.csv.*if the 2 folders are the classes of their images, move them out",
    ):
        read_items(tmp_path)


def test_a_table_of_other_images_beside_class_folders_is_not_taken_for_one_of_these(tmp_path):
    classes(tmp_path)
    (tmp_path / "orders.csv").write_text("image,title\nbanner.png,Summer sale\nlogo.png,Our logo\n")
    with pytest.raises(
        FormatError, match=r"none of the images that orders.csv names is there .there is no file.*if the 2 folders are"
    ):
        read_items(tmp_path)


def test_a_table_of_the_images_in_the_folders_is_read(tmp_path):
    classes(tmp_path)
    (tmp_path / "own.csv").write_text("image,caption\nrose/1.png,a red rose\nlily/1,a lily\n")
    found = read_items(tmp_path)
    assert {item.key: item.captions for item in found.items} == {"rose/1.png": ["a red rose"], "lily/1": ["a lily"]}


@pytest.mark.parametrize(
    ("table", "text", "left"),
    [
        ("captions.csv", "image,caption\nrose/1.png,a rose\nrose/2.png,two roses\n", "1 of the 3 images"),
        ("captions.csv", "image,caption\nlily/1,a lily\n", "2 of the 3 images"),
        ("metadata.jsonl", '{"file_name": "rose/2.png", "text": "two roses"}\n', "2 of the 3 images"),
        ("rose/metadata.jsonl", '{"file_name": "2.png", "text": "two roses"}\n', "2 of the 3 images"),
        ("all.csv", "image,caption\nrose/1.png,a\nrose/2.png,b\nlily/1.png,c\n", None),
    ],
)
def test_images_that_no_row_names_are_counted(tmp_path, table, text, left):
    classes(tmp_path)
    (tmp_path / table).write_text(text)
    notes = [note for note in read_items(tmp_path).notes if "in no row" in note]
    assert len(notes) == (left is not None)
    assert all(f"{left} in the folder are in no row and are not read, such as " in note for note in notes)


def test_pictures_beside_a_table_whose_pictures_are_elsewhere_are_not_counted(tmp_path):
    (tmp_path / "shop").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "rose.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "shop/logo.png")
    (tmp_path / "shop/rows.csv").write_text("image,caption\n../rose.png,a rose\n")
    assert not [note for note in read_items(tmp_path / "shop").notes if "in no row" in note]
