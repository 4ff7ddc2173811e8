"""prepare keeps every different picture: keys that come again in one file become the pictures' own names in it."""

import io
import json
import signal
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from stages.prepare import main
from support import write_job
from towers.data import read_images, read_pairs, read_rows

CONFIG = {"texts": [], "max_side": 64, "min_side": 8, "max_pixels": 1_000_000, "shard_size": 10, "min_caption_chars": 1,
          "max_caption_chars": 200, "fragments": 0, "classes": None, "class_images": None}  # fmt: skip


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """Runs the stage in this process on train sources of tmp_path/data, and one of dev: its output folder."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    write(tmp_path / "data" / "dev" / "of dev.jpg", picture(255))
    (tmp_path / "data" / "dev" / "of dev.txt").write_text("of dev")

    def run(*sources, name="prepare", **changes):
        pairs = [{"split": "train", **source} for source in sources]
        pairs += [{"split": "dev", "format": "folder", "path": "dev"}]
        job = write_job(tmp_path, "prepare", {"data": tmp_path / "data"}, {**CONFIG, "pairs": pairs, **changes}, name)
        monkeypatch.setattr(sys, "argv", ["prepare", str(job)])
        main()
        return job.parent

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def picture(seed):
    """JPEG bytes of random pixels."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def write(file, data):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return data


def write_tar(file, members):
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def write_lines(file, rows):
    write(file, "".join(json.dumps(row) + "\n" for row in rows).encode())


def kept(out):
    """{key: (captions, bytes)} of train, and that its keys differ."""
    rows = read_pairs(out, "train")
    images = list(read_images(out, rows))
    found = {row["key"]: (row["captions"], image) for row, (_, image) in zip(rows, images, strict=True)}
    assert len(found) == len(rows)
    return found


def test_pictures_of_a_tar_that_lie_in_folders_are_all_kept(tmp_path, prepare):
    names = ["cat/1", "dog/1", "cow/1", "1", "cow/2"]
    for tar, shift in (("own-0.tar", 0), ("own-1.tar", 10)):
        members = {f"{name}.jpg": picture(n + shift) for n, name in enumerate(names)}
        write_tar(tmp_path / "data" / tar, members | {f"{name}.txt": f"{name} of {shift}".encode() for name in names})
    found = kept(prepare({"format": "webdataset", "path": "own-*.tar"}))
    expected = ["1", "own/dog/1.jpg", "own/cow/1.jpg", "own/1.jpg", "2"]
    expected += [
        "own/own-1/1",
        "own/own-1.tar/dog/1.jpg",
        "own/own-1.tar/cow/1.jpg",
        "own/own-1.tar/1.jpg",
        "own/own-1/2",
    ]
    wanted = [([f"{name} of {shift}"], picture(n + shift)) for shift in (0, 10) for n, name in enumerate(names)]
    assert found == dict(zip(expected, wanted, strict=True))


@pytest.mark.parametrize("shard_size", [10, 1])
def test_pictures_of_a_folder_whose_keys_are_alike_are_all_kept(tmp_path, prepare, shard_size):
    names = ["a/b_c.jpg", "a_b/c.jpg", "a_b/d.JPEG", "a_b/d.jpg"]
    for number, name in enumerate(names):
        file = tmp_path / "data" / "own" / name
        write(file, picture(number))
        file.with_suffix(".txt").write_text(name.partition(".")[0])
    found = kept(prepare({"format": "folder", "path": "own"}, shard_size=shard_size))
    assert found == {
        "a_b_c": (["a/b_c"], picture(0)), "own/a_b/c.jpg": (["a_b/c"], picture(1)),
        "a_b_d": (["a_b/d"], picture(2)), "own/a_b/d.jpg": (["a_b/d"], picture(3)),
    }  # fmt: skip


