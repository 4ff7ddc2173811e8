"""The student's vocabulary: WordPiece with BERT's normalisation, trained here, one piece per line of `vocabulary.txt`.

api/text/tokenizers computes the same ids. A special token's name in a text ("[CLS]") is three ordinary words, never the token.
"""

import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

PAD, UNK, CLS, SEP, MASK = range(5)
SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MAX_ALPHABET = 400  # different characters: Latin without accents and what else captions hold; the rest is [UNK]


class WordPiece:
    """Text to ids. `pieces[id]` is the piece; the first five are the special tokens."""

    def __init__(self, pieces: Sequence[str]) -> None:
        if list(pieces[: len(SPECIAL_TOKENS)]) != SPECIAL_TOKENS:
            raise ValueError(f"a vocabulary starts with {SPECIAL_TOKENS}, this one with {list(pieces[:5])}")
        if len(set(pieces)) != len(pieces):
            raise ValueError("a vocabulary holds no piece twice")
        self.pieces = list(pieces)
        ids = {piece: number for number, piece in enumerate(pieces)}
        self._tokenizer = bert_like(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))

    @classmethod
    def read(cls, file: Path) -> "WordPiece":
        """From `vocabulary.txt`."""
        return cls(file.read_text(encoding="utf-8").removesuffix("\n").split("\n"))

    def write(self, file: Path) -> None:
        """To `vocabulary.txt`."""
        file.write_text("\n".join(self.pieces) + "\n", encoding="utf-8")

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text without special tokens, uncut: what the static tier sums."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def encode(self, texts: Sequence[str], context_length: int) -> list[list[int]]:
        """[CLS] ids [SEP], cut at the end to `context_length`: what the student reads."""
        return [with_special_tokens(ids, context_length) for ids in self.tokens(texts)]


def with_special_tokens(ids: list[int], context_length: int) -> list[int]:
    """[CLS] ids [SEP] of at most `context_length` ids."""
    return [CLS, *ids[: context_length - 2], SEP]


def bert_like(model: models.WordPiece) -> Tokenizer:
    """A tokenizer with BERT's normaliser (lower case, no accents) and word splitter around a model."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def train_vocabulary(texts: Iterable[str], size: int) -> WordPiece:
    """At most `size` pieces: special tokens, characters, then what `tokenizers` merges; equal texts, equal pieces."""
    tokenizer = bert_like(models.WordPiece(unk_token="[UNK]"))
    texts = list(texts)
    counts = Counter({chr(code): 1 for code in range(0x21, 0x7F) if not chr(code).isupper()})
    for text in texts:
        counts.update(tokenizer.normalizer.normalize_str(text))
    counts.pop(" ", None)
    alphabet = sorted(sorted(counts, key=lambda character: (-counts[character], character))[:MAX_ALPHABET])
    # The trainer numbers continued characters in hash order, and ties between merges follow the numbers: fixed here.
    continued = [f"##{character}" for character in alphabet if not is_punctuation(character)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=[*SPECIAL_TOKENS, *continued],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    ids = tokenizer.get_vocab()
    return WordPiece(sorted(ids, key=lambda piece: ids[piece]))


def is_punctuation(character: str) -> bool:
    """Whether the word splitter makes the character a word of its own; it then never continues a word."""
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def mixed(sources: dict[str, tuple[Sequence[str], float]], characters: int) -> Iterator[str]:
    """About `characters` of text from named sources (texts, weight), each in proportion to its weight.

    A source that is too short for its proportion is repeated, so that a language with few captions still gets its pieces.
    """
    present = {name: (texts, weight) for name, (texts, weight) in sources.items() if texts and weight > 0}
    total = sum(weight for _, weight in present.values())
    for texts, weight in present.values():
        left = characters * weight / total
        while left > 0:
            for text in texts:
                yield text
                left -= len(text) + 1
                if left <= 0:
                    break
