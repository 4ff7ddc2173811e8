"""The language tag of a caption: what its source declares, unless the script of its letters says otherwise.

No detector is used. Captions are short (ten words of a title or of alt text), where trigram and fastText detectors are wrong often
and sure of it, Latin script most of all; a filter by such a tag would drop good captions silently. A script is a fact. So a tag is a
language where the source declares one that is written in that script, or where one language alone is commonly written in it; else it
is `und-` and the script as BCP 47 has it, such as `und-Latn`.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable

LETTERS = 64  # of a caption that are looked at: the script is clear by then
UNDETERMINED = "und"

# The first word of a letter's name in Unicode, and ISO 15924's code of the script.
SCRIPTS = {
    "LATIN": "Latn", "CYRILLIC": "Cyrl", "GREEK": "Grek", "ARABIC": "Arab", "HEBREW": "Hebr", "DEVANAGARI": "Deva",
    "BENGALI": "Beng", "TAMIL": "Taml", "TELUGU": "Telu", "THAI": "Thai", "GEORGIAN": "Geor", "ARMENIAN": "Armn",
    "HANGUL": "Hang", "HIRAGANA": "Kana", "KATAKANA": "Kana", "CJK": "Hani", "FULLWIDTH": "Latn", "HALFWIDTH": "Kana",
}  # fmt: skip
# Scripts in which one language alone is commonly written. Chinese characters without kana are Chinese: Japanese captions have some.
SOLE = {"Grek": "el", "Hebr": "he", "Taml": "ta", "Telu": "te", "Thai": "th", "Geor": "ka", "Armn": "hy", "Hang": "ko", "Kana": "ja",
        "Hani": "zh"}  # fmt: skip
# Languages by the script they are written in, where that is not Latin; those of `SOLE` besides.
WRITTEN_IN = {
    "ru": "Cyrl", "uk": "Cyrl", "be": "Cyrl", "bg": "Cyrl", "mk": "Cyrl", "sr": "Cyrl", "kk": "Cyrl", "ky": "Cyrl",
    "mn": "Cyrl", "tg": "Cyrl", "ar": "Arab", "fa": "Arab", "ur": "Arab", "ps": "Arab", "ug": "Arab", "hi": "Deva",
    "mr": "Deva", "ne": "Deva", "bn": "Beng", "as": "Beng",
} | {language: script for script, language in SOLE.items()}  # fmt: skip


def script_of(text: str) -> str | None:
    """The script of most of a text's first letters; None without a letter. Any kana makes Chinese characters Japanese."""
    if text.isascii():
        return "Latn" if any(map(str.isalpha, text)) else None
    found: Counter[str] = Counter()
    letters = 0
    for character in text:
        if character.isalpha():
            name = unicodedata.name(character, "").partition(" ")[0]
            found[SCRIPTS.get(name, "Zyyy")] += 1
            letters += 1
            if letters == LETTERS:
                break
    if found["Kana"]:
        found["Kana"] += found.pop("Hani", 0)
    return found.most_common(1)[0][0] if found else None


def language_of(text: str, declared: str | None) -> str:
    """The tag of a text: `declared` where its script is that of the text, else what the script says."""
    script = script_of(text)
    if script is None:
        return UNDETERMINED
    if declared is not None and WRITTEN_IN.get(declared.partition("-")[0], "Latn") == script:
        return declared
    return SOLE.get(script, f"{UNDETERMINED}-{script}")


def count_languages(texts: Iterable[str], declared: str | None) -> Counter[str]:
    """How many texts have each tag."""
    return Counter(language_of(text, declared) for text in texts)
