"""`python -m augment job.json`: writes the captions and their report, prints progress as lines of JSON.

Exit codes: 0 done or the budget is used up, 2 the user can fix it, 75 stopped or the server wants a pause: run it again.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from augment.budget import Budget, StopAskedError
from augment.cache import Cache
from augment.captions import Means, Outcome, Scribe
from augment.endpoint import Address, Endpoint, usable_key
from augment.items import Wanted, read_wanted
from augment.prompts import read_prompts
from augment.writer import Writer, WriterError
from contracts import ContractError, load
from contracts.constants import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, SCHEMA_VERSION
from contracts.types import AugmentJob, AugmentReport
from engine.failure import exit_code_of, only_word
from engine.folders.files import write_atomically
from towers.formats.item import Columns, FormatError
from towers.text.unicode import spelled

PROGRESS_SECONDS = 2.0
REFUSALS = (ContractError, FormatError, FileNotFoundError, ModuleNotFoundError)


def main() -> int:
    """Read the job that the command line names and carry it out."""
    file = Path(only_word("usage: python -m augment job.json"))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return exit_code_of(lambda: write_captions(file, stop), REFUSALS)


def write_captions(file: Path, stop: threading.Event) -> int:
    """What a job asks for; returns its exit code."""
    job = cast(AugmentJob, load("AugmentJob", file.read_text(encoding="utf-8")))
    items, notes = read_wanted(Path(job["input"]), Columns.of(job))
    prompts, unseen = read_prompts(None if job["prompts"] is None else Path(job["prompts"]))
    writer = writer_of(job, stop)
    cache = Cache(Path(job["cache"]), writer.identity())
    means = Means(writer, cache, Budget(job["limits"], job["prices"]), stop, unseen)
    scribe = Scribe(job, items, prompts, means)
    if not any(scribe.prompts):
        raise FormatError(
            f"no prompt of {job['prompts']} is for what {job['input']} holds: `of` and `needs` say what for"
        )
    check_place(Path(job["output"]))
    return carry_out(scribe, notes)


def check_place(output: Path) -> None:
    """Raise now what writing the captions would raise when all of them are paid for."""
    if output.is_dir():
        raise FormatError(f"--out {output} is a folder: name a file in it")
    output.parent.mkdir(parents=True, exist_ok=True)
    probe = output.with_name(output.name + ".tmp")
    probe.write_bytes(b"")
    probe.unlink()


def writer_of(job: AugmentJob, stop: threading.Event) -> Writer:
    """The language model of a job."""
    writer = cast(Any, job["writer"])
    if writer["type"] == "local":
        from augment.local import LocalModel  # an endpoint needs no transformers

        weights: str = writer["weights"]
        try:
            return LocalModel(weights)
        except ModuleNotFoundError as error:
            if error.name != weights.split(".", 1)[0]:
                raise
            raise FormatError(
                f"local:{weights} is neither a folder or file here nor an installed Python package with a language model"
            ) from error
    variable = writer["key_variable"]
    key = None if variable is None else usable_key(variable, os.environ.get(variable))
    address = Address(writer["base_url"], writer["model"], key, writer["concurrency"], writer["timeout_seconds"])
    return Endpoint(address, stop)


def carry_out(scribe: Scribe, notes: list[str]) -> int:
    """Ask, write, report; resolves to the exit code."""
    started = time.monotonic()
    job, items, writer, budget = scribe.job, scribe.items, scribe.writer, scribe.budget
    printed_at = float("-inf")

    def tick(done: int, total: int, outcome: Outcome) -> None:
        nonlocal printed_at
        now = time.monotonic()
        if now - printed_at < PROGRESS_SECONDS and done < total:
            return
        printed_at = now
        kept = sum(len(captions) for captions in outcome.kept.values())
        metrics = {"captions": kept, "requests": budget.requests, "tokens": budget.read + budget.written}
        line = {"event": "progress", "stage": "augment", "step": done, "total": total}
        print(json.dumps({**line, "seconds": round(now - started, 1), "metrics": metrics}), flush=True)

    outcome = scribe.write(tick)
    output = Path(job["output"])
    left = left_alone(output, outcome)
    report: AugmentReport = {
        "schema_version": SCHEMA_VERSION,
        "model": writer.name,
        "where": writer.where,
        "prompts": sorted({prompt for captions in outcome.kept.values() for prompt, _ in captions}),
        "items": len(items),
        "complete": sum(len(captions) >= job["per_item"] for captions in outcome.kept.values()),
        "captions": sum(len(captions) for captions in outcome.kept.values()),
        "dropped": dict(sorted(outcome.dropped.items())),
        "requests": budget.requests,
        "cached": outcome.cached,
        "tokens_read": budget.read,
        "tokens_written": budget.written,
        "usd": budget.usd(),
        "stopped": None if outcome.end is None else str(outcome.end),
        "seconds": round(time.monotonic() - started, 1),
        "notes": [*notes, *writer.notes, *([left] if left is not None else [])],
    }
    if left is None:
        write_atomically(output, "".join(rows_of(items, outcome, writer.name)))
    text = readable(report, indent=2)
    load("AugmentReport", text)
    write_atomically(output.with_name(output.name + ".report.json"), text + "\n")
    if isinstance(outcome.end, WriterError):
        print(outcome.end if left is None else f"{outcome.end}\n{left}", file=sys.stderr)
        return EXIT_INTERRUPTED if outcome.end.later else EXIT_USAGE
    return EXIT_INTERRUPTED if isinstance(outcome.end, StopAskedError) else EXIT_OK


def left_alone(output: Path, outcome: Outcome) -> str | None:
    """Why the file of captions is not written, as a sentence; None where it is.

    A run that got nothing, or that ended early with less than the file holds, would cost what an earlier one paid for.
    """
    kept = sum(len(captions) for captions in outcome.kept.values())
    held = captions_in(output)
    if held is None:
        return None if kept else f"{output.name} was not written: no caption was kept"
    if kept and (outcome.end is None or kept >= held):
        return None
    got = f"this run ended with {kept}" if outcome.end is not None else "this run kept none"
    return f"{output.name} was left as it was, with {held} captions: {got}. Delete it to have it written anew"


def captions_in(output: Path) -> int | None:
    """How many captions a file holds, a line that is no row of captions as one; None where there is no file."""
    if not output.is_file():
        return None
    held = 0
    for line in output.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            held += len(json.loads(line)["captions"])
        except (ValueError, TypeError, KeyError):
            held += bool(line.strip())
    return held


def rows_of(items: Sequence[Wanted], outcome: Outcome, by: str) -> Iterator[str]:
    """One line an item with captions: `label` names a class, `key` an image; `by` says who wrote them."""
    for number, item in enumerate(items):
        captions = outcome.kept[number]
        if not captions:
            continue
        subject = {"label": item.id} if item.kind == "class" else {"key": item.id}
        row = {
            "id": f"{item.kind}:{item.id}",
            "source": "augment",
            **subject,
            "captions": [caption for _, caption in captions],
            "prompts": [prompt for prompt, _ in captions],
            "by": by,
        }
        yield readable(row) + "\n"


def readable(document: Any, indent: int | None = None) -> str:
    """JSON with letters as they are. The name of an image may be no UTF-8: what stands for its bytes is escaped."""
    return spelled(json.dumps(document, indent=indent, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main())
