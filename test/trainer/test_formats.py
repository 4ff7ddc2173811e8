"""Own data as people have it: every format is read, recognised by its sentence, and refused with what to do."""

import io
import json
import tarfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from towers.formats.classes import ClassTable, read_classes
from towers.formats.item import Columns, FormatError, NoBytesError
from towers.formats.table import read_items


def jpeg(colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "JPEG")
    return buffer.getvalue()


def images(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(jpeg())
    return folder


def said(path: Path, columns: Columns | None = None):
    return {item.key: (item.captions, item.label, item.split) for item in read_items(path, columns).items}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_table_of_a_spreadsheet_is_read_whatever_its_delimiter_and_encoding(tmp_path, delimiter, encoding):
    images(tmp_path, "a.jpg", "b.jpg")
    rows = [["File Name", "Titel", "Title"], ["a.jpg", "x", "Äpfel, rot"], ["b.jpg", "y", "café"]]
    text = "\r\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows) + "\r\n"
    (tmp_path / "own.csv").write_bytes(text.encode(encoding))
    found = read_items(tmp_path / "own.csv")
    assert [(item.key, item.captions) for item in found.items] == [("a.jpg", ["Äpfel, rot"]), ("b.jpg", ["café"])]
    assert "images from column 'File Name', captions from 'Title'" in found.notes[0]
    assert found.items[0].load() == jpeg()


@pytest.mark.parametrize("above", ["sep=;\r\n", '"sep=;"\n', "\r\n\n", ";;\r\n", "\n ;;\nSEP=;\n\n"])
@pytest.mark.parametrize("name", ["own.csv", "own.txt"])
def test_lines_above_the_header_are_excels_delimiter_and_empty_ones(tmp_path, above, name):
    images(tmp_path, "1.jpg")
    (tmp_path / name).write_bytes(f"{above};image;caption\r\n0;1.jpg;one, two\r\n".encode("utf-16"))
    assert said(tmp_path) == {"1.jpg": (["one, two"], None, None)}
    (tmp_path / name).write_text(f"{above}image;caption\n1.jpg;one\n1.jpg;two;more\n")
    with pytest.raises(FormatError, match=rf"{name}, line {above.count(chr(10)) + 3} has more cells"):
        read_items(tmp_path)


def test_a_delimiter_that_a_table_states_goes_before_the_one_that_is_most_frequent(tmp_path):
    images(tmp_path, "1.jpg")
    (tmp_path / "own.csv").write_text("sep=;\nimage;caption, short, or long\n1.jpg;one, two\n")
    assert said(tmp_path, Columns("image", ("caption, short, or long",))) == {"1.jpg": (["one, two"], None, None)}


def test_windows_backslashes_between_folders_are_read_in_every_table(tmp_path):
    images(tmp_path, "pictures/a/1.jpg", "pictures/2.jpg", "pictures/x\\y.jpg")
    rows = [("a\\1.jpg", "one"), ("2.jpg", "two"), ("a/1.jpg", "first"), ("x\\y.jpg", "a name with a backslash")]
    (tmp_path / "own.csv").write_text("".join(f"{file};{text}\r\n" for file, text in [("image", "caption"), *rows]))
    (tmp_path / "own.jsonl").write_text(
        "".join(json.dumps({"image": file, "caption": text}) + "\n" for file, text in rows)
    )
    coco = {
        "images": [{"id": n, "file_name": file} for n, (file, _) in enumerate(rows)],
        "annotations": [{"image_id": n, "caption": text} for n, (_, text) in enumerate(rows)],
    }
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    for table in ("own.csv", "own.jsonl"):
        assert said(tmp_path / table) == {
            "a/1.jpg": (["one", "first"], None, None),
            "2.jpg": (["two"], None, None),
            "x/y.jpg": (["a name with a backslash"], None, None),
        }
    for table in ("own.csv", "own.jsonl", "coco.json"):
        for item in read_items(tmp_path / table).items:
            assert item.load() == jpeg()


def test_a_text_that_is_too_long_for_a_file_is_no_name_of_one(tmp_path):
    (tmp_path / "own.csv").write_text(f"image,caption\n{'long ' * 100},x\n")
    (item,) = read_items(tmp_path / "own.csv").items
    with pytest.raises(FileNotFoundError, match="there is no file"):
        item.load()


def test_captions_of_one_image_in_several_rows_belong_together(tmp_path):
    images(tmp_path, "images/a.jpg")
    (tmp_path / "own.csv").write_text("image,caption\nimages/a.jpg,one\nimages/a.jpg,two\nimages/a.jpg,one\n")
    assert said(tmp_path) == {"images/a.jpg": (["one", "two"], None, None)}


@pytest.mark.parametrize(
    ("name", "table", "written"),
    [
        ("captions.txt", "image,caption\na.jpg,one\na.jpg,two\n", "commas"),  # Flickr8k's, as it is passed on
        ("Flickr8k.token.txt", "a.jpg#0\tone , and one\na.jpg#1\ttwo\n", "tabs"),  # Flickr8k's own
        ("pairs.csv", "a.jpg;one\na.jpg;two\n", "semicolons"),
    ],
)
def test_captions_in_one_text_file_with_the_images_in_a_folder_beside_it(tmp_path, name, table, written):
    images(tmp_path, "Images/a.jpg")
    (tmp_path / name).write_text(table)
    found = read_items(tmp_path)
    assert [(item.key, item.captions[-1], item.load()) for item in found.items] == [("a.jpg", "two", jpeg())]
    assert f"images in {tmp_path / 'Images'} ({written}, UTF-8" in found.notes[0]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (
            "image,caption\na.jpg,a dog, running\n",
            "line 2 has more cells than the 2 columns .*: 'running' is left over",
        ),
        ("a.jpg,a dog, running\n", "names of the columns into the first line"),
        ('image,caption\na.jpg,"a dog\nb.jpg,a cat\n', "a double quote is never closed, before 'a dog'"),
    ],
)
def test_a_table_that_would_lose_texts_or_rows_is_refused(tmp_path, table, sentence):
    (tmp_path / "own.csv").write_text(table)
    with pytest.raises(FormatError, match=sentence):
        read_items(tmp_path / "own.csv")


