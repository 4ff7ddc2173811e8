"""Wrong captions: what is exchanged, what stays, and what `clip` sees of them."""

from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from tasks.clip_data.wrong import WrongCaptions
from towers.data import write_rows
from towers.text.wrong_captions import KIND_OF, KINDS, wrong_captions, wrong_texts
from towers.text_sets import TextSet


def test_two_words_of_a_kind_are_exchanged_first():
    assert wrong_captions("A red ball beside the blue chair.", 1) == ["A blue ball beside the red chair."]
    assert wrong_captions("Red ball, blue chair", 1) == ["Blue ball, red chair"]


def test_one_word_is_replaced_by_another_of_its_kind_and_the_rest_stays():
    found = wrong_captions("a dog, on the LEFT of it; 3 umbrellas", 50)
    others = [word for word in KINDS[16] if word != "dog"]
    expected = {f"{'an' if word[0] in 'aeiou' else 'a'} {word}, on the LEFT of it; 3 umbrellas" for word in others}
    assert set(found) == expected | {"a dog, on the Right of it; 3 umbrellas"}


def test_a_word_that_the_caption_has_is_not_put_in():
    for text in wrong_captions("one man and one woman", 50):
        assert text != "one man and one woman" and "woman and one woman" not in text


def test_captions_without_such_words_have_none_and_the_same_ones_have_the_same():
    assert wrong_captions("a lighthouse at dusk", 5) == []
    text = "two young men in red shirts run over the grass"
    assert wrong_captions(text, 4) == wrong_captions(text, 4)
    assert wrong_captions(text, 9)[:4] == wrong_captions(text, 4)
    assert len(set(wrong_captions(text, 9))) == 9


def test_negatives_of_a_row_come_first_and_made_ones_fill_up():
    caption = "a red ball beside the blue chair"
    own = ["a red ball on the blue chair", "no ball"]
    row = {"negatives": own}
    assert wrong_texts(row, caption, 0) == [] and wrong_texts(row, caption, 1) == own[:1]
    assert wrong_texts(row, caption, 2) == own
    assert wrong_texts(row, caption, 4) == [*own, *wrong_captions(caption, 2)]
    assert wrong_texts({}, caption, 4) == wrong_captions(caption, 4)
    # One that is among the made ones is there once.
    both = wrong_texts({"negatives": wrong_captions(caption, 2)[1:]}, caption, 2)
    assert both == [*reversed(wrong_captions(caption, 2))]
    assert wrong_texts({"negatives": ["ein Leuchtturm am Morgen"]}, "ein Leuchtturm am Abend", 5) == [
        "ein Leuchtturm am Morgen"
    ]


def test_a_word_is_of_one_kind():
    assert len(KIND_OF) == sum(len(kind) for kind in KINDS)


def test_clip_finds_the_wrong_texts_of_its_captions(tmp_path):
    captions = ["a red ball", "a lighthouse", "two dogs and one cat"]
    rows = [
        {"id": str(number), "text": text}
        for number, caption in enumerate(captions)
        for text in wrong_captions(caption, 3)
    ]
    assert {row["id"] for row in rows} == {"0", "2"}
    write_rows(tmp_path / "captions.negatives.train.jsonl", rows)
    numbered = torch.arange(len(rows)).float()[:, None]
    save_file({"features": numbered}, tmp_path / "features.negatives.train.safetensors")
    texts = TextSet(tmp_path, "negatives.train", torch.device("cpu")).with_features()
    inputs, is_there = WrongCaptions(texts, 3).of(np.array([2, 1, 0, 2]))
    assert is_there.tolist() == [[True] * 3, [False] * 3, [True] * 3, [True] * 3]
    seen: Any = inputs.view(4, 3)
    own = [[n for n, row in enumerate(rows) if row["id"] == key] for key in ("2", "0", "2")]
    assert seen[[0, 2, 3]].tolist() == own
