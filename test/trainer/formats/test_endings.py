"""Files are known by their endings in either case, whoever reads them, and packed ones by their bytes."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from augment.items import read_wanted
from data.plan import plan_of
from towers.formats.classes import read_classes
from towers.formats.item import FormatError
from towers.formats.table import read_items

PICTURES = {"1.JPG": b"one", "1.txt": b"a vase", "2.jpg": b"two", "2.json": b'{"caption": "a jug"}', "3.jpg": b"three"}
EXPECTED = [("1", b"one", ["a vase"]), ("2", b"two", ["a jug"]), ("3", b"three", [])]


def tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def said(path: Path):
    return [(item.key, item.load(), item.captions) for item in read_items(path).items]


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("SHOP.TAR", bytes), ("shop.TAR.GZ", gzip.compress), ("shop.tgz", gzip.compress), ("SHOP.Tgz", gzip.compress),
        ("shop.tar", gzip.compress), ("shop.tar.gz", bytes), ("shop.tar", bz2.compress), ("shop.tar", lzma.compress),
    ],
)  # fmt: skip
def test_a_tar_is_read_however_its_name_is_written_and_it_is_packed(tmp_path, name, packed):
    (tmp_path / name).write_bytes(packed(tar(PICTURES)))
    assert said(tmp_path / name) == EXPECTED
    assert said(tmp_path) == EXPECTED
    # As a recipe names it.
    samples = list(samples_of(tmp_path, {"format": "webdataset", "path": name}))
    assert [(sample.key, sample.load(), sample.captions) for sample in samples] == EXPECTED


@pytest.mark.parametrize(
    ("name", "table"), [("SHOP.TAR", "SHOP.JSONL"), ("shop.tgz", "shop.jsonl"), ("shop-00.tar.gz", "shop.jsonl.gz")]
)
def test_the_rows_of_a_tar_lie_beside_it_under_its_name(tmp_path, name, table):
    data = tar({"1.jpg": b"one", "2.jpg": b"two"})
    (tmp_path / name).write_bytes(data if name.endswith("TAR") else gzip.compress(data))
    rows = b'{"key": "1", "caption": "a vase"}\n{"key": "2", "caption": "a jug"}\n'
    (tmp_path / table).write_bytes(gzip.compress(rows) if table.endswith("gz") else rows)
    assert said(tmp_path / name) == [("1", b"one", ["a vase"]), ("2", b"two", ["a jug"])]


def test_a_text_of_a_tar_that_cannot_be_read_is_named(tmp_path):
    file = tmp_path / "shop.tar"
    file.write_bytes(tar(PICTURES))
    read_items(file)  # where its members are is remembered
    file.write_bytes(file.read_bytes()[: 3 * 512 + 2])
    with pytest.raises(FormatError, match=r"1\.txt of shop\.tar cannot be read: shop\.tar ends within 1\.txt"):
        read_items(file)


def test_a_packed_tar_that_is_damaged_is_named(tmp_path):
    data = bytearray(gzip.compress(tar(PICTURES)))
    data[30:60] = bytes(30)
    (tmp_path / "shop.tgz").write_bytes(data)
    with pytest.raises(FormatError, match=r"shop\.tgz cannot be read as tar"):
        read_items(tmp_path / "shop.tgz")


def samples_of(data: Path, pair: dict):
    config = {
        "shard_size": 100, "max_side": 512, "min_side": 1, "max_pixels": 10**8, "min_caption_chars": 1,
        "max_caption_chars": 999, "texts": [], "pairs": [{"split": "train", **pair}],
    }  # fmt: skip
    plan = plan_of(data, config)  # pyright: ignore[reportArgumentType]
    for element in plan.elements:
        yield from plan.samples(element)


@pytest.mark.parametrize("name", ["data.jsonl", "DATA.JSONL", "data.ndjson", "DATA.JSONL.GZ", "Data.NDJson"])
@pytest.mark.parametrize("kind", ["jsonl", "any"])
def test_a_recipe_reads_json_lines_however_their_name_is_written(tmp_path, name, kind):
    rows = b'{"image": "1.jpg", "caption": "a vase"}\n{"image": "2.jpg", "caption": "a jug"}\n'
    (tmp_path / name).write_bytes(gzip.compress(rows) if name.endswith("GZ") else rows)
    assert [sample.captions for sample in samples_of(tmp_path, {"format": kind, "path": name})] == [
        ["a vase"],
        ["a jug"],
    ]


def test_labelled_pictures_are_in_the_tars_of_their_table_however_it_is_written(tmp_path):
    (tmp_path / "NOUNS.JSONL").write_text('{"key": "axe", "label": "axe", "shard": "NOUNS-0.TGZ"}\n')
    (tmp_path / "NOUNS-0.TGZ").write_bytes(gzip.compress(tar({"axe.jpg": b"an axe"})))
    (sample,) = samples_of(tmp_path, {"format": "labelled", "path": "NOUNS.JSONL"})
    assert (sample.load(), sample.captions) == (b"an axe", ["axe"])


@pytest.mark.parametrize("name", ["ROWS.NDJSON", "rows.jsonl.gz", "rows.pq", "ROWS.CSV"])
def test_a_table_in_a_folder_is_one_however_its_name_is_written(tmp_path, name):
    (tmp_path / "1.jpg").write_bytes(b"one")
    rows = b'{"image": "1.jpg", "caption": "a vase"}\n'
    if name.endswith("pq"):
        table = pyarrow.table({"image": ["1.jpg"], "caption": ["a vase"]})
        pyarrow.parquet.write_table(table, tmp_path / name)
    else:
        csv = b"image,caption\n1.jpg,a vase\n"
        (tmp_path / name).write_bytes(
            csv if name.endswith("CSV") else gzip.compress(rows) if name.endswith("gz") else rows
        )
    for file in ("CLASSES.CSV", "classes.ndjson"):
        (tmp_path / file).write_text("no table of images")
    assert said(tmp_path) == [("1.jpg", b"one", ["a vase"])]


def test_a_file_of_classes_is_one_however_its_name_is_written(tmp_path):
    rows = "".join(json.dumps({"id": number, "name": name}) + "\n" for number, name in enumerate(("vase", "jug")))
    for name in ("a.NDJSON", "a.JSONL", "a.jsonl.gz"):
        (tmp_path / name).write_bytes(gzip.compress(rows.encode()) if name.endswith("gz") else rows.encode())
        assert [(each.name, each.keys[0]) for each in read_classes(tmp_path / name)] == [("vase", "0"), ("jug", "1")]
        assert [each.name for each in read_wanted(tmp_path / name)[0]] == ["vase", "jug"]
