"""What people do to texts: typing errors, emoji beside words; and captions that say something else in almost the same words."""

import random
import re

NEIGHBOURS = {  # keys beside each other on a QWERTY keyboard
    letter: row[max(0, at - 1) : at] + row[at + 1 : at + 2]
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for at, letter in enumerate(row)
}
SYMBOLS = (
    [chr(code) for code in range(0x1F300, 0x1FA70)]  # pictographs, emoticons, transport, symbols
    + [chr(code) for code in range(0x2190, 0x2BFF)]
    + list("!?.,;:*#@&%+=~^|$€£¥§©®™°•…’“”")
)
FOREIGN = [(0x0531, 0x0587), (0x0905, 0x0939), (0x0E01, 0x0E30), (0x10D0, 0x10F0), (0x3041, 0x30FA), (0xAC00, 0xD7A3)]
MIN_WORD = 4  # letters: what is left of a shorter word after an error may be another word
DETERMINERS = frozenset(
    [
        "a",
        "an",
        "the",
        "his",
        "her",
        "their",
        "its",
        "two",
        "three",
        "four",
        "some",
        "several",
        "many",
        "one",
        "another",
    ]
)
COLOURS = frozenset(
    [
        "black",
        "white",
        "red",
        "blue",
        "green",
        "yellow",
        "brown",
        "orange",
        "pink",
        "purple",
        "gray",
        "grey",
        "tan",
        "golden",
        "dark",
        "light",
        "young",
        "old",
        "small",
        "large",
        "big",
        "little",
        "tall",
        "short",
        "long",
        "wooden",
        "empty",
        "wet",
        "snowy",
        "grassy",
        "rocky",
    ]
)
FUNCTION_WORDS = DETERMINERS | frozenset(
    [
        "and",
        "or",
        "with",
        "without",
        "in",
        "on",
        "at",
        "of",
        "to",
        "from",
        "by",
        "for",
        "is",
        "are",
        "was",
        "were",
        "near",
        "over",
        "under",
        "while",
        "as",
        "it",
        "he",
        "she",
        "they",
        "that",
        "which",
        "who",
        "there",
        "this",
        "up",
        "down",
        "into",
        "through",
        "behind",
        "front",
        "next",
        "no",
        "not",
    ]
)


def with_typing_errors(text: str, rng: random.Random) -> str:
    """A text with one mistyped word, or two in a longer one; the first letter of a word stays."""
    words = text.split(" ")
    long = [number for number, word in enumerate(words) if sum(c.isalpha() for c in word) >= MIN_WORD]
    for number in rng.sample(long, min(len(long), 1 + (len(long) > 4))):
        words[number] = mistyped(words[number], rng)
    return " ".join(words)


def mistyped(word: str, rng: random.Random) -> str:
    """A word with two letters swapped, one left out, doubled or replaced by a key beside it."""
    at = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[:at] + word[at] + word[at:]
    letters = NEIGHBOURS.get(word[at].lower())
    return word[:at] + rng.choice(letters) + word[at + 1 :] if letters else word


def with_symbols(text: str, rng: random.Random) -> str:
    """A text with emoji, signs or a foreign word before, behind or between its words, glued to one of them or not."""
    if rng.random() < 0.3:
        low, high = rng.choice(FOREIGN)
        added = "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 5)))
        glue = " "
    else:
        added = "".join(rng.choice(SYMBOLS) for _ in range(rng.randint(1, 3)))
        glue = rng.choice(["", " "])
    words = text.split(" ")
    at = rng.choice([0, len(words), len(words), rng.randint(0, len(words))])
    if at == 0:
        return f"{added}{glue}{text}"
    return " ".join([*words[: at - 1], f"{words[at - 1]}{glue}{added}", *words[at:]])


def contradiction(caption: str, rng: random.Random) -> str | None:
    """An English caption of which two nouns or adjectives changed places, or something is negated; None where none fits.

    As SugarCrepe's swaps and additions (2306.14610), by rules instead of a language model.
    """
    kinds = [swapped, negated] if rng.random() < 0.7 else [negated, swapped]
    for kind in kinds:
        found = kind(caption, rng)
        if found is not None and found.lower() != caption.lower():
            return found
    return None


def swapped(caption: str, rng: random.Random) -> str | None:
    """Two adjectives of the list, or two words after determiners, in each other's place."""
    words = caption.split(" ")
    lower = [word.lower() for word in words]
    adjectives = [n for n, word in enumerate(lower) if word in COLOURS]
    nouns = [
        n for n in range(1, len(words))
        if lower[n - 1] in DETERMINERS and lower[n].isalpha() and lower[n] not in FUNCTION_WORDS | COLOURS
    ]  # fmt: skip
    for places in rng.sample([adjectives, nouns], 2):
        if len({lower[n] for n in places}) >= 2:
            a, b = rng.sample(places, 2)
            if lower[a] != lower[b]:
                words[a], words[b] = words[b], words[a]
                return " ".join(words)
    return None


def negated(caption: str, rng: random.Random) -> str | None:
    """`with` becomes `without` and the other way round; `is` and `are` get a `not`; `there is a` becomes `there is no`."""
    choices = [
        re.sub(pattern, replacement, caption, count=1)
        for pattern, replacement in (
            (r"\bwith\b", "without"),
            (r"\bwithout\b", "with"),
            (r"\b(there (?:is|are)) (?:an?|the|some)\b", r"\1 no"),
            (r"\b(is|are) (\w+ing)\b", r"\1 not \2"),
            (r"\bin an? (\w+)\b", r"without a \1"),
        )
        if re.search(pattern, caption)
    ]
    return rng.choice(choices) if choices else None
