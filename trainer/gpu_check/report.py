"""What `gpu_check` found, as Markdown for the training log."""

from datetime import date
from typing import Any

Rows = list[dict[str, Any]]


def markdown(result: dict[str, Any]) -> str:
    """A section of trainer/LOG.md."""
    machine = result["machine"]
    kind = "small sizes, which say nothing of speed" if result["quick"] else "full sizes"
    head = f"## {date.today()}: every stage on {machine['device']} (`npm run gpu-check`)\n\n"
    about = f"torch {machine['torch']}, {machine['dtype']}, {result['seconds']:.0f} s in all, {kind}."
    parts = [head + about]
    if result["stages"]:
        parts += [f"**Stages of the small recipe**: {summary(result['stages'])}", stage_table(result["stages"])]
    if result["speed"]:
        parts += ["**Speed**", speed_table(result["speed"])]
    return "\n\n".join(parts) + "\n"


def summary(stages: Rows) -> str:
    """One sentence."""
    failed = [row["stage"] for row in stages if row["failure"]]
    trained = [row for row in stages if row["resumed_seconds"] is not None]
    same = sum(row["verdict"] == "bit for bit" for row in trained)
    start = f"{len(stages) - len(failed)} of {len(stages)} run, {same} of {len(trained)} are after SIGTERM and resume what they are without."
    return start if not failed else f"{start} **Failed: {', '.join(failed)}.**"


def stage_table(stages: Rows) -> str:
    """A row per stage."""
    rows = [
        [
            row["stage"],
            f"{row['straight_seconds']:.1f}",
            "-" if row["resumed_seconds"] is None else f"{row['resumed_seconds']:.1f}",
            ", ".join(map(str, row["stopped_after"])) or "-",
            row["verdict"],
        ]
        for row in stages
    ]
    return table(["Stage", "Seconds", "Stopped and resumed", "Stopped after step", "Result"], rows)


UNITS = {
    "first_step_seconds": "first step s",
    "step_seconds": "s a step",
    "images_per_second": "images/s",
    "tokens_per_second": "tokens/s",
    "first_pass_seconds": "first pass s",
    "peak_gb": "GB at most",
    "gflop_per_pair": "GFLOP a pair",
    "mfu": "MFU",
    "blocks_compiled": "graphs compiled",
    "gb": "GB",
    "seconds": "s",
    "texts": "texts",
    "tokens": "tokens",
    "batch": "images a step",
}


def speed_table(speed: Rows) -> str:
    """A row per measurement."""
    rows = []
    for row in speed:
        figures = row["figures"]
        said = [f"{value:,} {UNITS[name]}" for name, value in figures.items() if name in UNITS and value is not None]
        rows.append([row["name"], "left out: " + figures["left_out"] if "left_out" in figures else ", ".join(said)])
    return table(["Measured", "Figures"], rows)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "/") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
