"""The claims as a Markdown table, and as the block of a page between two comments."""

from pathlib import Path

from evaluation.claims.answers import NOT_RUN, Answer, Answered, Arm

BEGIN = "<!-- Written by `npm run claims -- --write-docs`. Change trainer/evaluation/claims/table.py and run that. -->"
END = "<!-- The end of what it wrote. -->"
HEAD = ("claim", "in the paper", "measured here", "with", "without", "difference", "", "run by")


class NoBlock(ValueError):
    """A page that has no place for the table."""


def table(claims: list[Answered]) -> str:
    """A line for each question, columns as wide as their longest cell."""
    rows: list[tuple[str, ...]] = [HEAD]
    seeds = seeds_in(claims)
    for claim in claims:
        for number, found in enumerate(claim["answers"]):
            source = f" ({claim['source']})" if claim["source"] else ""
            told = (claim["claim"], claim["paper"] + source) if number == 0 else ("", "")
            rows.append(
                (*told, found["what"], *cells(found), f"{found['verdict']}{notes(found, seeds)}", f"`{found['run']}`")
            )
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(HEAD))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "| " + " | ".join("-" * width for width in widths) + " |", *lines[1:]])


def cells(found: Answer) -> tuple[str, str, str]:
    """Both arms and their difference, in per cent; empty where nothing was run."""
    more, than, difference = found.get("more"), found.get("than"), found.get("difference")
    if more is None or than is None or difference is None:
        return "", "", ""
    low, high = found.get("low"), found.get("high")
    interval = "" if low is None or high is None else f" [{100 * low:+.1f}, {100 * high:+.1f}]"
    return arm(more), arm(than), f"{100 * difference:+.1f}{interval}"


def notes(found: Answer, seeds: list[int]) -> str:
    """What a line has otherwise than most: arms that were not trained on the same kind of device, whose rounding differs, too, and
    fewer seeds than some other line."""
    kinds = [" and ".join(arm["devices"]) for arm in (found.get("more"), found.get("than")) if arm and arm["devices"]]
    told = [" against ".join(kinds)] if len(set(kinds)) > 1 else []
    if found["seeds"] and found["seeds"] != seeds:
        told.append(told_seeds(found["seeds"]))
    return f" ({'; '.join(told)})" if told else ""


def seeds_in(claims: list[Answered]) -> list[int]:
    """All that some line has."""
    return sorted({seed for claim in claims for found in claim["answers"] for seed in found["seeds"]})


def told_seeds(seeds: list[int]) -> str:
    """`seed 1`, `seeds 1, 2`."""
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def arm(found: Arm) -> str:
    """`base` 52.4 ± 0.3."""
    deviation = f" ± {100 * found['sd']:.1f}" if "sd" in found else ""
    return f"`{found['name']}` {100 * found['mean']:.1f}{deviation}"


def summary(claims: list[Answered]) -> str:
    """How much has been run."""
    answers = [found for claim in claims for found in claim["answers"]]
    ran = [found for found in answers if found["verdict"] != NOT_RUN]
    seeds = f", {told_seeds(seeds_in(claims))} where a line says no others" if ran else ""
    return f"{len(ran)} of {len(answers)} questions have figures{seeds}"


def write_block(page: Path, claims: list[Answered]) -> None:
    """Put the table between the two comments of a page."""
    before, found, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise NoBlock(f"{page} has no place for the table: write the lines\n{BEGIN}\n{END}\nwhere it is to be")
    text = f"{before}{BEGIN}\n\n{table(claims)}\n\n{summary(claims)}.\n\n{END}{after}"
    page.write_text(text, encoding="utf-8")