def test_columns_of_one_name_lose_nothing(tmp_path):
    table = tmp_path / "own.csv"
    table.write_text("image,caption,caption, note,note,,\na.jpg,one,two,x,x,,\nb.jpg,,three,,y,,\n")
    assert said(table) == {"a.jpg": (["one", "two"], None, None), "b.jpg": (["three"], None, None)}
    table.write_text("image,label,label\na.jpg,cat,cat\nb.jpg,cat,dog\n")
    with pytest.raises(
        FormatError, match="line 3: two columns are called 'label' and say different things, 'cat' and 'dog'"
    ):
        read_items(table)


def test_empty_cells_at_the_end_of_a_row_and_long_data_uris_are_fine(tmp_path):
    uri = "data:image/jpeg;base64," + "A" * 200_000
    (tmp_path / "own.csv").write_text(f'image;caption\na.jpg;one;;\n"{uri}";"two\nlines"\n')
    first, second = read_items(tmp_path / "own.csv").items
    assert (first.key, first.captions, second.captions, len(second.load())) == (
        "a.jpg",
        ["one"],
        ["two lines"],
        150_000,
    )


def test_texts_of_windows_and_endings_in_capitals_are_read(tmp_path):
    images(tmp_path / "a", "1.JPG", "2.jpg")
    (tmp_path / "a" / "1.TXT").write_bytes("grüner Apfel\r\n".encode("cp1252"))
    (tmp_path / "a" / "2.txt").write_bytes("\ufeffPäckchen\n".encode())
    assert said(tmp_path / "a") == {"1.JPG": (["grüner Apfel"], None, None), "2.jpg": (["Päckchen"], None, None)}
    (tmp_path / "own.jsonl").write_bytes('{"image": "1.jpg", "caption": "grün\u2028blau"}\n'.encode())
    assert said(tmp_path / "own.jsonl")["1.jpg"][0] == ["grün blau"]
    (tmp_path / "own.jsonl").write_bytes('{"image": "1.jpg", "caption": "grün"}\n'.encode("cp1252"))
    assert said(tmp_path / "own.jsonl")["1.jpg"][0] == ["grün"]


