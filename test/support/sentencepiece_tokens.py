"""SentencePiece models trained here, 2,000 nasty texts, and their ids by the library, as JSON on standard output.

The vocabularies of SigLIP (C4, unigram with NFKC) and SigLIP 2 (Gemma's, byte pairs with bytes for what it lacks, white space
kept) are downloads: these models are trained with their settings on the texts of this file.
"""

import base64
import io
import json
import random
import sys
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as protocol

ROOT = Path(__file__).parents[2]
sys.path[:0] = [
    str(ROOT / "trainer"),
    str(ROOT / "contracts/python"),
    str(ROOT / "test/trainer"),
    str(ROOT / "test/support"),
]

import towers  # noqa: E402, F401  (makes transformers importable beside a CPU build of torch)
from clip_tokens import texts  # noqa: E402

SENTENCES = [
    "a dog runs through the snow", "two men climb a steep rock in red jackets", "children playing on a beach", "naïve café über straße",
    "Ein Hund läuft, und eine Frau sieht zu.", "犬が雪の中を走る", "한국어 문장", "1234 567.89", "!!! ??? ... don't", "ΣΑΣ ΟΔΟΣ", "tables <b> and <i> tags",
]  # fmt: skip
GEMMA = ["<b>", "</b>", "\n", "\n\n", "\t", "▁▁", "▁▁▁", "<unused0>", "👍", "\ufeff", "\ufeffdog"]
MODELS: dict[str, dict[str, Any]] = {
    "unigram": {"model_type": "unigram", "vocab_size": 300, "normalization_rule_name": "nmt_nfkc", "character_coverage": 0.98},
    "unigram with symbols": {
        "model_type": "unigram", "vocab_size": 620, "normalization_rule_name": "nmt_nfkc_cf", "byte_fallback": True,
        "user_defined_symbols": ["<b>", "dog", "犬", "a", "▁▁"],
    },
    "unigram with symbols within words": {
        "model_type": "unigram", "vocab_size": 400, "normalization_rule_name": "nmt_nfkc",
        "user_defined_symbols": ["og", "a", "▁do", "ru", "in", "un", "the sn"],
    },
    "bpe": {
        "model_type": "bpe", "vocab_size": 700, "byte_fallback": True, "normalization_rule_name": "identity", "add_dummy_prefix": False,
        "remove_extra_whitespaces": False, "user_defined_symbols": GEMMA, "split_digits": True, "allow_whitespace_only_pieces": True,
    },
    "bpe with unknowns": {"model_type": "bpe", "vocab_size": 250, "character_coverage": 0.98, "normalization_rule_name": "nmt_nfkc"},
}  # fmt: skip
TIES = {
    "▁": -0.3,
    "d": -1.1,
    "o": -2.3,
    "g": -3.4,
    "do": -0.7,
    "og": -3.0,
    "dd": -2.2,
    "gg": -6.8,
}  # equal sums, whatever the split
LATER = "\u1c89"  # a capital of Unicode 16, for which this Python may know no small letter
CLEANINGS = [None, "lower", "canonical", "canonical_spaced"]


def train(**settings: Any) -> bytes:
    """A model file; the same for the same settings."""
    draw = random.Random(1)
    sentences = [" ".join(draw.sample(" ".join(SENTENCES).split(), 8)) for _ in range(400)] + SENTENCES
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=file,
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
        **settings,
    )
    return file.getvalue()


def with_ties() -> bytes:
    """A unigram model of which splits of a word score alike, so that how sums are rounded decides."""
    model: Any = protocol.ModelProto()  # pyright: ignore[reportAttributeAccessIssue] - made at run time
    model.pieces.add(piece="<unk>", score=0, type=2)
    for piece, score in TIES.items():
        model.pieces.add(piece=piece, score=score)
    return model.SerializeToString()


def clean(text: str, cleaning: str | None) -> str:
    """By the libraries' own functions: transformers' SiglipTokenizer, the normaliser of its Siglip2Tokenizer, open_clip's."""
    from open_clip.tokenizer import canonicalize_text
    from tokenizers import normalizers
    from transformers import SiglipTokenizer

    if cleaning == "lower":
        return normalizers.Lowercase().normalize_str(text)
    if cleaning == "canonical":
        tokenizer: Any = SiglipTokenizer.__new__(SiglipTokenizer)
        tokenizer.do_lower_case = True
        return tokenizer.canonicalize_text(text)
    return canonicalize_text(text) if cleaning == "canonical_spaced" else text


def main() -> None:
    """Print the document."""
    nasty = [text.replace(LATER, "") for text in texts()]
    files = {name: train(**settings) for name, settings in MODELS.items()} | {"unigram with ties": with_ties()}
    cases = []
    for name, file in files.items():
        library = sentencepiece.SentencePieceProcessor(model_proto=file)
        cleanings = CLEANINGS if name == "unigram" else [None, "lower", "canonical_spaced"] if name == "bpe" else [None]
        for cleaning in cleanings:
            cases.append(
                {
                    "name": name,
                    "cleaning": cleaning,
                    "model": base64.b64encode(file).decode(),
                    "unknown": library.unk_id(),
                    "ids": library.encode([clean(text, cleaning) for text in nasty]),
                }
            )
    print(json.dumps({"texts": nasty, "cases": cases}))


if __name__ == "__main__":
    main()
