"""Figures of the dev sets in the card of a model."""

from evaluation.measure import Measured
from evaluation.registry import BY_NAME

MADE_FROM = "## Made from"


def with_dev_sets(card: str, measured: Measured) -> str:
    """The card with a table of the dev sets before what the model was made from."""
    tiers = list(dict.fromkeys(tier for of_set in measured["sets"].values() for tier in of_set))
    if not tiers:
        return card
    lines = [
        "## Measured on dev sets",
        "Per cent, as servers run it; ties count against the model.",
        "",
        f"| dev set | figure | {' | '.join(tiers)} |",
        f"|---|---|{'---|' * len(tiers)}",
    ]
    for name, of_set in measured["sets"].items():
        for figure in BY_NAME[name].shown:
            values = [of_set.get(tier, {}).get(figure) for tier in tiers]
            if any(value is not None for value in values):
                cells = " | ".join("" if value is None else f"{100 * value:.1f}" for value in values)
                lines.append(f"| {name} | {figure} | {cells} |")
    lines += ["", *(f"- {name}: {BY_NAME[name].what}. Dev: {BY_NAME[name].why}." for name in measured["sets"]), ""]
    before, after = card.split(MADE_FROM, 1)
    return before + "\n".join(lines) + "\n" + MADE_FROM + after
