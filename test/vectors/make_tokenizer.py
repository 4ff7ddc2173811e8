"""Writes the tokenizer vectors: what Hugging Face `tokenizers` makes of texts chosen to be nasty.

    python test/vectors/make_tokenizer.py            # nasty.json from the committed vocabulary
    python test/vectors/make_tokenizer.py --train DATA  # also a new vocabulary.txt from DATA/text

The vocabulary has no entry in `added_tokens`: a literal "[CLS]" in a text is three ordinary words. Where symbols are glued
to a word that is unknown with them, `apart` has the ids of the text with spaces around those symbols, unknown neighbours
of one word as one.
"""

import gzip
import json
import random
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

VECTORS = Path(__file__).parents[2] / "contracts/vectors/tokenizer"
VOCABULARY_SIZE = 2048
UNKNOWN = 1
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
LANGUAGES = ("en", "de", "fr", "cs")


def bert_like(model: models.WordPiece) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def train_vocabulary(data: Path) -> list[str]:
    def captions() -> Iterator[str]:
        with gzip.open(data / "text/multi30k-en-de-fr-cs.train.jsonl.gz", "rt") as rows:
            for row in rows:
                document = json.loads(row)
                yield from (document[language] for language in LANGUAGES)

    tokenizer = bert_like(models.WordPiece(unk_token="[UNK]"))
    trainer = trainers.WordPieceTrainer(vocab_size=VOCABULARY_SIZE, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(captions(), trainer)
    pieces = tokenizer.get_vocab()
    return sorted(pieces, key=lambda piece: pieces[piece])


# ---------------------------------------------------------------- texts
FIXED = [
    "", " ", "\t\n\r", "a", "A", "[CLS]", "[SEP] hello [PAD]", "[UNK]", "[cls]x[SEP]", "##ing", "a##b", "# # ing",
    "A dog runs through the snow.", "Zwei junge weiße Männer sind im Freien.", "Garçon à la plage, près d'un château",
    "Příliš žluťoučký kůň úpěl ďábelské ódy", "STRASSE straße ẞ", "ΟΔΥΣΣΕΥΣ ΣΑΣ σς", "İstanbul ıI i̇", "ǅ ǆ Ǆ ﬀ ﬃ",
    "\u0085next\u0085line", "a\u00a0b\u2003c\u3000d\u200be\u200cf\u200dg\ufeffh", "zero\u0000null", "\ufffdreplacement\ufffd",
    "soft\u00adhyphen", "e\u0301 é e\u0323\u0302 ệ \u1ec7", "a\u0302\u0323 a\u0323\u0302", "\u0301lone mark", "q\u0307\u0323\u0344",
    "日本語のテキスト", "我爱北京天安门", "漢字かな交じり文 mixed English", "한국어 텍스트", "\uf900\ufa0e\U0002f800\U00020000", "ไทย ภาษา",
    "हिन्दी में पाठ", "עברית עם נִקּוּד", "العَرَبِيَّة", "வணக்கம்", "ကမ္ဘာ", "ខ្មែរ",
    "👩‍👩‍👧‍👦 family 👍🏽 flags 🇩🇪🇨🇿", "❤️ vs ❤", "1️⃣2️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "\U0001fae8\U0001faf7",
    "x" * 100, "x" * 101, "é" * 100, "é" * 101, "𝒳" * 100, "𝒳" * 101, "a" * 3000, "ab " * 500, "…" * 120, "-" * 120,
    "don't can't l'homme", "3.14159 1,000,000 $5 50% a@b.c https://x.y/z?q=1&r=2#f", "snake_case camelCase kebab-case",
    "«guillemets» „Anführung“ ‚single‘ “curly” ‹x›", "a—b–c‐d‑e", "¿qué? ¡sí!", "´`^¨~", "©®™ ½ ² ³ ₂ № ℃",
    "\u2028line\u2029paragraph", "\x1b[31mred\x1b[0m", "tab\tnew\nline\rreturn\x0bvt\x0cff", "\u0378\u0379 unassigned",
    "\ue000 private \uf8ff", "\U000e0041\U000e0042 tags", "\u202eright to left\u202c", "\u1e9b\u0323", "\u037e\u1fef\u2126\u212b",
    "\u0b95\u0bca \u0dda \u1b06 \u0cc7\u0cca", "\U0001d15e\U0001d1bb", "\ud7a3\u1100\u1161\u11a8", "\u0f73\u0f75\u0f81", "ᾼῌῼ ᾳῃῳ",
]  # fmt: skip

RANGES = [
    (0x20, 0x7E), (0x20, 0x7E), (0x20, 0x7E), (0xA0, 0x24F), (0x250, 0x36F), (0x370, 0x52F), (0x590, 0x6FF),
    (0x900, 0xDFF), (0xE00, 0xFFF), (0x1000, 0x1FFF), (0x2000, 0x2BFF), (0x2E80, 0x33FF), (0x3400, 0x9FFF),
    (0xA000, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x1FFFF), (0x1F300, 0x1FAFF), (0x20000, 0x323AF), (0xE0000, 0xE01EF),
]  # fmt: skip


def random_texts(random_source: random.Random, count: int, sentences: list[str]) -> Iterator[str]:
    """Words of captions, random code points of one or several blocks, marks piled on letters, all joined badly."""
    for _ in range(count):
        parts: list[str] = []
        for _ in range(random_source.randint(1, 12)):
            kind = random_source.random()
            if kind < 0.35:
                word = random_source.choice(random_source.choice(sentences).split())
                parts.append(random_source.choice([str, str.upper, str.title, str.swapcase])(word))
            elif kind < 0.75:
                low, high = random_source.choice(RANGES)
                parts.append("".join(chr(random_source.randint(low, high)) for _ in range(random_source.randint(1, 8))))
            elif kind < 0.9:
                marks = "".join(chr(random_source.randint(0x300, 0x36F)) for _ in range(random_source.randint(1, 4)))
                parts.append(random_source.choice("aeoucsznAEOU") + marks)
            else:
                parts.append(random_source.choice(FIXED)[:40])
        yield random_source.choice(["", " ", " ", "\t", "\u00a0", "\u200b", "\u200d", "-"]).join(parts)


def class_texts(random_source: random.Random, count: int) -> Iterator[str]:
    """One code point between letters: shows whether it is dropped, splits the word, stands alone or is a letter."""
    for _ in range(count):
        low, high = random_source.choice(RANGES[3:])
        yield "".join(f"a{chr(random_source.randint(low, high))}b " for _ in range(12))


def is_symbol(character: str) -> bool:
    return (
        unicodedata.category(character)[0] == "S"
        or unicodedata.category(character) == "Me"
        or "\U0001f000" <= character < "\U0001fb00"
    )


def ids_apart(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = []
    for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text)):
        of_word = [token.id for token in tokenizer.model.tokenize(word)]
        if of_word == [UNKNOWN]:
            spaced = "".join(f" {character} " if is_symbol(character) else character for character in word)
            parts = [token.id for part in spaced.split(" ") if part for token in tokenizer.model.tokenize(part)]
            of_word = [id for n, id in enumerate(parts) if not (id == UNKNOWN and parts[n - 1 : n] == [UNKNOWN])]
        ids += of_word
    return ids