def test_linked_folders_are_read_and_links_in_a_circle_end(tmp_path):
    images(tmp_path, "pool/1.jpg", "own/Pear/2.jpg", "own/.cache/3.jpg", "own/._4.jpg")
    (tmp_path / "own" / "Apple").symlink_to(tmp_path / "pool", target_is_directory=True)
    (tmp_path / "own" / "Pear" / "loop").symlink_to("..", target_is_directory=True)
    (tmp_path / "own" / "itself").symlink_to("itself")
    assert said(tmp_path / "own") == {"Apple/1.jpg": ([], "Apple", None), "Pear/2.jpg": ([], "Pear", None)}


def test_columns_can_be_named_and_a_wrong_name_lists_those_there_are(tmp_path):
    (tmp_path / "own.tsv").write_text("bild\ttext de\tart\na.jpg\tein Apfel\tobst\n")
    with pytest.raises(FormatError, match="has no column that looks like the name of an image file; it has 'bild'"):
        read_items(tmp_path / "own.tsv")
    asked = Columns("bild", ("text de",), "art")
    assert said(tmp_path / "own.tsv", asked) == {"a.jpg": (["ein Apfel"], "obst", None)}
    with pytest.raises(FormatError, match="no column 'picture'; it has 'bild', 'text de', 'art'"):
        read_items(tmp_path / "own.tsv", Columns("picture"))
    with pytest.raises(FormatError, match="no column looks like a caption, a title or a class"):
        read_items(tmp_path / "own.tsv", Columns("bild", ()))


def test_json_lines_with_lists_and_data_uris(tmp_path):
    rows = [
        {"image": "data:image/jpeg;base64,/9j/", "captions": ["one", "two"]},
        {"image": "https://example.com/x.jpg", "captions": "three", "split": "validation"},
    ]
    (tmp_path / "own.jsonl").write_text("\ufeff" + "\n".join(map(json.dumps, rows)))
    first, second = read_items(tmp_path / "own.jsonl").items
    assert first.load() == b"\xff\xd8\xff" and first.captions == ["one", "two"]
    assert second.split == "dev"
    with pytest.raises(NoBytesError, match="it is a web address"):
        second.load()
    (tmp_path / "own.jsonl").write_text('{"image": "a.jpg", "text": "x"}\n{"image": \n')
    with pytest.raises(FormatError, match=r"own\.jsonl, line 2 is not JSON"):
        read_items(tmp_path / "own.jsonl")


def test_parquet_as_hugging_face_writes_it(tmp_path):
    rows = [{"image": {"bytes": jpeg(), "path": "a.jpg"}, "label": 3, "text": "an apple"}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "own.parquet")
    (item,) = read_items(tmp_path / "own.parquet").items
    assert (item.key, item.captions, item.label, item.load()) == ("a.jpg", ["an apple"], "3", jpeg())


def test_images_in_parquet_are_read_a_group_of_rows_at_a_time(tmp_path):
    pictures = [jpeg(colour) for colour in ("red", "green", "blue", "white", "black")]
    cells = [{"bytes": data, "path": f"{n}.jpg"} for n, data in enumerate(pictures)] + [
        {"bytes": None, "path": "beside.jpg"}
    ]
    images(tmp_path, "beside.jpg")
    table = pyarrow.table({"image": cells, "text": [f"caption {n}" for n in range(6)]})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet", row_group_size=2)
    items = read_items(tmp_path / "rows.parquet").items
    assert [(item.key, item.captions) for item in items[:2]] == [("0.jpg", ["caption 0"]), ("1.jpg", ["caption 1"])]
    # In any order, and a cell without bytes names a file.
    assert [items[n].load() for n in (4, 0, 3, 1, 2)] == [pictures[n] for n in (4, 0, 3, 1, 2)]
    assert items[5].load() == jpeg()
    pyarrow.parquet.write_table(pyarrow.table({"image": pictures, "text": list("abcde")}), tmp_path / "bare.parquet")
    bare = read_items(tmp_path / "bare.parquet").items
    assert [(item.key, item.load() == data) for item, data in zip(bare, pictures, strict=True)] == [
        (f"row-{n}", True) for n in range(1, 6)
    ]


