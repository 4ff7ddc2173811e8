"""SentencePiece of the trainer: the same texts as in test/journeys/sentencepiece.test.ts, by the libraries' own tokenizers."""

from typing import Any

import pytest
import sentencepiece
from transformers import SiglipTokenizer

import sentencepiece_tokens as reference
from clip_tokens import texts
from towers.sentencepiece_text import SentencePiece, clean


@pytest.mark.parametrize("cleaning", reference.CLEANINGS)
def test_texts_are_cleaned_as_the_libraries_do(cleaning):
    for text in texts()[:500]:
        assert clean(text, cleaning) == reference.clean(text, cleaning)


@pytest.mark.parametrize("cleaning", ["lower", "canonical", "canonical_spaced"])
def test_capitals_of_a_later_unicode_than_pythons_are_lowered_as_servers_do(cleaning):
    later = {"\u1c89": "\u1c8a", "\ua7cb": "\u0264", "\U00010d50": "\U00010d70"}  # of Unicode 16's UnicodeData.txt
    assert clean("".join(later), cleaning) == "".join(later.values())
    assert clean("ΣΑΣ İ", cleaning) == ("σασ i̇" if cleaning == "lower" else "σας i̇")


def test_a_plain_text_has_the_ids_of_transformers_tokenizer(tmp_path):
    model = reference.train(**reference.MODELS["unigram"])
    (tmp_path / "spiece.model").write_bytes(model)
    theirs: Any = SiglipTokenizer(str(tmp_path / "spiece.model"))
    ours = SentencePiece(model, theirs.eos_token_id, theirs.pad_token_id, "canonical")
    given = ["A dog, running!", "two  men", "犬 in the snow", "x" * 300]
    assert ours.encode(given, 64) == theirs(given, truncation=True, max_length=64)["input_ids"]


def test_a_lone_surrogate_is_the_replacement_character():
    model = reference.train(**reference.MODELS["bpe"])
    ours = SentencePiece(model, 1, 0, None)
    library = sentencepiece.SentencePieceProcessor(model_proto=model)
    assert ours.tokens(["dog\ud800 runs"]) == library.encode(["dog\ufffd runs"])
