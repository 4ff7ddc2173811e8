"""Rows of text sources, field by field as their kind or format has them: one that is read as another type teaches something else.

A text in the place of several is a list of one, as in image sources. Null is a field that is not there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from towers.data import Row, each_row
from towers.text.unicode import composed, spelled, whole_in

Read = Callable[[Any], Any]  # the value of a field in its normal form, or `Unfit`


class Unfit(ValueError):
    """What a field has to be, as the end of a sentence."""


def a_text(value: Any) -> str:
    """A text."""
    if not isinstance(value, str):
        raise Unfit("a text")
    return value


def a_name(value: Any) -> str:
    """A text that says something."""
    if not isinstance(value, str) or not value.strip():
        raise Unfit("a text that is not empty")
    return value


def an_id(value: Any) -> str | int | float:
    """What rows are told apart by."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Unfit("a text or a number")
    return value


def texts(value: Any) -> list[str]:
    """Texts without empty ones; published long descriptions are {text, by}."""
    values = value if isinstance(value, list) else [value]
    found: list[str] = []
    for each in values:
        text = each.get("text") if isinstance(each, dict) else each
        if not isinstance(text, str):
            raise Unfit("a text, or a list of texts")
        found += [text] if text.strip() else []
    return found


def some_texts(value: Any) -> list[str]:
    """The same, one at least."""
    found = texts(value)
    if not found:
        raise Unfit("a text, or a list of at least one text")
    return found


def of_languages(read: Read) -> Read:
    """Values by language; null is none."""

    def by_language(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Unfit("an object of languages, such as {de: …}")
        try:
            return {language: read(said) for language, said in value.items() if said is not None}
        except Unfit as what:
            raise Unfit(f"an object whose languages each have {what}") from None

    return by_language


KNOWN = {"gloss": a_text, "hypernyms": texts, "descriptions": texts, "tr": of_languages(texts)}  # of a concept
TRANSLATED = "translated_captions"  # of a source of images
KINDS = ("groups", "long", "translations", "plain", "concepts")
# What every row of a kind, or of a format of concepts, has; and what of the rest is read.
NEEDED: dict[str, dict[str, Read]] = {
    "groups": {"id": an_id, "captions": texts},
    "long": {"id": an_id, "captions": some_texts},
    "translations": {"id": an_id},
    "plain": {"text": a_text},
    "concepts": {"name": a_name},
    "wordnet": {"id": an_id, "words": some_texts},
    "imagenet_classes": {"wnid": a_name, "name": a_name, "synonyms": texts},
    "class_descriptions": {"dataset": a_name, "class": a_name, "by": a_text, "texts": texts},
    "taxonomy": {"id": an_id, "en": some_texts},
    TRANSLATED: {"key": an_id, "captions": texts},
}
FURTHER: dict[str, dict[str, Read]] = {
    "groups": {"source": an_id},
    "translations": {"en": a_text},
    "concepts": {"id": an_id, "source": an_id, "names": texts, **KNOWN},
    "wordnet": KNOWN,
    "imagenet_classes": {**KNOWN, "cupl": texts, "dclip": texts, "babelnet": of_languages(a_text)},
}


def checked_rows(path: str, rows: Iterable[Any], kind: str) -> Iterator[Row]:
    """Rows of a kind or format with whole texts, their fields in normal form; any other is a ValueError with its file and number."""
    for number, row in enumerate(rows, 1):
        yield whole_in(checked(row, kind, f"{path}, row {number}"))


def checked(row: Any, kind: str, where: str) -> Row:
    """One of them, its texts as they are."""
    needed = NEEDED[kind]
    have = f"texts of {'kind' if kind in KINDS else 'format'} `{kind}` have {listed(needed)} in every row"
    if not isinstance(row, dict):
        raise ValueError(f"{where}: {have}, this one is no object but {shown(row)}")
    if any(name not in row for name in needed):
        raise ValueError(f"{where}: {have}, this one has {listed(row)}")
    further = FURTHER.get(kind, {})
    found = {name: value for name, value in row.items() if value is not None or name not in further}
    for name, read in {**further, **needed}.items():
        if name in found:
            try:
                found[name] = read(found[name])
            except Unfit as what:
                raise ValueError(f"{where}: `{name}` has to be {what}, not {shown(found[name])}") from None
    return found


def listed(names: Iterable[str]) -> str:
    """Names in a sentence."""
    return ", ".join(f"`{name}`" for name in names)


def shown(value: Any) -> str:
    """A value in a sentence, not all of a long one; null as JSON writes it."""
    return "null" if value is None else repr(value)[:80]


def captions_by_key(file: Path) -> Mapping[str, list[str]]:
    """The captions of images in another language, by the composed keys of the images."""
    rows = (checked(row, TRANSLATED, f"{file.name}, row {number}") for number, row in enumerate(each_row(file), 1))
    return {composed(spelled(str(row["key"]))): whole_in(row["captions"]) for row in rows}
