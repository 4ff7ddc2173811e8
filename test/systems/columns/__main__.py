"""Runs the columns of systems and prints what comes of each as JSON lines: `python -m columns --to FOLDER [--only NAME,…] [--list]`.

Lines: {row, column, state: "running" | "passed" | "failed" | "not run", said, seconds}, and for a model that is ready to be served
{row, folder, texts, picture, expected}.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

from columns.system import COLUMNS
from contracts.constants import EXIT_OK

OUTPUT: TextIO = sys.stdout
LIBRARIES = ("torch", "transformers", "peft", "timm", "open_clip_torch", "onnxruntime")


def main() -> int:
    """Run the columns of all systems, or of some."""
    parser = argparse.ArgumentParser(prog="python -m columns")
    parser.add_argument("--to", type=Path, help="an empty folder")
    parser.add_argument("--only", default="", help="rows by their whole names, with a line break between two")
    parser.add_argument("--picture", type=Path, help="a picture that is embedded")
    parser.add_argument("--list", action="store_true", help="print the rows")
    given = parser.parse_args()
    # Torch and transformers take seconds to import.
    import towers  # noqa: F401  (makes transformers importable beside a CPU build of torch)
    from columns.cells import Cells
    from columns.table import SYSTEMS

    if given.list:
        versions = {name: version(name) for name in LIBRARIES}
        say(rows=[{"row": s.name, "about": s.about} for s in SYSTEMS], columns=COLUMNS, versions=versions)
        return EXIT_OK
    named = given.only.splitlines()
    cells = Cells(given.to, given.picture)
    for system in SYSTEMS:
        if not named or system.name in named:
            run_row(system.name, cells.of(system))
    return EXIT_OK


def run_row(name: str, cells: dict[str, Callable[[], object]]) -> None:
    """One column after the other; what a failed one would have given, the later ones lack."""
    from columns.system import NotRun

    broken = ""
    for column, run in cells.items():
        say(row=name, column=column, state="running")
        started = time.monotonic()
        state, said = "passed", ""
        try:
            if broken:
                raise NotRun(f"{broken} failed")
            result = run()
            said = result if isinstance(result, str) else ""
            if isinstance(result, dict):
                said = str(result.pop("said"))
                say(row=name, **result)
        except NotRun as reason:
            state, said = "not run", str(reason)
        except Exception as error:
            state, said = ("failed", f"{type(error).__name__}: {' '.join(str(error).split())}")
            broken = column if column in ("loads", "trains") else broken
        say(row=name, column=column, state=state, said=said, seconds=round(time.monotonic() - started, 1))


def take_output() -> TextIO:
    """Standard output for our lines alone: what libraries and stages print goes to standard error."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return own


def say(**line: object) -> None:
    """One line of JSON."""
    print(json.dumps(line), file=OUTPUT, flush=True)


if __name__ == "__main__":
    OUTPUT = take_output()
    sys.exit(main())
