"""Names in both forms of Unicode: what a Mac decomposes (NFD) and Linux and tables compose (NFC) is one class and one file."""

import io
import json
import tarfile
from pathlib import Path
from unicodedata import normalize

import pytest

from augment.items import read_wanted
from evaluation.layouts.captioned import own
from towers.adaptation.own_data import with_further_captions
from towers.formats.classes import ClassTable, read_classes
from towers.formats.item import Columns
from towers.formats.table import read_items
from towers.formats.usable import Picture
from towers.sources import read_samples, sources_of

FORMS = [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")]
both = pytest.mark.parametrize(("stored", "written"), FORMS)


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def test_folders_of_a_mac_and_of_linux_are_one_class(tmp_path):
    for number, form in enumerate(("NFC", "NFD")):
        put(tmp_path / "all", *(normalize(form, f"{name}/{number}.jpg") for name in ("Töpfe", "Krüge")))
    items = read_items(tmp_path / "all").items
    assert sorted({item.label for item in items if item.label}) == ["Krüge", "Töpfe"]
    table = ClassTable([item.label for item in items if item.label], None)
    assert [each.name for each in table.classes] == ["Krüge", "Töpfe"]
    assert table.alike == []  # nobody sees a difference
    assert [wanted.name for wanted in read_wanted(tmp_path / "all")[0]] == ["Krüge", "Töpfe"]


@both
@pytest.mark.parametrize("file", ["classes.json", "classes.txt", "classes.csv"])
def test_a_file_of_classes_names_them_in_either_form(tmp_path, stored, written, file):
    names = [normalize(written, name) for name in ("Töpfe", "Krüge")]
    content = {
        "classes.json": json.dumps({name: "a sentence" for name in names}),
        "classes.txt": "\n".join(names),
        "classes.csv": "id,name\nT-1," + names[0] + "\nK-2," + names[1],
    }
    (tmp_path / file).write_text(content[file])
    table = ClassTable((), read_classes(tmp_path / file))
    assert [table.number_of(normalize(stored, name)) for name in ("Töpfe", "Krüge", "KRÜGE", "Kruge")] == [
        0,
        1,
        1,
        None,
    ]


def test_marks_that_no_letter_has_in_it_tell_classes_apart():
    table = ClassTable(["कि", "का"], None)
    assert [table.number_of(label) for label in ("कि", "का", "का ", "कु")] == [0, 1, 1, None]


@both
def test_a_table_finds_its_images_by_names_in_either_form(tmp_path, stored, written):
    names = ["Töpfe/größe.jpg", "Töpfe/é.1.png"]
    put(tmp_path / "pictures", *(normalize(stored, name) for name in names))
    rows = [normalize(written, name) for name in (names[0], "Töpfe/é.1")]
    (tmp_path / "own.csv").write_text("Größe,image\n" + "".join(f"a vase {row},{row}\n" for row in rows))
    column = normalize(stored, "Größe")
    found = read_items(tmp_path / "own.csv", Columns(captions=(column,))).items
    assert [item.load().decode() for item in found] == [normalize(stored, name) for name in names]
    source = {"split": "train", "format": "csv", "path": "own.csv", "caption_column": normalize(written, "Größe")}
    (tmp_path / "pictures" / "own.csv").write_text(
        (tmp_path / "own.csv").read_text().replace("Größe", normalize(written, "Größe"))
    )
    (read,) = sources_of([source], tmp_path)  # pyright: ignore[reportArgumentType]
    samples = list(read_samples(tmp_path / "pictures" / "own.csv", read))
    assert [sample.load().decode() for sample in samples] == [normalize(stored, name) for name in names]


@both
def test_captions_lie_beside_images_under_names_in_either_form(tmp_path, stored, written):
    put(tmp_path, normalize(stored, "größe.jpg"))
    (tmp_path / normalize(written, "größe.txt")).write_text("a vase")
    assert [item.captions for item in read_items(tmp_path).items] == [["a vase"]]


@both
def test_rows_name_members_of_a_tar_in_either_form(tmp_path, stored, written):
    with tarfile.open(tmp_path / "shop.tar", "w") as archive:
        for name in ("größe.jpg", "é.jpg"):
            member = tarfile.TarInfo(normalize(stored, name))
            member.size = 1
            archive.addfile(member, io.BytesIO(b"x"))
    rows = [
        {"key": normalize(written, key), "caption": key, "label": normalize(written, key)} for key in ("größe", "é")
    ]
    (tmp_path / "shop.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [item.captions for item in read_items(tmp_path / "shop.tar").items] == [["größe"], ["é"]]
    (source,) = sources_of([{"split": "train", "format": "labelled", "path": "shop.jsonl"}], tmp_path)
    samples = list(read_samples(tmp_path / "shop.jsonl", source))
    assert [(sample.load(), sample.about["label"]) for sample in samples] == [(b"x", "größe"), (b"x", "é")]


@both
def test_further_captions_are_of_keys_and_classes_in_either_form(tmp_path, stored, written):
    picture = Picture(normalize(stored, "größe.jpg"), lambda: b"", ["a vase"], 0)
    table = ClassTable([normalize(stored, "Töpfe")], None)
    rows = [{"key": normalize(written, "größe.jpg"), "captions": ["a jug"]}]
    rows += [{"label": normalize(written, "Töpfe"), "captions": ["pots"]}]
    (tmp_path / "more.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (more,), (described,), _ = with_further_captions([picture], [picture], table, tmp_path / "more.jsonl")
    assert (more.captions, described.descriptions) == (["a vase", "a jug"], ["pots"])


@both
def test_a_suite_of_own_captions_finds_its_pictures_in_either_form(tmp_path, stored, written):
    put(tmp_path, normalize(stored, "Töpfe/größe.jpg"))
    row = {"image": normalize(written, "Töpfe/größe.jpg"), "caption": "a vase"}
    (tmp_path / "captions.jsonl").write_text(json.dumps(row))
    assert own(tmp_path).pictures[0].read() == normalize(stored, "Töpfe/größe.jpg").encode()
