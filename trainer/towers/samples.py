"""What every source of a recipe is, and one image of it with its captions, however it is stored."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from towers.data import Row
from towers.formats.details import Details
from towers.text.unicode import spelled, whole, whole_in


@dataclass(frozen=True)
class Source:
    """A pair source of a recipe as plain settings; `name` is that of its set, different from those of other sources."""

    split: str
    format: str
    path: str
    name: str
    set: str
    language: str | None = None
    image_column: str | None = None
    caption_column: str | None = None
    caption_fields: tuple[tuple[str, str], ...] = ()  # (role, field)
    label_column: str = "label"
    class_names: Path | None = None
    templates: tuple[str, ...] = ("{}",)
    only_open: bool = False
    hold_out_labels: float = 0.0
    own_split: str | None = None
    translated: tuple[tuple[str, str], ...] = ()  # (language, file)


@dataclass(frozen=True)
class Sample:
    """One image with its captions; `load` gives its bytes or raises an OSError. `about` goes into its row as it is.

    `roles`: what each caption is (`raw`, `short`, `long`), None where the recipe does not say. `details`: negatives and regions.
    `name`: what tells it from every other image of its file, whose key may be the same; empty where its key does.
    """

    key: str
    load: Callable[[], bytes]
    captions: list[str]
    about: Row = field(default_factory=dict)
    roles: list[str] | None = None
    details: Details = field(default_factory=dict)
    name: str = ""

    def caption(self, number: int) -> str:
        """A caption with single spaces between its words, without halves of surrogate pairs."""
        return " ".join(whole(self.captions[number]).split())

    @property
    def every_caption(self) -> list[str]:
        """All of them with single spaces."""
        return [self.caption(number) for number in range(len(self.captions))]


def storable(sample: Sample) -> Sample:
    """With a key, a name and a label that UTF-8 can hold, whatever the names of its file and its row are."""
    return replace(sample, key=spelled(sample.key), name=spelled(sample.name), about=whole_in(sample.about))


def captions_of(value: object) -> list[str]:
    """A caption, a list of captions, or a mapping with one of the usual keys, as a list of strings."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in captions_of(item)]
    if isinstance(value, dict):
        for name in ("captions", "caption", "text", "raw"):
            if name in value:
                return captions_of(value[name])
    return []


def captions_by_role(values: Row, source: Source) -> tuple[list[str], list[str]]:
    """(captions, their roles) from the fields that the source names; a field that is not there has none."""
    said = [(text, role) for role, name in source.caption_fields for text in captions_of(values.get(name))]
    return [text for text, _ in said], [role for _, role in said]
