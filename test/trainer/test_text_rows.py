"""Rows of text sources: what is no text where a text belongs is refused by its row, and a text in the place of several is one of them."""

import json
from typing import Any, cast

import pytest

from contracts.types import TextSource
from support import draw_images, run_stage, write_job
from towers.data import read_pairs
from towers.texts import each_text

CONCEPT = {"id": "own:1", "source": "own", "name": "dog", "names": ["dog"], "gloss": None, "hypernyms": [],
           "descriptions": [], "tr": {}}  # fmt: skip
CLASS = {"dataset": "sun", "class": "pond", "by": "CuPL"}
POND = {**CONCEPT, "id": "sun:pond", "source": "sun", "name": "pond", "names": ["pond"]}


def read(folder, kind: str, *rows: Any) -> list[dict[str, Any]]:
    """`kind`: a kind, or a format of concepts."""
    (folder / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    kinds = ("groups", "long", "translations", "plain", "concepts")
    of_kind = {"kind": kind} if kind in kinds else {"kind": "concepts", "format": kind}
    return list(each_text(folder, cast(TextSource, {"split": "train", "path": "own.jsonl", **of_kind})))


@pytest.mark.parametrize(
    ("kind", "row", "expected"),
    [
        ("groups", {"id": 1, "captions": "a dog in snow"}, {"id": 1, "source": "", "captions": ["a dog in snow"]}),
        ("groups", {"id": "1", "captions": ["a", " ", {"text": "b"}]}, {"id": "1", "source": "", "captions": ["a", "b"]}),
        ("long", {"id": "1", "captions": "A house. A door."}, {"id": "1", "captions": ["A house. A door."]}),
        ("long", {"id": "1", "captions": {"text": "A house.", "by": "me"}}, {"id": "1", "captions": ["A house."]}),
        ("concepts", {"id": 1, "name": "dog", "names": "hound"}, {**CONCEPT, "names": ["dog", "hound"]}),
        ("concepts", {"id": 1, "name": "dog", "hypernyms": None, "names": None, "tr": None, "gloss": None}, CONCEPT),
        ("concepts", {"id": 1, "name": "dog", "tr": {"de": "Hund", "fr": None}}, {**CONCEPT, "tr": {"de": ["Hund"]}}),
        ("class_descriptions", {**CLASS, "texts": "A pond."}, {**POND, "descriptions": ["A pond."]}),
        ("wordnet", {"id": "1", "words": "dog"}, {**CONCEPT, "id": "wordnet:1", "source": "wordnet"}),
        ("taxonomy", {"id": 1, "en": "dog", "de": None}, {**CONCEPT, "id": "taxonomy:1", "source": "taxonomy"}),
    ],
)  # fmt: skip
def test_a_text_is_a_list_of_one_and_null_is_nothing(tmp_path, kind, row, expected):
    assert read(tmp_path, kind, row) == [expected]


@pytest.mark.parametrize(
    ("kind", "row", "said"),
    [
        ("groups", 17, "texts of kind `groups` have `id`, `captions` in every row, this one is no object but 17"),
        ("plain", ["a"], "texts of kind `plain` have `text` in every row, this one is no object but ['a']"),
        ("wordnet", None, "texts of format `wordnet` have `id`, `words` in every row, this one is no object but null"),
        ("wordnet", {"id": "1"}, "texts of format `wordnet` have `id`, `words` in every row, this one has `id`"),
        ("groups", {"id": "1", "captions": None}, "`captions` has to be a text, or a list of texts, not null"),
        ("groups", {"id": "1", "captions": ["a", 2]}, "`captions` has to be a text, or a list of texts, not ['a', 2]"),
        ("groups", {"id": [1], "captions": ["a"]}, "`id` has to be a text or a number, not [1]"),
        ("long", {"id": "1", "captions": []}, "`captions` has to be a text, or a list of at least one text, not []"),
        ("long", {"id": "1", "captions": [{"text": None}]}, "`captions` has to be a text, or a list of texts, not [{"),
        ("plain", {"text": None}, "`text` has to be a text, not null"),
        ("plain", {"text": 5}, "`text` has to be a text, not 5"),
        ("translations", {"id": "1", "en": ["a dog"]}, "`en` has to be a text, not ['a dog']"),
        ("concepts", {"name": " "}, "`name` has to be a text that is not empty, not ' '"),
        ("concepts", {"name": "dog", "tr": ["Hund"]}, "`tr` has to be an object of languages"),
        ("concepts", {"name": "dog", "tr": {"de": 5}}, "`tr` has to be an object whose languages each have a text, or"),
        ("imagenet_classes", {"wnid": "n1", "name": "dog", "synonyms": 5}, "`synonyms` has to be a text, or a list"),
    ],
)
def test_what_a_kind_does_not_have_is_refused_with_its_row(tmp_path, kind, row, said):
    whole = {
        "id": "1",
        "captions": ["a"],
        "text": "a",
        "en": "a",
        "name": "a",
        "words": ["a"],
        "wnid": "n0",
        "synonyms": [],
    }
    with pytest.raises(ValueError) as refused:
        read(tmp_path, kind, whole, row)
    assert str(refused.value).startswith(f"own.jsonl, row 2: {said}")


@pytest.mark.parametrize(
    ("row", "tr", "said"),
    [
        ({"key": "drawn000", "captions": "第一"}, {"zh": ["第一"]}, None),
        ({"key": "drawn000", "captions": 5}, None, "zh.jsonl, row 1: `captions` has to be a text, or a list of texts"),
        ({"key": "drawn000"}, None, "zh.jsonl, row 1: texts of format `translated_captions` have `key`, `captions`"),
    ],
)
def test_captions_in_another_language_are_texts_too(tmp_path, row, tr, said):
    for split in ("train", "dev"):
        draw_images(tmp_path / "data" / split, 1, (40, 30) if split == "dev" else (30, 40))
    (tmp_path / "data" / "zh.jsonl").write_text(json.dumps(row) + "\n")
    pairs = [
        {"split": "train", "format": "folder", "path": "train", "translated_captions": {"zh": "zh.jsonl"}},
        {"split": "dev", "format": "folder", "path": "dev"},
    ]
    limits = {"max_side": 64, "min_side": 8, "max_pixels": 10**6, "min_caption_chars": 1, "max_caption_chars": 200}
    nothing = {"texts": [], "fragments": 0, "classes": None, "class_images": None, "shard_size": 10}
    job = write_job(tmp_path, "prepare", {"data": tmp_path / "data"}, {"pairs": pairs, **limits, **nothing})
    if said is None:
        run_stage(job)
        assert [pair.get("tr") for pair in read_pairs(job.parent, "train")] == [tr]
    else:
        with pytest.raises(AssertionError) as failed:
            run_stage(job)
        assert f"[prepare] {said}" in str(failed.value) and "Traceback" not in str(failed.value)
