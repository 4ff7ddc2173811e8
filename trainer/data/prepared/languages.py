"""The language tag of a caption: what its source declares, unless the script of its letters says otherwise.

No detector is used. Captions are short (ten words of a title or of alt text), where trigram and fastText detectors are wrong often
and sure of it, Latin script most of all; a filter by such a tag would drop good captions silently. A script is a fact. So a tag is a
language where the source declares one that is written in that script, or where one language alone is commonly written in it; else it
is `und-` and the script as BCP 47 has it, such as `und-Latn`.
"""

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable

LETTERS = 64  # of a caption that are looked at: the script is clear by then
UNDETERMINED = "und"

# The first word of a letter's name in Unicode, and ISO 15924's code of the script.
SCRIPTS = {
    "LATIN": "Latn", "CYRILLIC": "Cyrl", "GREEK": "Grek", "ARABIC": "Arab", "HEBREW": "Hebr", "DEVANAGARI": "Deva",
    "BENGALI": "Beng", "TAMIL": "Taml", "TELUGU": "Telu", "THAI": "Thai", "GEORGIAN": "Geor", "ARMENIAN": "Armn",
    "HANGUL": "Hang", "HIRAGANA": "Kana", "KATAKANA": "Kana", "CJK": "Hani", "FULLWIDTH": "Latn", "HALFWIDTH": "Kana",
    "GUJARATI": "Gujr", "GURMUKHI": "Guru", "MALAYALAM": "Mlym", "KANNADA": "Knda", "MYANMAR": "Mymr", "KHMER": "Khmr",
    "LAO": "Laoo", "SINHALA": "Sinh", "ORIYA": "Orya", "THAANA": "Thaa", "ETHIOPIC": "Ethi", "TIBETAN": "Tibt",
    "SYRIAC": "Syrc", "MONGOLIAN": "Mong", "CHEROKEE": "Cher", "CANADIAN": "Cans", "TIFINAGH": "Tfng", "NKO": "Nkoo",
    "OL": "Olck", "MEETEI": "Mtei", "ADLAM": "Adlm", "VAI": "Vaii", "YI": "Yiii", "JAVANESE": "Java", "SUNDANESE": "Sund",
    "BALINESE": "Bali", "CHAKMA": "Cakm", "HANIFI": "Rohg", "NEWA": "Newa", "OSAGE": "Osge", "COPTIC": "Copt",
    "BOPOMOFO": "Bopo",
}  # fmt: skip
# Codes that mean one of these, or several together.
SAME = {
    "Hans": "Hani",
    "Hant": "Hani",
    "Jpan": "Kana Hani",
    "Hrkt": "Kana",
    "Hira": "Kana",
    "Kore": "Hang Hani",
    "Aran": "Arab",
}
# Scripts in which one language alone is commonly written. Chinese characters without kana are Chinese: Japanese captions have some.
SOLE = {"Grek": "el", "Hebr": "he", "Taml": "ta", "Telu": "te", "Thai": "th", "Geor": "ka", "Armn": "hy", "Hang": "ko", "Kana": "ja",
        "Hani": "zh", "Gujr": "gu", "Guru": "pa", "Mlym": "ml", "Knda": "kn", "Mymr": "my", "Khmr": "km", "Laoo": "lo", "Sinh": "si",
        "Orya": "or", "Thaa": "dv"}  # fmt: skip
# Languages by a script that they are written in, as CLDR has it: its likely script of each, and the second ones in use. All others
# are written in Latin script.
LANGUAGES = {
    "Cyrl": "ab alt av az ba be bg bs bua ce chm crh cu cv inh kaa kbd kk koi krc kum kv ky lez mdf mk mn mrj myv nog os ru rue sah sr tg"
            " tk tt tyv udm ug uk uz xal",
    "Arab": "aeb ar arq ars ary arz az bal bgn bqi brh ckb fa glk ha kk ks ku ky lrc ms mzn pa ps sd sdh skr tg tk ug ur uz",
    "Deva": "anp awa bgc bho brx doi hi hif kok kru ks mag mai mr ne new raj sa sat sd xnr",
    "Beng": "as bn bpy mni sat", "Hebr": "he jrb lad yi", "Ethi": "am byn gez ti tig wal", "Tibt": "bo dz", "Geor": "ka xmf",
    "Hani": "gan hak hsn ja ko lzh nan wuu yue zh", "Grek": "el grc pnt", "Knda": "kn tcy", "Mymr": "my mnw shn", "Syrc": "aii arc syr",
    "Mong": "mn mnc", "Cher": "chr", "Cans": "cr crj crk crl csw iu oj", "Tfng": "ber kab shi zen zgh", "Nkoo": "bm man nqo",
    "Olck": "sat", "Mtei": "mni", "Adlm": "ff", "Vaii": "vai", "Yiii": "ii", "Java": "jv", "Sund": "su", "Bali": "ban", "Cakm": "ccp",
    "Rohg": "rhg", "Newa": "new", "Osge": "osa", "Copt": "cop", "Bopo": "zh",
    "Latn": "az bm bs cr crh ff ha hif iu jv kaa kab kk kok ku ky lad man ms nan oj rhg sat shi sr su tg tk tt ug uz vai zgh",
}  # fmt: skip


def written_in() -> dict[str, set[str]]:
    """The scripts of each of these languages."""
    scripts = {language: {script} for script, language in SOLE.items()}
    for script, languages in LANGUAGES.items():
        for language in languages.split():
            scripts.setdefault(language, set()).add(script)
    return scripts


WRITTEN_IN = written_in()


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
    """The tag of a text: `declared` where it may be written in the script of the text, else what the script says."""
    script = script_of(text)
    if script is None:
        return UNDETERMINED
    if declared is not None and script in scripts_of(declared):
        return declared
    return SOLE.get(script, f"{UNDETERMINED}-{script}")


def scripts_of(tag: str) -> set[str]:
    """The scripts that a tag's language is written in: the one that it names (`sr-Latn`), else all that are known."""
    language, *rest = tag.split("-")
    named = next((part.title() for part in rest if len(part) == 4 and part.isalpha()), None)
    return WRITTEN_IN.get(language, {"Latn"}) if named is None else set(SAME.get(named, named).split())


def is_wanted(tag: str, wanted: Collection[str]) -> bool:
    """Whether a tag is among some, or begins with one: `zh` has `zh-Hant`, too. `und` is no language and has none below it."""
    parts = tag.lower().split("-")
    shortest = len(parts) if parts[0] == UNDETERMINED else 1
    beginnings = {"-".join(parts[:end]) for end in range(shortest, len(parts) + 1)}
    return any(each.lower() in beginnings for each in wanted)


def count_languages(texts: Iterable[str], declared: str | None) -> Counter[str]:
    """How many texts have each tag."""
    return Counter(language_of(text, declared) for text in texts)
