"""The words of a command line: an empty one is refused by its place, for every command in Python as for those in TypeScript."""

from collections.abc import Sequence


def empty_word(words: Sequence[str]) -> str | None:
    """The sentence that refuses a word, or an option's value, without text; None where there is none.

    Such as of a variable of the shell that is not set: as a path it would be the folder where the user stands.
    """
    for number, (before, word) in enumerate(zip(["", *words], words, strict=False), 1):
        option, equals, value = word.partition("=")
        if option.startswith("--") and equals and not value.strip():
            return refused(option)
        if not word.strip():
            return refused(f"the argument after {before}" if before.startswith("-") else f"argument {number}")
    return None


def refused(place: str) -> str:
    """The sentence."""
    return f"{place} is empty: give it a value, or leave it out"
