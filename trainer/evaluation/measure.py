"""Measures a model on dev sets: figures by set and tier."""

from collections.abc import Iterator, Sequence
from typing import Protocol, TypedDict

from evaluation.bench import Bench, Figures, Model, Place
from evaluation.registry import DevSet


class Measured(TypedDict):
    """Figures by set and tier, and why a set is missing."""

    sets: dict[str, dict[str, Figures]]
    left_out: dict[str, str]


def measure(
    model: Model,
    sets: Sequence[DevSet],
    place: Place,
    tiers: Sequence[str] | None = None,
    cost: float = 1.0,
) -> Measured:
    """Every tier (or the named ones) on every set whose files are in the data folder.

    Who measures several models tells the progress beforehand how much there is (`units`), and of each what a unit of it costs.
    """
    found: Measured = {"sets": {}, "left_out": {}}
    names = list(model.tiers if tiers is None else tiers)
    if place.progress.units == place.progress.begun:
        place.progress.expect(units(sets, place, names), cost)
    for dev_set in sets:
        missing = missing_file(dev_set, place)
        if missing is not None:
            found["left_out"][dev_set.name] = f"the data folder has no {missing}"
            continue
        of_set = found["sets"].setdefault(dev_set.name, {})
        for name in names:
            place.progress.begin(f"{dev_set.name}, {name}", cost, dev_set.lists)
            of_set[name] = dev_set.measure(Bench(model, model.tiers[name], place))
    return found


def units(sets: Sequence[DevSet], place: Place, tiers: Sequence[str]) -> int:
    """How many times a set is measured by a tier."""
    return len(tiers) * sum(missing_file(dev_set, place) is None for dev_set in sets)


def missing_file(dev_set: DevSet, place: Place) -> str | None:
    """The first file of a set that the data folder lacks."""
    return next((file for file in dev_set.files if not (place.data / file).exists()), None)


def beside(models: Sequence[Measured]) -> Measured:
    """Figures of several models as one: with more than one, a tier's name has the model's number before it."""
    if len(models) == 1:
        return models[0]
    sets: dict[str, dict[str, Figures]] = {}
    for number, measured in enumerate(models, 1):
        for name, of_set in measured["sets"].items():
            sets.setdefault(name, {}).update({f"{number}: {tier}": figures for tier, figures in of_set.items()})
    return {"sets": sets, "left_out": models[0]["left_out"]}


class Shown(Protocol):
    """A set of a table and the figures of it that are shown."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def shown(self) -> Sequence[str]: ...  # noqa: D102


def table(measured: Measured, rows: Sequence[Shown]) -> str:
    """The shown figures as people read them: a line for each, a column for each tier, per cent."""
    tiers = tiers_of(measured)
    if not tiers:
        return ""
    shown = {row.name: row.shown for row in rows}
    width = max(len(f"{name} {figure}") for name in measured["sets"] for figure in shown[name])
    widths = [max(7, len(tier) + 2) for tier in tiers]
    lines = [" " * width + "".join(f"{tier:>{wide}}" for tier, wide in zip(tiers, widths, strict=True))]
    for name, figure, values in shown_figures(measured, rows):
        cells = (f"{value:>{wide}}" for value, wide in zip(values, widths, strict=True))
        lines.append(f"{f'{name} {figure}':{width}}{''.join(cells)}")
    return "\n".join(lines)


def tiers_of(measured: Measured) -> list[str]:
    """All tiers that were measured on some set."""
    return list(dict.fromkeys(tier for of_set in measured["sets"].values() for tier in of_set))


def shown_figures(measured: Measured, rows: Sequence[Shown]) -> Iterator[tuple[str, str, list[str]]]:
    """(set, figure, per cent of every tier or nothing) of the figures to show that some tier has."""
    shown = {row.name: row.shown for row in rows}
    tiers = tiers_of(measured)
    for name, of_set in measured["sets"].items():
        for figure in shown[name]:
            values = [of_set.get(tier, {}).get(figure) for tier in tiers]
            if any(value is not None for value in values):
                yield name, figure, ["" if value is None else f"{100 * value:.1f}" for value in values]


def flat(measured: Measured) -> Figures:
    """`set.tier.figure`: the names that reports use."""
    return {
        f"{name}.{tier}.{figure}": value
        for name, of_set in measured["sets"].items()
        for tier, figures in of_set.items()
        for figure, value in figures.items()
    }
