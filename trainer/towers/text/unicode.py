"""Texts and names that UTF-8 can hold. JSON's escapes leave halves of surrogate pairs in a text, and Python puts one in the place of each byte of a file's name that is not UTF-8."""

import unicodedata
from typing import Any


def whole(text: str) -> str:
    """As a server reads a text (`toWellFormed` of ECMAScript): a half is U+FFFD, two that belong together are their character."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def whole_in(value: Any) -> Any:
    """The same of every text in a value of JSON, names of fields among them."""
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, list):
        return [whole_in(each) for each in value]
    if isinstance(value, dict):
        return {whole(name): whole_in(each) for name, each in value.items()}
    return value


def composed(text: str) -> str:
    """Letters with their marks as one character each (NFC): what looks the same and says the same is one text, as names are compared."""
    return unicodedata.normalize("NFC", text)


def spelled(name: str) -> str:
    r"""A name by which something is found again, each half as its escape (`caf\udce9`): two names stay two, which U+FFFD would make one."""
    return name.encode("utf-8", "backslashreplace").decode()
