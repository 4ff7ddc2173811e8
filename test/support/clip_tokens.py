"""CLIP's published vocabulary, 2,000 nasty texts, and their ids by transformers' CLIPTokenizer, as JSON on standard output."""

import json
import random
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "trainer"), str(ROOT / "contracts/python"), str(ROOT / "test/trainer")]

import towers  # noqa: E402, F401  (makes transformers importable beside a CPU build of torch)

COUNT = 2000
KNOWN = [
    "dog ", "Running", "DON'T", "we'll", "'s", "'", "''", "3.14159", "1234567890", "½", "²", "Ⅷ", "٣", "狗", "雪地", "한국어", "ᄒ", "ᅡ", "ᆫ",
    " ", "\n", "\t", "\u3000", "\u00a0", "\u0085", "\u2028", "\u200b", "\u200d", "\ufeff", "e\u0301", "\u0301", "\u0345", "\u0323\u0307",
    "ﬁ", "İ", "ı", "ß", "ẞ", "ς", "Σ", "ΣΑΣ", "ǅ", "Å", "Ω", "\u0958", "\u09c7\u09be", "\u0344", "豈", "👍🏽", "👩‍👩‍👧", "🇩🇪", "\U0001d400",
    "<|endoftext|>", "<|STARTOFTEXT|>", "<|", "|>", "!?", "…", "—", "_", "a_b", "<b>&amp;</b>", "\x00", "\x1f", "\x7f", "\ufffd", "中a1", "naïve",
    "ﷺ", "\u1e9b\u0323", "\u0f73", "𐀀", "\ue000", "\U0010ffff",
]  # fmt: skip


def texts() -> list[str]:
    """The same ones every time."""
    draw = random.Random(20261127)

    def piece() -> str:
        if draw.random() < 0.6:
            return draw.choice(KNOWN)
        most = draw.choice([0x7F, 0x250, 0x3000, 0xFFFF, 0x10FFFF])
        return "".join(chr(code) for _ in range(3) if not 0xD800 <= (code := draw.randint(0, most)) <= 0xDFFF)

    made = ["".join(piece() for _ in range(draw.randint(0, 30))) for _ in range(COUNT - 3)]
    return [*made, "a" * 3000, "狗" * 1000, "abcdefghij" * 300]


def main() -> None:
    """Print the document."""
    from published_clip import END, START, clip_files, clip_tokenizer

    ids, merges = clip_files()
    nasty = texts()
    found = clip_tokenizer(split_special_tokens=True)(nasty, add_special_tokens=False)["input_ids"]
    files = {"vocabulary": "".join(f"{piece}\n" for piece in ids), "merges": "".join(f"{line}\n" for line in merges)}
    print(json.dumps({**files, "start": ids[START], "end": ids[END], "texts": nasty, "ids": found}))


if __name__ == "__main__":
    main()