def valid(text: str) -> bool:
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in text)


def glued_texts(random_source: random.Random, count: int) -> Iterator[str]:
    """Words with emoji and signs before, inside and behind."""
    symbols = [
        "\U0001f44d",
        "\U0001f44d\U0001f3fd",
        "\u2764\ufe0f",
        "\U0001f469\u200d\U0001f4bb",
        "1\ufe0f\u20e3",
        "\u20ac",
        "$",
        "+",
        "\u2192",
        "\u00a9",
    ]
    words = ["dog", "Hund", "xylograph\u0142", "\u0441\u043e\u0431\u0430\u043a\u0430", "3", "l'homme", "\u72ac", ""]
    for _ in range(count):
        yield "".join(
            random_source.choice(random_source.choice([symbols, words])) for _ in range(random_source.randint(1, 5))
        )


def case_of(tokenizer: Tokenizer, text: str) -> dict:
    ids, apart = tokenizer.encode(text).ids, ids_apart(tokenizer, text)
    return {"text": text, "ids": ids} if ids == apart else {"text": text, "ids": ids, "apart": apart}


def main() -> None:
    vocabulary_path = VECTORS / "vocabulary.txt"
    if sys.argv[1:2] == ["--train"]:
        vocabulary_path.write_text(
            "".join(f"{piece}\n" for piece in train_vocabulary(Path(sys.argv[2]))), encoding="utf-8"
        )
    pieces = vocabulary_path.read_text(encoding="utf-8").splitlines()
    tokenizer = bert_like(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))

    random_source = random.Random(20261124)
    texts = list(FIXED)
    texts += random_texts(random_source, 2000, [text for text in FIXED if " " in text.strip()])
    texts += class_texts(random_source, 600)
    texts += glued_texts(random_source, 400)
    cases = [case_of(tokenizer, text) for text in texts if valid(text)]

    lines = ",\n".join(json.dumps(case, ensure_ascii=True, separators=(",", ":")) for case in cases)
    (VECTORS / "nasty.json").write_text(
        '{"generated_by":"test/vectors/make_tokenizer.py","vocabulary":"vocabulary.txt","unk_id":1,"cases":[\n'
        + lines
        + "\n]}\n",
        encoding="utf-8",
    )
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    main()
