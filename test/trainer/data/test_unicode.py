"""Halves of surrogate pairs in texts, and names that are not UTF-8: nothing of them ends a stage, and no image is taken for another."""

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from losses.keys import text_keys
from support import run_stage, write_job
from towers.data import class_rows, read_images, read_pairs, read_rows, read_texts
from towers.formats.table import read_items
from warm import ROOT, warm_python

CONFIG = {"texts": [], "max_side": 64, "min_side": 8, "max_pixels": 1_000_000, "shard_size": 10, "min_caption_chars": 1,
          "max_caption_chars": 200, "fragments": 0, "classes": None, "class_images": None}  # fmt: skip
DEV = {"split": "dev", "format": "folder", "path": "dev"}
HALF = "\ud83d"  # as '🐶'.slice(0, 1) leaves it, and JSON.stringify writes it


def jpeg(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (24, 20), (shade, 90, 255 - shade)).save(buffer, "JPEG")
    return buffer.getvalue()


def write(folder: Path, name: str, data: bytes) -> None:
    """A name with escapes of bytes, `caf\udce9.jpg`, is written as those bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        (folder / name).write_bytes(data)
    except OSError:
        pytest.skip("this disk knows no names that are not UTF-8")


def lines(*rows: dict) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.fixture
def prepared(tmp_path):
    """Runs the stage on tmp_path/data with a dev image beside the sources: its output folder."""
    write(tmp_path / "data" / "dev", "dev.jpg", jpeg(250))
    write(tmp_path / "data" / "dev", "dev.txt", b"another")

    def run(*pairs: dict, **changes) -> Path:
        train = [{"split": "train", **pair} for pair in pairs]
        job = write_job(tmp_path, "prepare", {"data": tmp_path / "data"}, {**CONFIG, "pairs": [*train, DEV], **changes})
        run_stage(job)
        for file in (*job.parent.glob("*.jsonl"), job.parent / "shards.json", job.parent / "report.json"):
            rows = read_rows(file) if file.suffix == ".jsonl" else json.loads(file.read_text(encoding="utf-8"))
            json.dumps(rows, ensure_ascii=False).encode()  # fails where there is a half
        return job.parent

    return run


def test_half_of_a_pair_is_read_as_the_api_reads_it(tmp_path, prepared):
    data = tmp_path / "data"
    for number in range(3):
        write(data, f"{number}.jpg", jpeg(number))
    region = {"box": [0, 0, 1, 1], "text": f"a nose {HALF}"}
    write(data, "pairs.jsonl", lines(
        {"image": "0.jpg", "caption": "a \U0001f436"},
        {"image": "1.jpg", "caption": f"nice dog {HALF}", "negatives": [f"bad {HALF} dog"], "regions": [region]},
        {"image": f"gone{HALF}.jpg", "caption": "lost"},
    ))  # fmt: skip
    write(data, "groups.jsonl", lines({"id": f"1{HALF}", "captions": [f"{HALF} one", "two"]}))
    write(data, "nouns.jsonl", lines({"key": "axe", "label": f"axe{HALF}", "shard": "nouns-0.tar"}))
    write(data, "classes.json", json.dumps({"classes": [{"index": 0, "name": f"axe {HALF}"}]}).encode())
    with tarfile.open(data / "nouns-0.tar", "w") as archive:
        member = tarfile.TarInfo("axe.jpg")
        member.size = len(jpeg(80))
        archive.addfile(member, io.BytesIO(jpeg(80)))
    out = prepared(
        {"format": "jsonl", "path": "pairs.jsonl"},
        {"format": "labelled", "path": "nouns.jsonl", "hold_out_labels": 0.001},
        texts=[{"split": "train", "kind": "groups", "path": "groups.jsonl"}],
        classes="classes.json",
    )
    whole, half, noun = read_pairs(out, "train")
    assert whole["captions"] == ["a \U0001f436"]
    assert (half["captions"], half["negatives"]) == (["nice dog \ufffd"], ["bad \ufffd dog"])
    assert [region["text"] for region in half["regions"]] == ["a nose \ufffd"]
    assert (noun["label"], noun["captions"]) == ("axe\ufffd", ["axe\ufffd"])
    assert read_texts(out, "groups", "train") == [{"id": "1\ufffd", "source": "", "captions": ["\ufffd one", "two"]}]
    assert [row["name"] for row in class_rows(out)] == ["axe \ufffd"]
    (lost,) = read_rows(out / "dropped.jsonl")
    assert lost["key"] == r"gone\ud83d" and lost["reason"].startswith("missing image: there is no file")


def test_images_whose_names_are_not_utf_8_keep_keys_of_their_own(tmp_path, prepared):
    data, names = tmp_path / "data", ["caf\udce8", "caf\udce9"]
    for number, name in enumerate(names):
        write(data / "folder", f"{name}.jpg", jpeg(number))
        write(data / "folder", f"{name}.txt", b"of a folder")
        write(data / "table", f"{name}.jpg", jpeg(10 + number))
    # As Python writes what os.listdir says.
    write(data / "table", "own.jsonl", lines(*({"image": f"{name}.jpg", "caption": "of a table"} for name in names)))
    with tarfile.open(data / "caf\udce9-0.tar", "w") as archive:
        for number, name in enumerate(names):
            for ending, content in ((".jpg", jpeg(20 + number)), (".txt", b"of a tar")):
                member = tarfile.TarInfo(name + ending)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    write(data, "zh.jsonl", lines({"key": "caf\udce9", "captions": ["\u732b"]}))
    out = prepared(
        {"format": "folder", "path": "folder", "translated_captions": {"zh": "zh.jsonl"}},
        {"format": "jsonl", "path": "table/own.jsonl"},
        {"format": "webdataset", "path": "*.tar"},
    )
    rows = read_pairs(out, "train")
    images = dict(read_images(out, rows))
    assert len(images) == len(rows) == 6 and [row["key"] for row in rows][:2] == [r"caf\udce8", r"caf\udce9"]
    assert sorted(images.values()) == sorted(jpeg(start + number) for start in (0, 10, 20) for number in (0, 1))
    assert [row.get("tr") for row in rows] == [None, {"zh": ["\u732b"]}, None, None, None, None]


def test_fine_tuning_reads_them_too(tmp_path):
    for number, name in enumerate(["caf\udce8", "caf\udce9", "tea", "milk"]):
        write(tmp_path / "own" / ("hot\udce9" if number < 2 else "cold"), f"{name}.jpg", jpeg(10 * number))
    write(tmp_path / "own" / "cold", "\udce9.jpg", b"no picture")
    found = read_items(tmp_path / "own")
    assert sorted(item.key for item in found.items)[-2:] == [r"hot\udce9/caf\udce8.jpg", r"hot\udce9/caf\udce9.jpg"]
    assert {item.label for item in found.items} == {"cold", "hot\ufffd"}
    own = {"path": "own", "image_column": None, "caption_columns": None, "class_column": None, "dev_path": None,
           "classes": None, "further_captions": None, "dev_share": 0.5}  # fmt: skip
    request = json.dumps({"root": str(tmp_path), "seed": 0, "own": own})
    command = [warm_python(), "-m", "towers.adaptation.inspect", request]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'trainer'}:{ROOT / 'contracts' / 'python'}"}
    done = subprocess.run(command, cwd=ROOT / "trainer", env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    said = json.loads(done.stdout.decode("utf-8"))
    assert (said["train"] + said["dev"], [each["key"] for each in said["skipped"]]) == (4, [r"cold/\udce9.jpg"])


def test_captions_in_utf_16_with_half_of_a_pair_are_read(tmp_path, prepared):
    write(tmp_path / "data" / "folder", "1.jpg", jpeg(1))
    write(tmp_path / "data" / "folder", "1.txt", b"\xff\xfe" + f"a dog {HALF}".encode("utf-16-le", "surrogatepass"))
    (row,) = read_pairs(prepared({"format": "folder", "path": "folder"}), "train")
    assert row["captions"] == ["a dog \ufffd"]


def test_texts_with_halves_have_numbers_in_a_batch():
    one, other, again = text_keys([f"a {HALF}", "a \ud83e", f"a {HALF}"]).tolist()
    assert one == again != other
