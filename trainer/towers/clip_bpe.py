"""CLIP's byte-pair encoding from the files of a model, one piece and one merge per line. api/text/tokenizers computes the same ids.

The rules are those of transformers' CLIPTokenizer with `split_special_tokens`: a special token's name in a text is text.
"""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from towers.text.unicode import whole

START, END = "<|startoftext|>", "<|endoftext|>"
END_OF_WORD = "</w>"
WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
Merge = tuple[str, str]


class ClipBpe:
    """Text to ids. `pieces[id]` is the piece; the two special tokens are pieces as well."""

    def __init__(self, pieces: Sequence[str], merges: Sequence[Merge]) -> None:
        self.pieces, self.merges = list(pieces), list(merges)
        ids = {piece: number for number, piece in enumerate(self.pieces)}
        missing = [name for name in (START, END) if name not in ids]
        if missing or len(ids) != len(self.pieces):
            raise ValueError(
                f"a vocabulary of CLIP holds every piece once, and {START} and {END}; this one lacks {missing}"
            )
        self.start, self.end = ids[START], ids[END]
        model = models.BPE(
            ids,
            self.merges,
            unk_token=END,
            continuing_subword_prefix="",
            end_of_word_suffix=END_OF_WORD,
            fuse_unk=False,
        )
        self._tokenizer = Tokenizer(model)
        self._tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )

    @classmethod
    def read(cls, vocabulary: Path, merges: Path) -> "ClipBpe":
        """From `vocabulary.txt` and `merges.txt`."""
        pairs = [line.split(" ") for line in lines_of(merges)]
        return cls(lines_of(vocabulary), [(left, right) for left, right in pairs])

    def write(self, folder: Path) -> None:
        """To `vocabulary.txt` and `merges.txt`."""
        (folder / "vocabulary.txt").write_text("".join(f"{piece}\n" for piece in self.pieces), encoding="utf-8")
        (folder / "merges.txt").write_text("".join(f"{a} {b}\n" for a, b in self.merges), encoding="utf-8")

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text without special tokens, uncut."""
        readable = [whole(text) for text in texts]
        return [encoding.ids for encoding in self._tokenizer.encode_batch(readable, add_special_tokens=False)]

    def encode(self, texts: Sequence[str], context_length: int) -> list[list[int]]:
        """Start, ids, end, cut at the end of the text to `context_length`: what a text tower reads."""
        return [[self.start, *ids[: context_length - 2], self.end] for ids in self.tokens(texts)]


def lines_of(file: Path) -> list[str]:
    """Lines of a file that ends with a line end. Pieces may be any other character, so that only LF ends a line."""
    return file.read_text(encoding="utf-8").removesuffix("\n").split("\n")
