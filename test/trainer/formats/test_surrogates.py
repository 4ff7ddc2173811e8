"""Half of a surrogate pair, which a cut JSON escape leaves, is read as U+FFFD wherever a text of a user's data comes from."""

import json
from pathlib import Path

from PIL import Image

from towers.formats.classes import read_classes
from towers.formats.table import read_items


def test_captions_and_classes_of_a_table(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "1.png")
    (tmp_path / "own.jsonl").write_text('{"image": "1.png", "caption": "a rose \\ud83c", "label": "Rose \\ud83c"}\n')
    (item,) = read_items(tmp_path / "own.jsonl").items
    assert (item.captions, item.labels) == (["a rose \ufffd"], ["Rose \ufffd"])


def test_names_groups_and_descriptions_of_a_file_of_classes(tmp_path: Path) -> None:
    file = tmp_path / "classes.json"
    row = {"name": "Rose \ud83c", "group": "Flower \udf39", "description": "It has thorns \ud83c"}
    file.write_text(json.dumps([row, "Lily \ud83c\udf37"]))
    rose, lily = read_classes(file)
    assert (rose.name, rose.group, rose.descriptions) == ("Rose \ufffd", "Flower \ufffd", ["It has thorns \ufffd"])
    assert lily.name == "Lily \U0001f337"
