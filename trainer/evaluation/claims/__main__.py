"""The command behind `npm run claims`: what the papers claim and what runs of the recipe's variants say, as a table."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from contracts.constants import EXIT_OK, EXIT_USAGE, FILE_MANIFEST
from engine.failure import words_given
from evaluation.claims.answers import NOT_RUN, Answer, answer_all
from evaluation.claims.arms import Comparison, comparisons_in
from evaluation.claims.page import NoBlock, summary, table, write_block
from evaluation.claims.record import FILE, BadRecord, read_record, with_record, write_record
from evaluation.claims.table import CLAIMS


def main() -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.claims")
    parser.add_argument("runs", type=Path)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--docs", type=Path, required=True, help="the page with the table; what is known so far is beside it"
    )
    parser.add_argument("--write-docs", action="store_true")
    parser.add_argument("--open", action="store_true", help="print the questions without figures as a JSON document")
    given = parser.parse_args(words_given())
    try:
        record = read_record(given.docs.with_name(FILE))
    except BadRecord as error:
        return refuse(str(error))
    if given.open:
        print(json.dumps(open_questions(comparisons_in(given.runs), record)))
        return EXIT_OK
    if not given.runs.is_dir():
        ablate = f"npm run train -- recipes/{given.runs.name}.json --ablate control"
        return refuse(
            f"there are no runs in {given.runs}: {ablate} makes the first ones, or --runs names another folder"
        )
    if given.measure:
        if not given.data.is_dir():
            return refuse(f"the data folder {given.data} does not exist; --data or CLIP_DATA names it")
        measure(given)
    claims = answer_all(comparisons_in(given.runs))
    if given.write_docs:
        claims = with_record(claims, record)
        try:
            write_block(given.docs, claims)
        except NoBlock as error:
            return refuse(str(error))
        write_record(given.docs.with_name(FILE), claims)
        print(f"wrote {given.docs} and {FILE} beside it", file=sys.stderr)
    if given.json:
        print(json.dumps({"runs": str(given.runs), "claims": claims}))
    else:
        print(f"{table(claims)}\n\n{summary(claims)}")
    return EXIT_OK


def open_questions(comparisons: list[Comparison], record: dict[str, Answer]) -> list[dict[str, Any]]:
    """The questions without figures: what is asked, the variants that are to be compared, and whether `--measure` comes after.

    `compared`: whether these runs have that comparison, so that there is nothing but to measure.
    """
    return [
        {
            "claim": claim.claim,
            "what": question.what,
            "variants": question.variants,
            "measure": question.is_measured,
            "compared": question.is_measured and any(found.has_arms(question) for found in comparisons),
        }
        for claim, found in zip(CLAIMS, with_record(answer_all(comparisons), record), strict=True)
        for question, answer in zip(claim.questions, found["answers"], strict=True)
        if answer["verdict"] == NOT_RUN
    ]


def measure(given: argparse.Namespace) -> None:
    """Measure what runs started from, and captions in other languages."""
    # Torch takes seconds to import.
    import towers  # noqa: F401  (makes transformers importable beside a CPU build of torch)
    from evaluation.bench import Place
    from evaluation.cache import VectorCache
    from evaluation.claims.languages import measure_languages
    from evaluation.claims.start import measure_starts

    comparisons = comparisons_in(given.runs)
    for line in measure_starts(comparisons):
        print(line, file=sys.stderr)
    exported = given.model if (given.model / FILE_MANIFEST).exists() else None
    place = Place(given.data, VectorCache(given.cache))
    for line in measure_languages(given.runs, comparisons, exported, place):
        print(line, file=sys.stderr)


def refuse(sentence: str) -> int:
    """A user's mistake."""
    print(sentence, file=sys.stderr)
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
