"""Runs measurements within a time limit, with what is left of it on standard error, and prints their rows as a table."""

import math
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from bench.rounds import Row


class Item(NamedTuple):
    """Something to measure: `seconds` that it is thought to take."""

    name: str
    seconds: float
    measure: Callable[[], Iterable[Row]]


def run_items(items: list[Item], started: float, limit: float) -> list[Row]:
    """The rows of all; what is thought to end after the limit is left out, on a slower machine sooner."""
    rows: list[Row] = []
    planned = taken = 0.0
    for number, item in enumerate(items, 1):
        before = time.monotonic()
        spent = before - started
        # What was planned so far took `taken` seconds: the rest is thought to be off by the same factor.
        factor = max(1.0, taken / planned) if planned else 1.0
        expected, rest = factor * item.seconds, factor * sum(later.seconds for later in items[number - 1 :])
        to_go = max(0.0, min(rest, limit - spent))
        print(
            f"[{number}/{len(items)}] {item.name}: {spent:.0f} s so far, about {to_go:.0f} s to go",
            file=sys.stderr,
            flush=True,
        )
        if spent + expected > limit:
            minutes = math.ceil(2 * expected / 60)
            how = f"--only '{item.name}' --minutes {minutes}"
            rows.append(
                {
                    "what": item.name,
                    "unit": "",
                    "left_out": f"takes about {expected:.0f} s, {max(0, limit - spent):.0f} s are left: {how}",
                }
            )
            continue
        try:
            rows.extend(rounded(row) for row in item.measure())
        except Exception as error:  # the others are measured all the same
            said = str(error).strip().splitlines() or [""]
            reason = f"{type(error).__name__}: {said[0][:200]}"
            rows.append({"what": item.name, "unit": "", "left_out": reason, "failed": True})
        planned, taken = planned + item.seconds, taken + time.monotonic() - before
    return rows


def rounded(row: Row) -> Row:
    """With the digits of a figure that mean something."""
    return {**row, "value": float(f"{row['value']:.4g}")} if "value" in row else row


def table(result: dict[str, Any]) -> str:
    """As people read it; the same style as `npm run bench`."""
    machine = result["machine"]
    lines = [
        f"{machine['device']}, {machine['threads']} threads, {machine['dtype']}, {result['seconds']:.0f} s",
        ", ".join(f"{name} {found}" for name, found in result["versions"].items()),
        "",
    ]
    width = max(len(row["what"]) for row in result["rows"]) + 2
    for row in result["rows"]:
        if "left_out" in row:
            lines.append(f"{row['what']:<{width}}{'-':>12}  left out: {row['left_out']}")
            continue
        value = row["value"]
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 3 if abs(value) < 1 else 2
        figure = f"{value:,.{digits}f} {row['unit']}".rstrip()
        lines.append(f"{row['what']:<{width}}{figure:>12}  {wanted(row):<15} {row.get('note', '')}".rstrip())
    if result["quick"]:
        lines += ["", "tiny sizes: this says that everything runs, and nothing of speed"]
    return "\n".join(lines)


def wanted(row: Row) -> str:
    """What is wanted of a value, and whether it is so."""
    value = row.get("value", 0.0)
    if "least" in row:
        return f">= {row['least']:g}  {'pass' if value >= row['least'] else 'MISS'}"
    if "most" in row:
        return f"<= {row['most']:g}  {'pass' if value <= row['most'] else 'MISS'}"
    return ""
