"""The part of `npm run evaluate` that measures suites: reads the folders, measures every model, prints a table or JSON."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from contracts.constants import EXIT_OK
from engine.folders.files import write_atomically
from engine.world import ALONE_ON_CPU, World
from evaluation.bench import Figures, Model
from evaluation.layouts.files import WrongLayout
from evaluation.measure import Measured, beside, table
from evaluation.open_model import open_model
from evaluation.progress import Progress
from evaluation.streaming.encoder import DTYPES, Encoder, Settings
from evaluation.suites.outcome import Outcome
from evaluation.suites.page import render
from evaluation.suites.table import BY_NAME, Suite


@dataclass(frozen=True)
class Given:
    """A suite and what its folder holds."""

    suite: Suite[Any]
    items: Any

    @property
    def parts(self) -> int:
        """How many units of progress it is for a tier."""
        return 1 if self.suite.parts is None else self.suite.parts(self.items)


@dataclass(frozen=True)
class Options:
    """What the command line says beside models and suites. `tiers`: empty for all."""

    cache: Path
    tiers: Sequence[str]
    threads: int
    dtype: str
    as_json: bool
    html: Path | None = None
    sample: int | None = None


def read_suites(named: Sequence[str]) -> list[Given]:
    """The suites of `NAME=PATH` words. Raises WrongLayout for an unknown name, a missing folder, or another layout."""
    found = []
    for word in named:
        name, is_pair, path = word.partition("=")
        if not is_pair or not path:
            raise WrongLayout(f"--suite {word}: write NAME=PATH, for instance --suite flickr30k=data/flickr30k")
        if name not in BY_NAME:
            raise WrongLayout(f"--suite: there is no suite {name}. There are: {', '.join(BY_NAME)}")
        if any(given.suite.name == name for given in found):
            raise WrongLayout(
                f"--suite {name} is given twice, and has one line of figures: measure one folder after the other"
            )
        suite, folder = BY_NAME[name], Path(path)
        if not folder.is_dir():
            raise WrongLayout(f"--suite {name}: the folder {folder} does not exist; expected is {suite.layout}")
        try:
            found.append(Given(suite, suite.read(folder)))
        except WrongLayout as error:
            raise WrongLayout(f"--suite {name}: {error}. Expected is {suite.layout}") from None
    return found


def measure_suites(
    models: Sequence[str], suites: Sequence[Given], options: Options, world: World = ALONE_ON_CPU
) -> int:
    """Every suite with every model; the figures go to standard output."""
    settings = Settings(
        options.cache / "suites",
        options.dtype,
        world=world,
        threads=options.threads or 4,
        progress=Progress(quiet=not world.leads),
        sample=options.sample,
    )
    opened = [open_model(name, options.threads, world.device) for name in models]
    check_tiers(options.tiers, opened)
    parts = sum(given.parts for given in suites)
    settings.progress.expect(parts * sum(len(own_tiers(model, options.tiers)) for model in opened))
    begun = [measure_model(model, suites, settings, options.tiers) for model in opened]
    if not world.leads:
        return EXIT_OK
    found = [finished(each) for each in begun]
    measured: list[Measured] = [{"sets": outcomes_as_figures(outcomes), "left_out": {}} for outcomes in found]
    rows = shown_rows(suites, measured)
    if options.html is not None:
        several = len(opened) > 1
        named = [
            (f"{number}: {model.title}" if several else model.title, outcomes)
            for number, (model, outcomes) in enumerate(zip(opened, found, strict=True), 1)
        ]
        write_atomically(options.html, render(page_sections(suites, rows, named)))
    if options.as_json:
        documents = [
            {"model": model.title, "space_id": model.space, "suites": outcomes_as_figures(outcomes)}
            for model, outcomes in zip(opened, found, strict=True)
        ]
        print(json.dumps(documents[0] if len(documents) == 1 else {"models": documents}))
        return EXIT_OK
    for number, model in enumerate(opened, 1):
        print(f"{f'{number}: ' if len(opened) > 1 else ''}{model.title}, {model.space}")
    print(f"per cent\n{table(beside(measured), rows)}")
    return EXIT_OK


Outcomes = dict[str, dict[str, Outcome]]  # by suite and tier
Begun = dict[str, dict[str, Outcome | Callable[[], Outcome]]]


def measure_model(model: Model, suites: Sequence[Given], settings: Settings, tiers: Sequence[str]) -> Begun:
    """Every suite with every tier of a model, as far as all processes take part; `finished` does the rest."""
    found: Begun = {}
    for given in suites:
        name = given.suite.name
        for tier in own_tiers(model, tiers):
            encoder = Encoder(model, model.tiers[tier], settings, f"{name}, {tier}")
            if given.suite.parts is None:
                settings.progress.begin(encoder.label)
            found.setdefault(name, {})[tier] = given.suite.measure(given.items, encoder)
    return found


def finished(begun: Begun) -> Outcomes:
    """What one process alone computes."""
    return {
        suite: {tier: found if isinstance(found, Outcome) else found() for tier, found in of_suite.items()}
        for suite, of_suite in begun.items()
    }


def own_tiers(model: Model, tiers: Sequence[str]) -> list[str]:
    """Of the tiers that were named (none: all) those that the model has."""
    return [tier for tier in model.tiers if not tiers or tier in tiers]


def check_tiers(tiers: Sequence[str], models: Sequence[Model]) -> None:
    """Refuse a tier that no model has."""
    there = dict.fromkeys(tier for model in models for tier in model.tiers)
    for tier in tiers:
        if tier not in there:
            raise WrongLayout(f"--tier: there is no tier {tier} here, but {', '.join(there)}")


def outcomes_as_figures(outcomes: Outcomes) -> dict[str, dict[str, Figures]]:
    """Without the queries."""
    return {suite: {tier: found.figures for tier, found in of_suite.items()} for suite, of_suite in outcomes.items()}


@dataclass(frozen=True)
class ShownRow:
    """A suite of the table with the figures that its patterns mean."""

    name: str
    shown: Sequence[str]


def shown_rows(suites: Sequence[Given], measured: Sequence[Measured]) -> list[ShownRow]:
    """The figures to show of every suite, in the order of its patterns."""
    rows = []
    for suite in (given.suite for given in suites):
        figures = dict.fromkeys(
            name for each in measured for of_tier in each["sets"].get(suite.name, {}).values() for name in of_tier
        )
        chosen = (name for pattern in suite.shown for name in figures if fnmatchcase(name, pattern))
        rows.append(ShownRow(suite.name, list(dict.fromkeys(chosen))))
    return rows


def page_sections(
    suites: Sequence[Given], rows: Sequence[ShownRow], models: Sequence[tuple[str, Outcomes]]
) -> list[tuple[str, str, dict[str, Outcome], Sequence[str]]]:
    """What the page shows of each suite: a column for each tier of each model, by both names."""
    return [
        (
            given.suite.name,
            given.suite.what,
            {
                f"{title}, {tier}": found
                for title, outcomes in models
                for tier, found in outcomes[given.suite.name].items()
            },
            row.shown,
        )
        for given, row in zip(suites, rows, strict=True)
    ]


FEATURES = tuple(DTYPES)
