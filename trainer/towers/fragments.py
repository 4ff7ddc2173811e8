"""Short phrases of captions: texts as people type them into a search box."""

import re
from collections import Counter
from collections.abc import Iterable

from towers.data import Row

# Words that end a phrase: what a caption has between two of them is what people type into a search box.
STOP_WORDS = set(
    [
        "a",
        "an",
        "the",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "being",
        "and",
        "or",
        "but",
        "of",
        "in",
        "on",
        "at",
        "to",
        "from",
        "by",
        "with",
        "without",
        "for",
        "as",
        "into",
        "onto",
        "over",
        "under",
        "near",
        "up",
        "down",
        "out",
        "off",
        "through",
        "across",
        "along",
        "around",
        "behind",
        "between",
        "beside",
        "while",
        "who",
        "which",
        "that",
        "this",
        "these",
        "those",
        "his",
        "her",
        "its",
        "their",
        "it",
        "he",
        "she",
        "they",
        "them",
        "there",
        "some",
        "several",
        "one",
        "two",
        "three",
        "four",
        "five",
        "has",
        "have",
        "had",
        "having",
        "do",
        "does",
        "doing",
        "very",
        "other",
        "another",
        "each",
        "next",
        "front",
        "back",
        "top",
        "side",
    ]
)


def fragments(captions: Iterable[str], limit: int) -> list[Row]:
    """The `limit` most common phrases of 1 to 4 words between stop words: texts as people type into a search box."""
    if limit == 0:
        return []
    counts: Counter[str] = Counter()
    for caption in captions:
        for part in re.split(r"[^\w\s'-]+", caption.lower()):
            phrase: list[str] = []
            for word in [*part.split(), "the"]:
                if word not in STOP_WORDS:
                    phrase.append(word)
                    continue
                if 1 <= len(phrase) <= 4:
                    counts[" ".join(phrase)] += 1
                phrase = []
    common = [phrase for phrase, count in counts.most_common(limit) if count >= 2]
    return [{"id": str(number), "captions": [phrase]} for number, phrase in enumerate(common)]
