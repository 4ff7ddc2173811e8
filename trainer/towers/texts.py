"""Reads text sources into the normal form of their kind; formats of published lists of concepts become rows of one shape.

A concept is what is known of one thing: {"id", "source", "name", "names" (synonyms, `name` first), "gloss" (or None),
"hypernyms" (nearest first), "descriptions" (sentences), "tr": {language: [names]}}.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from contracts.types import TextSource
from towers.data import Row, each_row
from towers.text_rows import checked_rows


def each_text(root: Path, source: TextSource) -> Iterator[Row]:
    """Rows of one text source, one by one; only a format of concepts is read whole.

    A source that keeps nothing is an error: its name, its filter or its format is wrong. So is a row that its kind does not have.
    """
    count = left = 0

    def wanted() -> Iterator[Row]:
        nonlocal count
        read = each_row(root / source["path"])
        for row in checked_rows(source["path"], read, source.get("format", source["kind"])):
            count += 1
            if "sources" not in source or row.get("source") in source["sources"]:
                yield row

    only_open = source.get("only_open", False)
    if source["kind"] != "concepts":
        if "format" in source:
            raise ValueError(f"{source['path']}: `format` is for texts of kind `concepts`, not `{source['kind']}`")
        rows = (normalised(source["kind"], row) for row in wanted() if not only_open or row.get("open") is True)
    elif "format" in source:
        rows = FORMATS[source["format"]](list(wanted()), only_open=only_open)
    else:
        # Numbered before the filter: a row without an id keeps its number whatever is left out.
        rows = (
            normal_concept(number, row)
            for number, row in enumerate(wanted())
            if not only_open or row.get("open") is True
        )
    for row in rows:
        left += 1
        yield row
    if left == 0:
        raise ValueError(f"{source['path']}: none of its {count} rows is left (filters: {filters(source)})")


def filters(source: TextSource) -> str:
    """What a source says about which rows it wants."""
    named = [f"{name} {value}" for name, value in source.items() if name in ("sources", "format", "only_open")]
    return ", ".join(named) or "none"


def normalised(kind: str, row: Row) -> Row:
    """A text row with only the fields that later stages read."""
    if kind == "long":
        return {"id": row["id"], "captions": row["captions"]}
    if kind == "groups":
        return {"id": row["id"], "source": row.get("source", ""), "captions": row["captions"]}
    return row


def joined_translations(rows: Iterable[Row]) -> list[Row]:
    """Rows of one `id` as one row, whatever files they come from; only those that have English, in the order of it."""
    by_id: dict[str, Row] = {}
    for row in rows:
        by_id.setdefault(row["id"], {}).update({key: text for key, text in row.items() if text})
    return [row for row in by_id.values() if "en" in row]


# ---- concepts ------------------------------------------------------------------------------------------------------


def concept(row: Row) -> Row:
    """A concept in its normal form from {id, source, names} and whatever else is known of it."""
    names = distinct(row["names"])
    return {
        "id": f"{row['source']}:{row['id']}",
        "source": row["source"],
        "name": names[0],
        "names": names,
        "gloss": row.get("gloss") or None,
        "hypernyms": distinct(row.get("hypernyms", [])),
        "descriptions": distinct(text.strip().strip('"') for text in row.get("descriptions", [])),
        "tr": {language: distinct(words) for language, words in row.get("tr", {}).items() if words},
    }


def distinct(texts: Iterable[str]) -> list[str]:
    """Texts without empty ones and without those that repeat an earlier one in other letters."""
    kept: dict[str, str] = {}
    for text in texts:
        if text:
            kept.setdefault(text.casefold(), text)
    return list(kept.values())


def normal_concept(number: int, row: Row) -> Row:
    """A row that is in the normal form already: `name` is there, everything else may be."""
    source = row.get("source", "own")
    identifier = str(row.get("id", number)).removeprefix(f"{source}:")
    return concept({**row, "id": identifier, "source": source, "names": [row["name"], *row.get("names", [])]})


def from_wordnet(rows: list[Row], *, only_open: bool) -> list[Row]:
    """Open English WordNet (CC BY 4.0) with open translations: everything in it is under an open licence."""
    del only_open
    return [concept({**row, "source": "wordnet", "names": row["words"]}) for row in rows]


def from_imagenet_classes(rows: list[Row], *, only_open: bool) -> list[Row]:
    """ImageNet's classes: WordNet's parts are open; GPT-3's descriptions and BabelNet's names state no open licence."""
    found = []
    for row in rows:
        tr: dict[str, list[str]] = {language: list(words) for language, words in row.get("tr", {}).items()}
        descriptions: list[str] = []
        if not only_open:
            for language, name in row.get("babelnet", {}).items():
                tr[language] = [*tr.get(language, []), name]
            features = (described(row["name"], feature) for feature in row.get("dclip", []))
            descriptions = [*row.get("cupl", []), *features]
        named = {"id": row["wnid"], "source": "imagenet", "names": [row["name"], *row["synonyms"]]}
        found.append(concept({**row, **named, "descriptions": descriptions, "tr": tr}))
    return found


def from_class_descriptions(rows: list[Row], *, only_open: bool) -> list[Row]:
    """Descriptions of the classes of public data sets, those of one class together. No licence is stated."""
    if only_open:
        return []
    classes: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        name = row["class"].replace("_", " ")
        texts = [described(name, text) for text in row["texts"]] if row["by"] == "DCLIP" else row["texts"]
        classes.setdefault((row["dataset"], name), []).extend(texts)
    return [
        concept({"id": name, "source": dataset, "names": [name], "descriptions": texts})
        for (dataset, name), texts in classes.items()
    ]


def from_taxonomy(rows: list[Row], *, only_open: bool) -> list[Row]:
    """A tree of products: a row has the English path from the top, and the last name of it in other languages."""
    if only_open:
        return []
    found = []
    for row in rows:
        *above, name = row["en"]
        tr = {
            language: [text] for language, text in row.items() if language not in {"id", "en"} and isinstance(text, str)
        }
        found.append(
            concept({"id": row["id"], "source": "taxonomy", "names": [name], "hypernyms": above[::-1], "tr": tr})
        )
    return found


def described(name: str, feature: str) -> str:
    """A sentence of a class and one of its features, as Menon and Vondrick (2210.07183) join them."""
    if re.match(r"(a|an|the|used)\b", feature):
        return f"{name}, which is {feature}"
    if re.match(r"(has|have|is|are|often|typically|may|can)\b", feature):
        return f"{name}, which {feature}"
    return f"{name}, which has {feature}"


FORMATS: dict[str, Any] = {
    "wordnet": from_wordnet,
    "imagenet_classes": from_imagenet_classes,
    "class_descriptions": from_class_descriptions,
    "taxonomy": from_taxonomy,
}
