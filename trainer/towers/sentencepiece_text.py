"""SentencePiece as SigLIP uses it, from the library's model file. api/text/tokenizers/sentencepiece computes the same ids."""

import re
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import sentencepiece
from tokenizers import normalizers

from towers.text.unicode import whole

Cleaning = Literal["lower", "canonical", "canonical_spaced"]
LOWER = normalizers.Lowercase()  # of a later Unicode than this Python may have, as transformers' SigLIP 2 and servers
PUNCTUATION = str.maketrans("", "", string.punctuation)


class SentencePiece:
    """Text to ids. `model` are the bytes of a model file; `end` and `pad` are ids of a text's last token and of what fills it up."""

    def __init__(self, model: bytes, end: int, pad: int, cleaning: Cleaning | None) -> None:
        self.model, self.end, self.pad = model, end, pad
        self.cleaning: Cleaning | None = cleaning
        self._library = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.unknown: int = self._library.unk_id()
        self.size: int = self._library.get_piece_size()

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text without special tokens, uncut."""
        return self._library.encode([clean(text, self.cleaning) for text in texts])

    def encode(self, texts: Sequence[str], context_length: int) -> list[list[int]]:
        """Ids and the end, cut at the end of the text to `context_length`: what a text tower reads."""
        return [[*ids[: context_length - 1], self.end] for ids in self.tokens(texts)]

    def write(self, folder: Path) -> None:
        """To `sentencepiece.model`."""
        (folder / "sentencepiece.model").write_bytes(self.model)


def clean(text: str, cleaning: Cleaning | None) -> str:
    """What is done before the library reads a text: of transformers' SigLIP 2 and SigLIP tokenizers, and of open_clip's."""
    text = whole(text)
    if cleaning is None:
        return text
    if cleaning == "lower":
        return LOWER.normalize_str(text)
    # By the rule of whole strings first: the last sigma of a word is another letter.
    if cleaning == "canonical":
        bare = LOWER.normalize_str(text.lower()).translate(PUNCTUATION)
    else:
        bare = LOWER.normalize_str(text.replace("_", " ").translate(PUNCTUATION).lower())
    return re.sub(r"\s+", " ", bare).strip()