def test_pictures_inside_a_table_stay_apart_whatever_they_are_called(tmp_path):
    images(tmp_path, "beside.jpg")
    cells = [{"bytes": jpeg(colour), "path": "1.jpg"} for colour in ("red", "green", "blue")]
    cells += [{"bytes": None, "path": "beside.jpg"}, {"bytes": None, "path": "./beside.jpg"}, None]
    table = pyarrow.table({"image": cells, "text": ["red", "green", "blue", "one", "two", "nothing"]})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet", row_group_size=2)
    *items, last = read_items(tmp_path / "rows.parquet").items
    assert [(item.key, item.captions, item.load()) for item in items] == [
        ("1.jpg", ["red"], jpeg("red")),
        ("1.jpg#2", ["green"], jpeg("green")),
        ("1.jpg#3", ["blue"], jpeg("blue")),
        ("beside.jpg", ["one", "two"], jpeg()),  # rows without bytes that name the same file
    ]
    with pytest.raises(NoBytesError, match="the row names no image"):
        last.load()
    # A row for each caption, as data sets of the hub have them: the same image comes again.
    again = [{"bytes": jpeg(colour), "path": "1.jpg"} for colour in ("red", "green", "red", "green", "red")]
    spoken = pyarrow.table({"image": again, "text": list("abcde")})
    pyarrow.parquet.write_table(spoken, tmp_path / "spoken.parquet", row_group_size=2)
    found = [(item.key, item.captions) for item in read_items(tmp_path / "spoken.parquet").items]
    assert found == [("1.jpg", ["a", "c", "e"]), ("1.jpg#2", ["b", "d"])]
    bare = pyarrow.table({"image": [jpeg(), None], "text": ["a", "b"]})
    pyarrow.parquet.write_table(bare, tmp_path / "bare.parquet", write_statistics=False)
    first, second = read_items(tmp_path / "bare.parquet").items
    assert (first.key, first.load(), second.key) == ("row-1", jpeg(), "row-2")
    with pytest.raises(NoBytesError, match="the row names no image"):
        second.load()


def test_rows_are_of_one_image_where_they_name_the_same_file(tmp_path):
    for name, colour in (("x/1.jpg", "red"), ("own/x/1.jpg", "blue")):
        images(tmp_path, name)
        (tmp_path / name).write_bytes(jpeg(colour))
    rows = ["../x/1.jpg,outside", "x/1.jpg,inside", "./x/../x/1.jpg,again", f"{tmp_path}/x/1.jpg,whole"]
    (tmp_path / "own" / "own.csv").write_text("\n".join(["image,caption", *rows]))
    assert [(item.key, item.captions, item.load()) for item in read_items(tmp_path / "own" / "own.csv").items] == [
        ("../x/1.jpg", ["outside", "whole"], jpeg("red")),
        ("x/1.jpg", ["inside", "again"], jpeg("blue")),
    ]


