"""A row of the table: a system, what it is made of, and what its columns need."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

SERVES = "serves"
COLUMNS = ("constructs", "loads", "trains", "exports", SERVES, "evaluates")
Target = Literal["clip_text", "features", "classifier_rows"]
Changes = Mapping[str, Mapping[str, Any]]


class NotRun(Exception):
    """A column that this machine or this repository does not run, and why."""


class Failed(Exception):
    """A column that does not do what it should."""


@dataclass(frozen=True)
class Tower:
    """An image tower: `write` puts its tiny twin into a folder in its public layout and returns its name for a recipe.

    `towers` are its rows of towers/image/table.py, `further` names of the libraries that the table does not have; the twin is of the last
    of them, and trained at `size` pixels.
    """

    name: str
    write: Callable[[Path], str]
    size: int
    target: Target
    towers: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    loss: Literal["softmax", "sigmoid"] = "softmax"


@dataclass(frozen=True)
class Language:
    """A text teacher: `write` puts its tiny twin into a folder and returns what a recipe says of it (`language_model`).

    `whole` builds the published model, and `parameters` is how many it has. `reference` gives the twin's features of some texts
    as its authors compute them. `stages` tune it before captions are embedded.
    """

    name: str
    write: Callable[[Path], dict[str, Any]]
    whole: Callable[[], Any]
    parameters: int
    reference: Callable[[Path, list[str]], Any]
    stages: tuple[str, ...] = ("mntp", "contrastive")


@dataclass(frozen=True)
class System:
    """A row: one tower, one teacher, and what its recipe changes of the small one, stage by stage.

    `about`: what it is, in a few words. `shows`: which side's columns `constructs` and `loads` are about. `own_texts`: the text encoder
    of the tower's checkpoint reads every text behind the teacher. `missing`: why none of its columns is run.
    """

    name: str
    about: str
    tower: Tower
    language: Language
    shows: tuple[Literal["tower", "language"], ...]
    changes: Changes = field(default_factory=dict)
    missing: str = ""
    own_texts: bool = False


@dataclass(frozen=True)
class Import:
    """A row of a checkpoint that is served as it is: `layout` names its twin in test/trainer/published_layouts.py.

    `published` is a model of that layout at full size, by the name that its library builds it with, and `millions` how many
    parameters it has as published, both towers together.
    """

    name: str
    about: str
    layout: str
    published: str
    millions: float


def near(apart: float) -> str:
    """A largest difference in words, before the name of what was compared with."""
    return "equal to those of" if apart == 0 else f"within {apart:.0e} of those of"
