"""What rows say of a picture beside its captions: texts that are false of it (`negatives`), and boxes with phrases (`regions`).

The names are fixed, and the same in JSON lines, Parquet, JSON documents and the members of tars. A reader takes the fields as they
are (`raw_details`); who makes shards of them has them checked (`checked_details`).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from towers.formats.item import FormatError
from towers.text.unicode import whole

NEGATIVES, REGIONS = "negatives", "regions"
Details = dict[str, list[Any]]  # by the name of the field, of those that are there


def raw_details(values: Mapping[str, Any]) -> Details:
    """The fields of a row that hold something; what is no list is a list of one."""
    found = {name: values.get(name) for name in (NEGATIVES, REGIONS)}
    return {
        name: value if isinstance(value, list) else [value]
        for name, value in found.items()
        if value is not None and value != "" and value != []
    }


def joined_details(parts: Iterable[Details]) -> Details:
    """Those of several rows of one picture, in their order."""
    joined: Details = {}
    for part in parts:
        for name, values in part.items():
            joined[name] = [*joined.get(name, []), *values]
    return joined


def checked_details(raw: Details, where: str) -> Details:
    """Texts with single spaces, and regions {box, text, negatives?}; anything else is an error that says where it is."""
    found: Details = {}
    if NEGATIVES in raw:
        found[NEGATIVES] = [text_of(value, f"{where}: {NEGATIVES}") for value in raw[NEGATIVES]]
    if REGIONS in raw:
        found[REGIONS] = [
            region_of(value, f"{where}: {REGIONS}[{number}]") for number, value in enumerate(raw[REGIONS])
        ]
    return found


def text_of(value: Any, what: str) -> str:
    """A text with single spaces between its words, without halves of surrogate pairs."""
    if not isinstance(value, str):
        raise FormatError(
            f"{what}: has to be text, not {value!r}; a column that means something else needs another name"
        )
    return " ".join(whole(value).split())


def region_of(value: Any, what: str) -> dict[str, Any]:
    """{box [left, top, right, bottom], text, negatives} of a region; without negatives there is no such key.

    Numbers of the box are as they are: whether they lie in the picture is asked when what is unusable is left out.
    """
    if not isinstance(value, Mapping):
        raise FormatError(
            f"{what}: has to be {{box, text}}, not {value!r}; a column that means something else needs another name"
        )
    unknown = sorted(set(value) - {"box", "text", NEGATIVES})
    if unknown:
        raise FormatError(f"{what}: unknown keys {', '.join(unknown)}; a region has box, text and perhaps {NEGATIVES}")
    box = value.get("box")
    if not isinstance(box, list | tuple) or len(box) != 4 or not all(is_number(side) for side in box):
        raise FormatError(
            f"{what}.box: has to be [left, top, right, bottom] in fractions of the picture's width and height, not {box!r}"
        )
    region: dict[str, Any] = {"box": [float(side) for side in box], "text": text_of(value.get("text"), f"{what}.text")}
    negatives = [text_of(text, f"{what}.{NEGATIVES}") for text in raw_details(value).get(NEGATIVES, [])]
    return region | ({NEGATIVES: negatives} if negatives else {})


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)