def test_coco_captions_and_coco_objects(tmp_path):
    images(tmp_path, "val2017/1.jpg", "val2017/2.jpg")
    listed = [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"}]
    captions = [
        {"image_id": 1, "caption": "a dog"},
        {"image_id": 1, "caption": "it runs"},
        {"image_id": 2, "caption": "a cat"},
    ]
    (tmp_path / "annotations").mkdir()
    file = tmp_path / "annotations" / "captions.json"
    file.write_text(json.dumps({"images": listed, "annotations": captions}))
    assert said(file) == {"1.jpg": (["a dog", "it runs"], None, None), "2.jpg": (["a cat"], None, None)}
    assert read_items(file).items[0].load() == jpeg()
    objects = [{"image_id": 1, "category_id": 7, "area": 5}, {"image_id": 1, "category_id": 8, "area": 50}]
    names = [{"id": 7, "name": "leash"}, {"id": 8, "name": "dog"}]
    file.write_text(json.dumps({"images": listed, "annotations": objects, "categories": names}))
    assert said(file) == {"1.jpg": ([], "dog", None), "2.jpg": ([], None, None)}


def test_karpathys_splits_and_a_list_of_rows(tmp_path):
    images(tmp_path, "images/a.jpg", "images/b.jpg")
    rows = [
        {"filename": "a.jpg", "sentences": [{"raw": "one"}, {"raw": "two"}], "split": "restval"},
        {"filename": "b.jpg", "sentences": [{"raw": "three"}], "split": "test"},
    ]
    (tmp_path / "dataset.json").write_text(json.dumps({"images": rows}))
    assert said(tmp_path / "dataset.json") == {
        "a.jpg": (["one", "two"], None, "train"),
        "b.jpg": (["three"], None, "test"),
    }
    assert read_items(tmp_path / "dataset.json").items[0].load() == jpeg()
    (tmp_path / "list.json").write_text(json.dumps([{"image": "images/a.jpg", "caption": "one"}]))
    assert said(tmp_path / "list.json") == {"images/a.jpg": (["one"], None, None)}
    (tmp_path / "other.json").write_text('{"a": 1}')
    with pytest.raises(FormatError, match="none of the JSON documents that are read"):
        read_items(tmp_path / "other.json")


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def test_shards_in_any_order_and_a_tar_with_its_rows_beside_it(tmp_path):
    with tarfile.open(tmp_path / "x-000.tar", "w") as archive:  # by type, not by key
        add(archive, "k1.jpg", jpeg("blue"))
        add(archive, "k2.jpg", jpeg())
        add(archive, "k1.txt", b"a caption")
        add(archive, "k2.json", b'{"caption": "from json", "label": 4}')
    (first, second) = read_items(tmp_path / "x-000.tar").items
    assert (first.captions, first.load()) == (["a caption"], jpeg("blue"))
    assert (second.captions, second.label) == (["from json"], "4")
    (tmp_path / "x.jsonl").write_text('{"key": "k1", "class_id": 2}\n{"key": "k2", "class_id": 3}\n')
    assert [item.label for item in read_items(tmp_path / "x-000.tar").items] == ["2", "3"]


def shard(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            add(archive, name, data)
    return path


def test_rows_beside_a_tar_are_of_the_member_they_name(tmp_path):
    tar = shard(tmp_path / "x.tar", {name: jpeg() for name in ("cat/1.jpg", "dog/1.jpg", "./dog/2.JPG", "3.jpg")})
    rows = [("cat/1", "a cat"), ("dog/1.jpg", "a dog"), ("2.jpg", "two dogs"), ("pets/3.png", "three"), ("4", "none")]
    rows += [("dog/1.jpg", "it barks"), ("1.jpg", "whose is it")]
    (tmp_path / "x.jsonl").write_text("\n".join(json.dumps({"key": key, "caption": said}) for key, said in rows))
    assert said(tar) == {
        "cat/1": (["a cat"], None, None),
        "dog/1": (["a dog", "it barks"], None, None),
        "./dog/2": (["two dogs"], None, None),
        "3": (["three"], None, None),
    }
    assert read_items(tar).notes[1] == "2 of the 6 rows of x.jsonl name no image of x.tar"


def test_a_table_beside_a_tar_that_names_none_of_its_images_is_refused(tmp_path):
    tar = shard(tmp_path / "x.tar", {"cat/1.jpg": jpeg(), "dog/1.jpg": jpeg()})
    (tmp_path / "x.jsonl").write_text('{"key": "1", "caption": "a cat or a dog"}')
    with pytest.raises(FormatError, match=r"x\.jsonl names no image of x\.tar: its rows are of 1, .* like cat/1\."):
        read_items(tar)


def test_shards_that_use_the_same_keys_lose_nothing(tmp_path):
    for name, colour in (("a.tar", "red"), ("b.tar", "blue")):
        with tarfile.open(tmp_path / name, "w") as archive:
            add(archive, "000.jpg", jpeg(colour))
            add(archive, "000.txt", colour.encode())
    assert {(item.captions[0], item.load()) for item in read_items(tmp_path).items} == {
        ("red", jpeg("red")),
        ("blue", jpeg("blue")),
    }


def test_folders_per_class_with_splits_and_captions_beside_images(tmp_path):
    images(tmp_path / "a", "train/Granny-Smith/1.jpg", "val/Granny-Smith/2.JPG", "train/Pear/3.png")
    assert said(tmp_path / "a") == {
        "train/Granny-Smith/1.jpg": ([], "Granny-Smith", "train"),
        "train/Pear/3.png": ([], "Pear", "train"),
        "val/Granny-Smith/2.JPG": ([], "Granny-Smith", "dev"),
    }
    images(tmp_path / "b", "x/1.jpg", "2.jpg")
    (tmp_path / "b" / "2.txt").write_text("one\n\ntwo\n")
    assert said(tmp_path / "b") == {"2.jpg": (["one", "two"], None, None), "x/1.jpg": ([], None, None)}


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["rose/train/1.jpg", "rose/val/2.jpg", "tulip/train/3.jpg"], ["rose train", "rose dev", "tulip train"]),
        (["data/train/rose/1.jpg", "data/test/rose/2.jpg"], ["rose train", "rose test"]),
        (["Training/rose/1.jpg", "Testing/rose/2.jpg"], ["rose train", "rose test"]),
        (["train/1.jpg", "bus/2.jpg", "test/3.jpg"], ["train None", "bus None", "test None"]),
        (["train/train/1.jpg", "train/bus/2.jpg"], ["train train", "bus train"]),
        (["train/rose/1.jpg", "more/rose/2.jpg"], ["rose train", "rose None"]),
    ],
)
def test_a_folder_of_a_split_is_one_wherever_all_images_lie_in_such_folders(tmp_path, files, found):
    """And a class that is called train is a class."""
    images(tmp_path, *files)
    split = {item.key: f"{item.label} {item.split}" for item in read_items(tmp_path).items}
    assert [split[file] for file in files] == found