@pytest.mark.parametrize("keys", [{}, {"keys": "source"}])
@pytest.mark.parametrize("shard_size", [10, 1])
def test_pictures_of_a_table_whose_keys_are_alike_are_all_kept(tmp_path, prepare, shard_size, keys):
    names = ["1.jpg", "1.jpeg", "2.jpg", "1.jpg", "./2.jpg"]
    for number, name in enumerate(names[:3]):
        write(tmp_path / "data" / "own" / name, picture(number))
    rows = [{"image": name, "caption": f"row {n}"} for n, name in enumerate(names)]
    write_lines(tmp_path / "data" / "own" / "shop.jsonl", rows)
    translated = {"de": "de.jsonl"}
    write_lines(tmp_path / "data" / "de.jsonl", [{"key": "1", "captions": ["Zeile 0"]}])
    source = {"format": "jsonl", "path": "own/shop.jsonl", "translated_captions": translated}
    out = prepare(source, shard_size=shard_size, **keys)
    first, second, third = read_pairs(out, "train")
    prefix = "shop/" if keys else ""
    assert [row["key"] for row in (first, second, third)] == [f"{prefix}1", "shop/1.jpeg", f"{prefix}2"]
    assert [row["captions"] for row in (first, second, third)] == [["row 0", "row 3"], ["row 1"], ["row 2"]]
    # Captions in other languages are those of the first picture of a key; another way to write a name is no other picture.
    assert (first["tr"], second.get("tr")) == ({"de": ["Zeile 0"]}, None)
    assert [(row["key"], row["reason"]) for row in read_rows(out / "dropped.jsonl")] == [("2", "key used twice")]


def test_labelled_pictures_of_several_tars_are_all_kept_and_a_row_that_comes_twice_is_one(tmp_path, prepare):
    for number in (0, 1):
        write_tar(tmp_path / "data" / f"own-{number}.tar", {"1.jpg": picture(number)})
    rows = [{"key": "1", "label": label, "shard": f"own-{n}.tar"} for n, label in ((0, "cat"), (1, "dog"), (1, "cow"))]
    write_lines(tmp_path / "data" / "own.jsonl", rows)
    out = prepare({"format": "labelled", "path": "own.jsonl"})
    assert kept(out) == {"1": (["cat"], picture(0)), "own/own-1/1": (["dog"], picture(1))}
    assert [row["reason"] for row in read_rows(out / "dropped.jsonl")] == ["key used twice"]


def test_a_picture_that_is_left_out_uses_no_key(tmp_path, prepare):
    write_tar(tmp_path / "data" / "own.tar", {
        "cat/1.jpg": b"no picture", "cat/1.txt": b"a cat", "dog/1.jpg": picture(1), "dog/1.txt": b"a dog",
    })  # fmt: skip
    assert kept(prepare({"format": "webdataset", "path": "own.tar"})) == {"1": (["a dog"], picture(1))}


def test_rows_of_one_image_that_lie_apart_are_joined_whatever_the_column_is_called(tmp_path, prepare):
    for number in range(4):
        write(tmp_path / "data" / f"{number}.jpg", picture(number))
    for column in ("key", "image", "file"):
        rows = [{column: f"{n}.jpg", "caption": f"{text} of {n}"} for text in ("first", "second") for n in range(4)]
        write_lines(tmp_path / "data" / f"{column}.jsonl", rows)
        source = {"format": "jsonl", "path": f"{column}.jsonl", "image_column": column}
        found = kept(prepare(source, shard_size=2, name=column))
        assert found == {str(n): ([f"first of {n}", f"second of {n}"], picture(n)) for n in range(4)}


def test_a_column_called_key_that_is_missing_is_said_with_its_setting(tmp_path, prepare):
    write_lines(tmp_path / "data" / "own.jsonl", [{"file": "1.jpg", "caption": "one"}])
    source = {"path": "own.jsonl", "image_column": "key"}
    with pytest.raises(ValueError, match=r"row 1: no column 'key' .*; image_column of the source says which it is"):
        prepare({"format": "jsonl", **source})
