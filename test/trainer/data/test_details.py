"""Negatives and regions of rows: read alike in every format that carries lists, kept by `prepare`, or left out with a reason."""

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any, cast

import pyarrow
import pyarrow.parquet
import pytest

from bench.small_models import drawing
from data.manifest import read_manifest, shards_of
from data.prepared.details import kept_details
from support import run_stage, write_job
from towers.data import read_pairs, read_rows
from towers.formats.details import checked_details, raw_details
from towers.formats.item import FormatError
from towers.sources import read_samples, sources_of
from warm import ROOT

CONFIG = {"texts": [], "max_side": 40, "min_side": 8, "max_pixels": 1_000_000, "shard_size": 10, "min_caption_chars": 1,
          "max_caption_chars": 60, "fragments": 0, "classes": None, "class_images": None}  # fmt: skip
NEGATIVES = ["a blue ball", "two red balls"]
REGIONS = [
    {"box": [0.1, 0.2, 0.5, 1.0], "text": "a ball", "negatives": ["a cube"]},
    {"box": [0.0, 0.0, 1.0, 0.5], "text": "sky"},
]
ROW = {"caption": "a red ball", "negatives": NEGATIVES, "regions": REGIONS}


def jpeg(number: int = 0, size: tuple[int, int] = (48, 40)) -> bytes:
    buffer = io.BytesIO()
    drawing(number, size)[0].save(buffer, "JPEG")
    return buffer.getvalue()