def test_rows_of_a_split_that_is_not_known_are_not_learned_from(tmp_path):
    table = tmp_path / "a.csv"
    images(tmp_path, "1.jpg", "2.jpg", "3.jpg")
    table.write_text("image,caption,split\n1.jpg,x,Train\n2.jpg,y,holdout\n3.jpg,z,\n")
    found = read_items(table)
    assert [item.split for item in found.items] == ["train", "test", None]
    assert found.notes[1:] == [
        "column 'split' says 'holdout' (1 image), which is none of train, val and test: these images are left alone, as those of test are"
    ]
    table.write_text("image,caption,subset\n1.jpg,x,A\n2.jpg,y,B\n3.jpg,z,B\n")
    found = read_items(table)
    assert [item.split for item in found.items] == [None, None, None]
    assert found.notes[1:] == [
        "column 'subset' says 'B' (2 images), 'A' (1 image), which is none of train, val and test: so it is not read as a split"
    ]
    rows = [{"filename": f"{n}.jpg", "sentences": ["x"], "split": split} for n, split in ((1, "val"), (2, "holdout"))]
    (tmp_path / "b.json").write_text(json.dumps({"images": rows}))
    assert [item.split for item in read_items(tmp_path / "b.json").items] == ["dev", "test"]
    words = {"1.json": b'{"caption": "x", "split": "train"}', "2.json": b'{"caption": "y", "split": "holdout"}'}
    shard(tmp_path / "c.tar", {"1.jpg": jpeg(), "2.jpg": jpeg("blue"), **words})
    assert [item.split for item in read_items(tmp_path / "c.tar").items] == ["train", "test"]


