"""Which of a language model's texts are captions of the thing that was asked for; the others are dropped by reason."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from augment.items import Wanted
from towers.formats.item import plain

MARK = re.compile(r"^\s*(?:[-*•–]|\(?\d{1,3}[.):]|captions?\b[^:]{0,12}:|sentences?\b[^:]{0,12}:)\s*", re.IGNORECASE)
QUOTES = "\"'“”„«»‘’`"
# Talk about the task, refusals, questions, code and addresses.
TALK = re.compile(
    r"^(?:sure|certainly|of course|here (?:are|is)|okay|note\b|as an ai|i'm |i am |i |we |you |please |thing:|known:)"
    r"|\b(?:captions?|photographer|sentences?|language model|prompt)\b|https?:|www\.|[?{}<>\[\]|\\#=]|\*\*|\.\.\.|…",
    re.IGNORECASE,
)
SMALL = {
    "a", "an", "the", "of", "on", "in", "at", "is", "are", "it", "its", "this",
    "that", "these", "those", "with", "and", "or", "for", "from", "to", "by", "as", "be",
    "been", "was", "were", "has", "have", "there", "their", "they", "one", "two", "some", "any",
    "very", "not", "no", "into", "over", "under", "up", "down", "out", "off", "can", "which",
    "who",
}  # fmt: skip
NEAR = 0.8  # shared words of two texts that say the same
LEAST_WORDS = 3


def lines_of(text: str, *, ended: bool) -> tuple[list[str], int]:
    """(captions of an answer, one a line, without list marks and quotes; how many lines were cut off in the middle)."""
    lines = [cleaned(line) for line in text.splitlines()]
    lines = [line for line in lines if line]
    if not ended and lines and lines[-1][-1] not in ".!。！؟":
        return lines[:-1], 1
    return lines, 0


def cleaned(line: str) -> str:
    """A line without what models put around a caption."""
    before = None
    while line != before:
        before, line = line, MARK.sub("", line).strip().strip(QUOTES).strip()
    return " ".join(line.split())


class Judge:
    """Knows all class names, so that a caption of one that speaks of another is seen."""

    def __init__(self, names: Iterable[str], *, unseen: Iterable[str], max_words: int, language: str) -> None:
        self.names = {phrase for name in names if len(phrase := phrase_of(name)) > 2}
        self.sizes = {len(name.split()) for name in self.names}
        self.unseen = {phrase_of(word) for word in unseen}
        self.max_words = max_words
        # The words of the input are compared with those of the caption: that says nothing across languages.
        self.same_language = plain(language) == "english"

    def reason(self, text: str, item: Wanted, kept: Sequence[str]) -> str | None:
        """Why a text is dropped; None for one to keep."""
        words = words_of(text)
        # Texts without spaces between words (Chinese, Japanese, Thai) are long in characters instead.
        if len(words) < LEAST_WORDS and len(text) < 6 * LEAST_WORDS and self.same_language:
            return "too_short"
        if len(words) > self.max_words or len(text) > 8 * self.max_words:
            return "too_long"
        if TALK.search(text):
            return "not_a_caption"
        if is_loop(words):
            return "repeats_itself"
        if self.same_language and not is_about(words, item):
            return "off_topic"
        if any(f" {word} " in f" {phrase_of(text)} " for word in self.unseen):
            return "not_visible"
        if self.others_in(text, item):
            return "other_class"
        mine = content(words)
        for other in [*item.captions, *item.descriptions, *kept]:
            theirs = content(words_of(other))
            if plain(other) == plain(text) or (mine and len(mine & theirs) >= NEAR * len(mine | theirs)):
                return "repeat"
        return None

    def others_in(self, text: str, item: Wanted) -> list[str]:
        """Names of other classes in a caption; a name that belongs to what is known of this one is none."""
        known = f" {phrase_of(item.words())} "
        words = phrase_of(text).split()
        phrases = (" ".join(words[at : at + size]) for size in self.sizes for at in range(len(words) - size + 1))
        return [phrase for phrase in phrases if phrase in self.names and f" {phrase} " not in known]


def is_about(words: Sequence[str], item: Wanted) -> bool:
    """Whether a text speaks of the item at all.

    A name alone may mean something else (a Pink Lady that is no apple): where more is known, some of that has to occur, too.
    """
    said = content(words)
    name = content(words_of(item.name or ""))
    more = content(words_of(item.words())) - name
    if item.kind == "class" and more:
        return bool(said & more) and bool(said & (name | content(words_of(item.group or ""))))
    return bool(said & (name | more))


def words_of(text: str) -> list[str]:
    """Words in lower case."""
    return re.findall(r"\w+(?:'\w+)?", text.lower())


def phrase_of(text: str) -> str:
    """Words with one space between them, plurals made singular as far as an `s` goes."""
    return " ".join(stem(word) for word in words_of(text))


def stem(word: str) -> str:
    """`apples` and `apple` are one."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def content(words: Iterable[str]) -> set[str]:
    """The words that say something."""
    return {stem(word) for word in words if word not in SMALL}


def is_loop(words: Sequence[str]) -> bool:
    """Three words in a row twice, or one that says something four times."""
    triples = Counter(zip(words, words[1:], words[2:], strict=False))
    often = Counter(word for word in words if word not in SMALL)
    return max(triples.values(), default=0) > 1 or max(often.values(), default=0) > 3