def write_tar(file: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(file, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def lines(*rows: dict) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write_parquet(folder: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([ROW | {"image": "a.jpg"}]), folder / "rows.parquet")


FORMATS = {
    "jsonl": ("jsonl", "rows.jsonl", lambda folder: (folder / "rows.jsonl").write_text(lines(ROW | {"image": "a.jpg"}))),
    "two rows of one image": ("jsonl", "rows.jsonl", lambda folder: (folder / "rows.jsonl").write_text(lines(
        {"image": "a.jpg", "caption": "a red ball", "negatives": NEGATIVES[:1], "regions": REGIONS[:1]},
        {"image": "a.jpg", "caption": "a red ball", "negatives": NEGATIVES[1], "regions": REGIONS[1:]}))),
    "webdataset": ("webdataset", "a.tar", lambda folder: write_tar(folder / "a.tar", {"a.jpg": jpeg(), "a.json": json.dumps(ROW).encode()})),
    "labelled": ("labelled", "a.jsonl", lambda folder: (
        (folder / "a.jsonl").write_text(lines({"key": "a", "label": "ball", "captions": ["a red ball"]} | ROW)),
        write_tar(folder / "a.tar", {"a.jpg": jpeg()}))),
    "any: JSON lines": ("any", "rows.jsonl", lambda folder: (folder / "rows.jsonl").write_text(lines(ROW | {"image": "a.jpg"}))),
    "any: JSON": ("any", "rows.json", lambda folder: (folder / "rows.json").write_text(json.dumps([ROW | {"image": "a.jpg"}]))),
    "any: Parquet": ("any", "rows.parquet", write_parquet),
    "any: tar": ("any", "a.tar", lambda folder: write_tar(folder / "a.tar", {"a.jpg": jpeg(), "a.json": json.dumps(ROW).encode()})),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_with_lists_carries_them(tmp_path, name):
    kind, path, write = FORMATS[name]
    (tmp_path / "a.jpg").write_bytes(jpeg())
    write(tmp_path)
    (source,) = sources_of(cast(Any, [{"split": "train", "format": kind, "path": path}]), tmp_path)
    (sample,) = read_samples(tmp_path / path, source)
    assert set(sample.captions) == {"a red ball"} and sample.load()[:2] == b"\xff\xd8"
    assert sample.details == {"negatives": NEGATIVES, "regions": REGIONS}


def test_the_example_of_the_guide_is_prepared_with_all_that_it_says(tmp_path):
    data = tmp_path / "data"
    (data / "photos").mkdir(parents=True)
    shutil.copy(ROOT / "docs/guides/fine-grained.jsonl", data / "rows.jsonl")
    for number in (1, 2, 3):
        (data / f"photos/000{number}.jpg").write_bytes(jpeg(number, (80, 60)))
    pairs = [{"split": "train", "format": "jsonl", "path": "rows.jsonl"}]
    job = write_job(tmp_path, "prepare", {"data": data}, {**CONFIG, "pairs": pairs})
    report = run_stage(job)
    written, rows = read_rows(data / "rows.jsonl"), read_pairs(job.parent, "train")
    for said, kept in zip(written, rows, strict=True):
        assert {name: kept[name] for name in ("negatives", "regions") if name in kept} == {
            name: said[name] for name in ("negatives", "regions") if name in said
        }
    # The size of what is stored, of pictures with regions.
    assert [row.get("size") for row in rows] == [[40, 30], None, [40, 30]]
    assert report["metrics"]["negatives.train"] == 5 and report["metrics"]["regions.train"] == 3
    manifest = read_manifest(job.parent)
    assert manifest is not None
    assert [shard.get("regions") for shard in shards_of(manifest, "pairs", "train")] == [3]


def test_what_cannot_be_used_is_left_out_and_counted():
    box = [0, 0, 1, 1]
    details: dict[str, list[Any]] = {
        "negatives": ["right", "wrong", "wrong", "", "x" * 61],
        "regions": [
            {"box": box, "text": "kept", "negatives": ["kept", "other"]},
            {"box": [-0.0005, 0.2, 1.0005, 0.8], "text": "cut to the picture"},
            {"box": [12, 30, 200, 400], "text": "in pixels"},
            {"box": [0.5, 0, 0.5, 1], "text": "empty"},
            {"box": [0.6, 0, 0.4, 1], "text": "the wrong way round"},
            {"box": box, "text": ""},
        ],
    }
    kept, dropped = kept_details(details, ["right"], 60)
    assert kept == {
        "negatives": ["wrong"],
        "regions": [
            {"box": [0, 0, 1, 1], "text": "kept", "negatives": ["other"]},
            {"box": [0.0, 0.2, 1.0, 0.8], "text": "cut to the picture"},
        ],
    }
    by_kind = {reason.partition(":")[0]: 0 for reason in dropped}
    for reason, count in dropped.items():
        by_kind[reason.partition(":")[0]] += count
    assert by_kind == {
        "negative that is right": 2,
        "negative empty or too long": 2,
        "region box outside of the picture, whose sides are 0 and 1": 3,
        "region phrase empty or too long": 1,
    }
    assert any("[12, 30, 200, 400]" in reason for reason in dropped)
    assert kept_details({}, ["right"], 60) == ({}, {})


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"negatives": [3]}, "negatives: has to be text, not 3"),
        ({"regions": ["Europe"]}, r"regions\[0\]: has to be \{box, text\}, not 'Europe'"),
        ({"regions": "Europe"}, r"regions\[0\]: has to be \{box, text\}, not 'Europe'"),
        ({"regions": [{"box": [0, 0, 1, 1], "txt": "a"}]}, r"regions\[0\]: unknown keys txt"),
        ({"regions": [{"box": [0, 0, 1], "text": "a"}]}, r"regions\[0\]\.box: has to be \[left, top, right, bottom\]"),
        ({"regions": [{"box": [0, 0, 1, "1"], "text": "a"}]}, r"regions\[0\]\.box: has to be"),
        ({"regions": [{"box": [0, 0, 1, 1]}]}, r"regions\[0\]\.text: has to be text, not None"),
    ],
)
def test_what_is_something_else_is_refused_with_its_place(row, said):
    with pytest.raises(FormatError, match=rf"rows\.jsonl, a\.jpg: {said}"):
        checked_details(raw_details(row), "rows.jsonl, a.jpg")


def test_a_row_without_them_has_none():
    assert raw_details({"negatives": None, "regions": [], "caption": "a ball"}) == {}
    assert raw_details({"negatives": ""}) == {}