def test_a_hugging_face_folder_with_metadata(tmp_path):
    images(tmp_path, "train/a.jpg", "validation/b.jpg")
    for folder, name in (("train", "a.jpg"), ("validation", "b.jpg")):
        (tmp_path / folder / "metadata.jsonl").write_text(json.dumps({"file_name": name, "text": name}))
    assert said(tmp_path) == {
        "train/a.jpg": (["a.jpg"], None, "train"),
        "validation/b.jpg": (["b.jpg"], None, "dev"),
    }


def test_names_of_files_say_their_split_where_their_rows_do_not(tmp_path):
    names = ["train-00000-of-00002", "train-00001-of-00002", "Validation-00000-of-00001", "test-00000-of-00001"]
    (tmp_path / "hub").mkdir()
    for name in names:
        table = pyarrow.table({"image": [{"bytes": jpeg(), "path": f"{name}.jpg"}], "text": [name]})
        pyarrow.parquet.write_table(table, tmp_path / "hub" / f"{name}.parquet")
    found = read_items(tmp_path / "hub")
    assert {item.captions[0]: item.split for item in found.items} == dict(
        zip(names, ["train", "train", "dev", "test"], strict=True)
    )
    assert found.notes[-1] == "the names of the files say their split: dev (1 file), test (1 file), train (2 files)"
    images(tmp_path / "tables", "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "tables" / "train.csv").write_text("image,caption\na.jpg,x\n")
    (tmp_path / "tables" / "test.csv").write_text("image,caption\nb.jpg,y\n")
    assert said(tmp_path / "tables") == {"a.jpg": (["x"], None, "train"), "b.jpg": (["y"], None, "test")}
    # What rows state goes before the name, and a file named by itself is what its reader makes of it.
    (tmp_path / "tables" / "test.csv").write_text("image,caption,split\nb.jpg,y,train\nc.jpg,z,val\n")
    splits = {item.key: item.split for item in read_items(tmp_path / "tables").items}
    assert splits == {"a.jpg": "train", "b.jpg": "train", "c.jpg": "dev"}
    assert [item.split for item in read_items(tmp_path / "tables" / "train.csv").items] == [None]


def test_tars_have_the_split_of_their_rows_or_their_names(tmp_path):
    for name in ("train-0", "test-0", "val_0", "trains-0"):
        shard(tmp_path / f"{name}.tar", {f"{name}.jpg": jpeg(), f"{name}.txt": b"said"})
    shard(tmp_path / "dev.tar", {"a.jpg": jpeg(), "a.json": b'{"caption": "x", "split": "train"}'})
    shard(tmp_path / "own.tar", {"b.jpg": jpeg()})
    (tmp_path / "own.jsonl").write_text('{"key": "b", "caption": "y", "split": "test"}')
    assert {item.key: item.split for item in read_items(tmp_path).items} == {
        "a": "train", "b": "test", "train-0": "train", "test-0": "test", "val_0": "dev", "trains-0": None,
    }  # fmt: skip


def test_what_says_nothing_about_its_images_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(FormatError, match="holds no images and no table"):
        read_items(tmp_path)
    images(tmp_path, "a.jpg")
    with pytest.raises(FormatError, match=r"nothing that says what they show. Put a .txt"):
        read_items(tmp_path)
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("image,caption\na.jpg,x\n")
    with pytest.raises(FormatError, match=r"several tables \(a.csv, b.csv\)"):
        read_items(tmp_path)
    with pytest.raises(FormatError, match="there is no"):
        read_items(tmp_path / "missing")
    (tmp_path / "x.docx").write_text("")
    with pytest.raises(FormatError, match=r"in no format that is read.*\.tgz$"):
        read_items(tmp_path / "x.docx")
    for name, how in {"x.zip": "Unpack it", "x.xlsx": "Save the sheet as CSV", "a.jpg": "Name the folder"}.items():
        (tmp_path / name).write_text("")
        with pytest.raises(FormatError, match=rf"{name} is in no format that is read.*\. {how}"):
            read_items(tmp_path / name)


def test_a_class_file_with_a_bad_line_names_it(tmp_path):
    (tmp_path / "classes.jsonl").write_text('{"name": "apple"}\n\n{"name": \n')
    with pytest.raises(FormatError, match=r"classes\.jsonl, line 3 is not JSON"):
        read_classes(tmp_path / "classes.jsonl")


def test_classes_are_found_by_number_key_and_name(tmp_path):
    rows = [
        {"id": 5, "key": "Granny-Smith", "name": "Granny Smith", "coarse": "Apple", "description": "A green apple."}
    ]
    (tmp_path / "classes.json").write_text(json.dumps(rows))
    (only,) = classes = read_classes(tmp_path / "classes.json")
    assert (only.descriptions, only.group) == (["A green apple."], "Apple")
    table = ClassTable([], classes)
    assert [table.number_of(label) for label in ("5", "Granny-Smith", "granny smith", "6")] == [0, 0, 0, None]
    (tmp_path / "classes.txt").write_text("cat\nblack_dog\n")
    assert [each.name for each in read_classes(tmp_path / "classes.txt")] == ["cat", "black dog"]
    assert ClassTable([], read_classes(tmp_path / "classes.txt")).number_of("1") == 1
    (tmp_path / "named.json").write_text('{"red-cup": "A cup that is red.", "dish": ["One.", "Two."]}')
    assert [each.descriptions for each in read_classes(tmp_path / "named.json")] == [
        ["A cup that is red."],
        ["One.", "Two."],
    ]
    assert ClassTable(["red-cup"], None).classes[0].name == "red cup"


@pytest.mark.parametrize(
    ("name", "text", "labels", "classes"),
    [
        ("a.txt", "Apfel\nBirne\nKirsche\n", ["1", "2", "3"], ["Apfel", "Birne", "Kirsche"]),
        ("a.txt", "Apfel\nBirne\nKirsche\n", ["0", "2"], ["Apfel", "Kirsche"]),
        ("a.json", '[{"name": "Apfel"}, {"name": "Birne"}]', ["1", "2"], ["Apfel", "Birne"]),
        ("a.csv", "id,name\n1,Apfel\n2,Birne\n10,Nuss\n", ["1.0", "02", "10"], ["Apfel", "Birne", "Nuss"]),
        ("a.csv", "id,name\n1.0,Apfel\n07,Birne\n", ["1", "7", "8", "70"], ["Apfel", "Birne", None, None]),
        ("a.csv", "label;name\n1;Apfel\n2;Birne\n", ["1", "Birne"], ["Apfel", "Birne"]),
        ("a.csv", "id,code,name\n1,2,Apfel\n2,9,Birne\n", ["1", "2", "9"], ["Apfel", "Birne", "Birne"]),
        ("a.json", '{"1": "Apfel", "2": "Birne"}', ["1", "2"], ["Apfel", "Birne"]),
        ("a.json", '{"Apfel": 1, "Birne": 2}', ["1", "2"], ["Apfel", "Birne"]),
    ],
)
def test_numbers_are_the_classes_that_a_person_means_by_them(tmp_path, name, text, labels, classes):
    """Counted from 0 or from 1, with zeros in front, or as pandas writes whole numbers beside an empty cell."""
    (tmp_path / name).write_text(text)
    table = ClassTable(labels, read_classes(tmp_path / name))
    numbers = [table.number_of(label) for label in labels]
    assert [None if number is None else table.classes[number].name for number in numbers] == classes


def test_numbers_that_could_mean_two_classes_or_name_nothing_are_refused(tmp_path):
    (tmp_path / "names.txt").write_text("Apfel\nBirne\nKirsche\nNuss\n")
    with pytest.raises(FormatError, match=r"1 is Birne where they count from 0 and Apfel where they count from 1"):
        ClassTable(["1", "2"], read_classes(tmp_path / "names.txt"))
    (tmp_path / "numbers.csv").write_text("label,description\n1,an apple\n2,a pear\n")
    with pytest.raises(FormatError, match=r"the names of its classes are numbers \(1, 2 …\), which say nothing"):
        read_classes(tmp_path / "numbers.csv")
