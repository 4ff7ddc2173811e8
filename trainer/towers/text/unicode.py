"""Texts that UTF-8 can hold: JSON's escapes may leave half of a surrogate pair, as of an emoji that was cut."""


def whole(text: str) -> str:
    """As a server reads a text (`toWellFormed` of ECMAScript): a half is U+FFFD, two that belong together are their character."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
