"""Groups that `contrastive` draws from: of two texts or more, and a sentence where there are none."""

from typing import Any, cast

import pytest

from contracts.types import TextSource
from tasks.contrastive import Sampler
from tasks.contrastive_groups import Groups, caption_groups
from towers.data import write_rows
from towers.texts import each_text

CONFIG: Any = {"batch_size": 4, "concept_fraction": 0.0}


def test_a_caption_alone_is_no_group(tmp_path):
    write_rows(
        tmp_path / "pairs.train.jsonl", [{"key": "a", "captions": ["one", "two"]}, {"key": "b", "captions": ["x"]}]
    )
    write_rows(
        tmp_path / "groups.train.jsonl", [{"captions": ["three", "four"]}, {"captions": ["y"]}, {"captions": []}]
    )
    assert list(caption_groups(tmp_path)) == [["one", "two"], ["three", "four"]]


def test_where_nothing_says_the_same_twice_it_says_what_would():
    concepts = [("cat", ["a cat", "a small animal"])]
    # Concepts without a share of the batch are not drawn from.
    for groups in (Groups([]), Groups([], concepts=concepts)):
        with pytest.raises(ValueError, match=r"train images with two captions or more .* or leave the block out"):
            Sampler(groups, CONFIG, 1)
    texts, names = Sampler(Groups([], concepts=concepts), CONFIG | {"concept_fraction": 0.5}, 1).draw(0)
    assert ([sorted(pair) for pair in texts], names) == ([["a cat", "a small animal"]], ["cat"])


@pytest.mark.parametrize(
    ("kind", "row", "needed"),
    [
        ("groups", {"id": "1", "caption": "words"}, "`id`, `captions` in every row, this one has `id`, `caption`"),
        ("long", {"captions": ["words"]}, "`id`, `captions` in every row, this one has `captions`"),
        ("plain", {"body": "words"}, "`text` in every row, this one has `body`"),
        ("translations", {"en": "words"}, "`id` in every row, this one has `en`"),
    ],
)
def test_a_text_without_what_its_kind_needs_is_refused_by_its_row(tmp_path, kind, row, needed):
    whole = {"id": "1", "captions": ["words"], "text": "words", "en": "words"}
    write_rows(tmp_path / "own.jsonl", [whole, row])
    source = cast(TextSource, {"split": "train", "kind": kind, "path": "own.jsonl"})
    with pytest.raises(ValueError, match=rf"own\.jsonl, row 2: texts of kind `{kind}` have {needed}"):
        list(each_text(tmp_path, source))
