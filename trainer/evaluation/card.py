"""Figures of the dev sets in the card of a model."""

from evaluation.measure import Measured, shown_figures, tiers_of
from evaluation.registry import BY_NAME, DEV_SETS

MADE_FROM = "## Made from"


def with_dev_sets(card: str, measured: Measured) -> str:
    """The card with a table of the dev sets before what the model was made from."""
    tiers = tiers_of(measured)
    if not tiers:
        return card
    lines = [
        "## Measured on dev sets",
        "Per cent, as servers run it; ties count against the model.",
        "",
        f"| dev set | figure | {' | '.join(tiers)} |",
        f"|---|---|{'---|' * len(tiers)}",
    ]
    lines += [
        f"| {name} | {figure} | {' | '.join(values)} |" for name, figure, values in shown_figures(measured, DEV_SETS)
    ]
    lines += ["", *(f"- {name}: {BY_NAME[name].what}. Dev: {BY_NAME[name].why}." for name in measured["sets"]), ""]
    before, after = card.split(MADE_FROM, 1)
    return before + "\n".join(lines) + "\n" + MADE_FROM + after
