"""prepare's class file and pictures of classes: what later stages would mix or not find is refused, with the rows' numbers."""

import io
import json
import tarfile

import pytest
import torch
from PIL import Image

from data.captions.sets import class_prompts
from data.prepared.classes import copy_classes
from towers.data import read_class_images, read_images, write_rows
from towers.samples import Source
from towers.sources import forget_files, read_samples
from towers.text_sets import TextSet

CLASSES = [{"index": 0, "name": "cat"}, {"index": 1, "name": "dog"}]
SYNONYMS = [*CLASSES, {"index": 0, "name": "kitten"}, {"index": 2, "name": "cow"}]


@pytest.fixture
def copied(tmp_path):
    """Copies classes and pictures of them, a tar of (name, bytes): the folder that prepare wrote."""
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    out.mkdir()

    def run(classes, members=None, rows=()):
        forget_files()  # as a run of prepare does at its start
        (data / "classes.json").write_text(json.dumps({"classes": classes}))
        if members is not None:
            write_tar(data / "val.tar", members)
            write_rows(data / "val.jsonl", rows)
        images = None if members is None else "val.tar"
        copy_classes(data, {"classes": "classes.json", "class_images": images}, out)  # pyright: ignore[reportArgumentType]
        return out

    return run


def write_tar(file, members):
    with tarfile.open(file, "w") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def picture(red, form):
    buffer = io.BytesIO()
    Image.new("RGB", (12, 9), (red, 80, 9)).save(buffer, form)
    return buffer.getvalue()


def test_an_index_that_comes_twice_is_refused_with_both_rows(copied):
    assert json.loads((copied(CLASSES) / "classes.json").read_text())["classes"] == CLASSES
    with pytest.raises(ValueError, match=r"classes\.json, rows 1 \(cat\) and 3 \(kitten\) both have index 0"):
        copied(SYNONYMS)


def test_texts_of_one_id_that_lie_apart_are_not_taken_for_those_of_another(tmp_path):
    write_rows(tmp_path / "captions.prompts.jsonl", class_prompts(SYNONYMS, ["a photo of a {}", "{}"]))
    with pytest.raises(ValueError, match=r"do not lie next to each other.*one row"):
        TextSet(tmp_path, "prompts", torch.device("cpu"))
    write_rows(tmp_path / "captions.prompts.jsonl", class_prompts(CLASSES, ["a photo of a {}", "{}"]))
    texts = TextSet(tmp_path, "prompts", torch.device("cpu"))
    assert (texts.first_of_G.tolist(), texts.count_of_G.tolist()) == ([0, 2], [2, 2])


def test_pictures_of_classes_may_have_any_ending_of_an_image(copied):
    first, second, third = picture(1, "JPEG"), picture(2, "PNG"), picture(3, "JPEG")
    members = [("ILSVRC2012_val_00000001.JPEG", first), ("val/2.png", second), ("3.png", second), ("3.jpg", third)]
    keys = ["val/2", "3", "ILSVRC2012_val_00000001"]
    out = copied(CLASSES, members, [{"key": key, "index": n % 2} for n, key in enumerate(keys)])
    rows = read_class_images(out)
    assert [row["index"] for row in rows] == [0, 1, 0]
    # Of a key with several KEY.jpg counts.
    assert list(read_images(out, rows)) == list(zip(keys, [second, third, first], strict=True))


def test_a_row_without_a_picture_in_the_tar_is_refused_by_its_number(copied):
    rows = [{"key": "1", "index": 0}, {"key": "2", "index": 1}]
    with pytest.raises(
        ValueError, match=r"val\.jsonl, row 2: val\.tar has no image 2; its images are called like 1\.jpg"
    ):
        copied(CLASSES, [("1.jpg", picture(1, "JPEG")), ("2.txt", b"no picture")], rows)
    with pytest.raises(ValueError, match=r"row 1: val\.tar has no image 1; it has none at all"):
        copied(CLASSES, [("2.txt", b"no picture")], rows)


def test_labelled_pictures_may_have_any_ending_of_an_image_too(tmp_path):
    members = [("1.JPEG", b"first"), ("2.png", b"other"), ("2.jpg", b"second")]
    write_tar(tmp_path / "nouns.tar", members)
    write_rows(tmp_path / "nouns.jsonl", [{"key": n, "label": "axe"} for n in (1, 2, 3)])
    samples = read_samples(tmp_path / "nouns.jsonl", Source("train", "labelled", "nouns.jsonl", "nouns", "nouns"))
    one, two, three = samples
    assert (one.load(), two.load()) == (b"first", b"second")
    with pytest.raises(OSError, match=r"nouns\.tar has none of this key"):
        three.load()


def test_a_picture_that_a_tar_lacks_is_named_when_it_is_read(tmp_path):
    write_tar(tmp_path / "own.tar", [("1.jpg", b"first")])
    with pytest.raises(FileNotFoundError, match=r"own\.tar has no image 2\.jpg"):
        list(read_images(tmp_path, [{"key": key, "shard": "own.tar"} for key in "12"]))
