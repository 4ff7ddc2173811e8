"""The student's vocabulary: WordPiece with BERT's normalisation, trained here, one piece per line of `vocabulary.txt`.

api/text/tokenizers computes the same ids. A special token's name in a text ("[CLS]") is three ordinary words, never the token.

A vocabulary that has the 256 bytes leaves nothing out: symbols are words of their own, words may have any length, and a
character without a piece is read as the bytes of its UTF-8. Accents are stripped in every language: people type without them,
and the pretrained encoders that students start from do not know them.
"""

import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from engine.folders.files import write_atomically
from towers.symbols import SYMBOLS
from towers.text.unicode import whole

PAD, UNK, CLS, SEP, MASK = range(5)
SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]  # no text has them: "<" and ">" are words of their own
MAX_ALPHABET = 400  # different characters: Latin without accents and what else captions hold
MAX_WORD = 100  # characters; without bytes a longer word is [UNK]


class WordPiece:
    """Text to ids. `pieces[id]` is the piece; the first five are the special tokens."""

    def __init__(self, pieces: Sequence[str]) -> None:
        if list(pieces[: len(SPECIAL_TOKENS)]) != SPECIAL_TOKENS:
            raise ValueError(f"a vocabulary starts with {SPECIAL_TOKENS}, this one with {list(pieces[:5])}")
        if len(set(pieces)) != len(pieces):
            raise ValueError("a vocabulary holds no piece twice")
        self.pieces = list(pieces)
        self._ids = {piece: number for number, piece in enumerate(pieces)}
        self.spells = BYTES[0] in self._ids  # whether bytes spell what has no piece
        if self.spells and not set(BYTES) <= self._ids.keys():
            raise ValueError("a vocabulary holds all bytes or none")
        self._longest = max(len(piece) for piece in pieces)
        model = models.WordPiece(self._ids, unk_token="[UNK]", max_input_chars_per_word=MAX_WORD)
        self._tokenizer = bert_like(model, symbols_apart=self.spells)

    @classmethod
    def read(cls, file: Path) -> "WordPiece":
        """From `vocabulary.txt`."""
        return cls(file.read_text(encoding="utf-8").removesuffix("\n").split("\n"))

    def write(self, file: Path) -> None:
        """To `vocabulary.txt`."""
        write_atomically(file, "\n".join(self.pieces) + "\n")

    def alphabet(self) -> int:
        """How many characters have a piece of their own."""
        return sum(len(piece) == 1 for piece in self.pieces)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text without special tokens, uncut: what the static tier sums."""
        texts = [whole(text) for text in texts]
        encodings = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        if not self.spells:
            return [encoding.ids for encoding in encodings]
        # Every look at the ids of an encoding copies them.
        found = [encoding.ids for encoding in encodings]
        return [self._spelled(text) if UNK in ids else ids for text, ids in zip(texts, found, strict=True)]

    def _spelled(self, text: str) -> list[int]:
        """Ids of a text of which not everything has a piece: the longest pieces from left to right, and bytes."""
        normalised = self._tokenizer.normalizer.normalize_str(text)
        found: list[int] = []
        for word, _ in self._tokenizer.pre_tokenizer.pre_tokenize_str(normalised):
            start = 0
            while start < len(word):
                for end in range(min(len(word), start + self._longest), start, -1):
                    piece = self._ids.get(("##" if start > 0 else "") + word[start:end])
                    if piece is not None:
                        found.append(piece)
                        start = end
                        break
                else:
                    found += [self._ids[BYTES[byte]] for byte in word[start].encode()]
                    start += 1
        return found

    def encode(self, texts: Sequence[str], context_length: int) -> list[list[int]]:
        """[CLS] ids [SEP], cut at the end to `context_length`: what the student reads."""
        return [with_special_tokens(ids, context_length) for ids in self.tokens(texts)]


def with_special_tokens(ids: list[int], context_length: int) -> list[int]:
    """[CLS] ids [SEP] of at most `context_length` ids."""
    return [CLS, *ids[: context_length - 2], SEP]


def bert_like(model: models.WordPiece, *, symbols_apart: bool = False) -> Tokenizer:
    """A tokenizer with BERT's normaliser (lower case, no accents) and word splitter around a model.

    `symbols_apart`: emoji and other symbols are words of their own, as punctuation is.
    """
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True
    )
    words = pre_tokenizers.BertPreTokenizer()
    symbols = pre_tokenizers.Split(Regex(symbol_class()), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, symbols]) if symbols_apart else words
    return tokenizer


def symbol_class() -> str:
    """Oniguruma's regular expression for one symbol."""
    ranges = [part.split("-") for part in SYMBOLS.split()]
    return "[" + "".join("-".join(f"\\x{{{point}}}" for point in part) for part in ranges) + "]"


def train_vocabulary(
    texts: Iterable[str], size: int, alphabet_size: int = MAX_ALPHABET, *, spells: bool = False
) -> WordPiece:
    """At most `size` pieces: special tokens, characters, then what `tokenizers` merges; equal texts, equal pieces.

    `alphabet_size`: the most frequent characters, which get pieces of their own. `spells`: the rest is read as bytes.
    """
    tokenizer = bert_like(models.WordPiece(unk_token="[UNK]"), symbols_apart=spells)
    texts = [whole(text) for text in texts]
    counts = characters(texts, tokenizer) + Counter(chr(code) for code in range(0x21, 0x7F) if not chr(code).isupper())
    alphabet = sorted(sorted(counts, key=lambda character: (-counts[character], character))[:alphabet_size])
    # The trainer numbers continued characters in hash order, and ties between merges follow the numbers: fixed here.
    continued = [f"##{character}" for character in alphabet if not stands_alone(tokenizer, character)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=[*SPECIAL_TOKENS, *(BYTES if spells else []), *continued],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    ids = tokenizer.get_vocab()
    return WordPiece(sorted(ids, key=lambda piece: ids[piece]))


def characters(texts: Iterable[str], tokenizer: Tokenizer) -> Counter[str]:
    """How often each character is in normalised texts, spaces aside.

    BERT's normaliser looks at one character at a time, so that each different one is normalised once.
    """
    found: Counter[str] = Counter()
    for text in texts:
        found.update(text)
    counts: Counter[str] = Counter()
    for character, count in found.items():
        for normalised in tokenizer.normalizer.normalize_str(character):
            counts[normalised] += count
    counts.pop(" ", None)
    return counts


def stands_alone(tokenizer: Tokenizer, character: str) -> bool:
    """Whether the character is a word of its own (punctuation; Chinese; symbols where they stand apart)."""
    normalised = tokenizer.normalizer.normalize_str(f"a{character}")
    return is_punctuation(character) or len(tokenizer.pre_tokenizer.pre_tokenize_str(normalised)) > 1


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
