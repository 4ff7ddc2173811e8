"""Tables of texts: what is in them is what a list would hold, and a million texts are not in the process's own memory."""

import json
import subprocess

import pytest

from towers.text_tables import GroupTable, NumberTable, TextTable, in_parts
from warm import STAGE_ENV, warm_python

TEXTS = ["a dog", "", "ein Hund läuft", "一只狗", "half a pair: \ud83d", "🐕 runs", "a dog"]
GROUPS, CAPTIONS = 200_000, 5

# Reads what stages read; says how many bytes of its own a text takes in each.
READ = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from tasks.contrastive_groups import read_groups
from tasks.mntp import captions_of
from towers.data import each_text_row
from towers.student.texts import read_student_texts
from towers.text_tables import TextTable

def own_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

prepared = Path(sys.argv[1])
run = SimpleNamespace(output=prepared, config={"max_tokens": 64})
reads = {
    "contrastive": lambda: read_groups(run, prepared).captions.texts,
    "mntp": lambda: TextTable.of(prepared, captions_of(prepared, with_pairs=False)),
    "distill": lambda: read_student_texts(prepared, prepared, prepared).kinds["groups"].texts,
    "a list": lambda: [text for row in each_text_row(prepared, "groups", "train") for text in row["captions"]],
}
found = {}
for name, read in reads.items():
    before = own_bytes()
    held = read()
    found[name] = [len(held), (own_bytes() - before) / len(held)]
    held = None
print(json.dumps(found))
"""


def test_a_table_holds_what_a_list_holds(tmp_path):
    table = TextTable.of(tmp_path, iter(TEXTS))
    assert list(table) == TEXTS and len(table) == 7
    assert (table[-1], table[2:5], table[::3]) == (TEXTS[-1], TEXTS[2:5], TEXTS[::3])
    numbers = [[1, -2, 2**31 - 1], [], [7]]
    assert NumberTable.of(tmp_path, numbers)[:] == numbers
    groups = [TEXTS[:2], [], TEXTS[2:]]
    assert list(GroupTable.of(tmp_path, groups)) == groups
    for empty in (TextTable.of(tmp_path, []), NumberTable.of(tmp_path, [[]])[0], GroupTable.of(tmp_path, [])):
        assert len(empty) == 0
    for beyond in (7, -8):
        with pytest.raises(IndexError):
            table[beyond]
    assert list(in_parts(iter(TEXTS), 3)) == [TEXTS[:3], TEXTS[3:6], TEXTS[6:]]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def million(tmp_path_factory):
    """A million texts in groups, as `prepare` and `embed_captions` leave them in folders without shards."""
    folder = tmp_path_factory.mktemp("million")
    image = {"key": "0", "captions": ["one", "two"]}
    for split in ("train", "dev"):
        (folder / f"pairs.{split}.jsonl").write_text(json.dumps(image) + "\n")
    with (folder / "groups.train.jsonl").open("w") as groups, (folder / "captions.groups.train.jsonl").open("w") as all:
        for number in range(GROUPS):
            texts = [
                f"caption {place} of group {number}, about as long as one of COCO's is" for place in range(CAPTIONS)
            ]
            groups.write(json.dumps({"id": str(number), "captions": texts}) + "\n")
            # Fewer for the stage that reads each of them as a row of its own.
            if number < GROUPS // 20:
                all.writelines(f'{{"id": "{number}", "text": "{text}"}}\n' for text in texts)
    return folder


def test_texts_of_a_stage_are_in_no_memory_of_its_own(million):
    command = [warm_python(), "-c", READ, million]
    done = subprocess.run(command, env=STAGE_ENV, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    counts = {what: count for what, (count, _) in found.items()}
    assert counts == {"contrastive": 1_000_002, "mntp": 1_000_000, "distill": 50_000, "a list": 1_000_000}
    # Texts of 60 bytes.
    assert found.pop("a list")[1] > 100
    assert all(size < 20 for _, size in found.values()), found
