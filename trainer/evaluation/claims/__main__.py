"""The command behind `npm run claims`: what the papers claim and what runs of the recipe's variants say, as a table."""

import argparse
import json
import sys
from pathlib import Path

from contracts.constants import EXIT_OK, EXIT_USAGE, FILE_MANIFEST
from evaluation.claims.answers import answer_all
from evaluation.claims.arms import comparisons_in
from evaluation.claims.page import NoBlock, summary, table, write_block


def main() -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.claims")
    parser.add_argument("runs", type=Path)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--docs", type=Path)
    given = parser.parse_args()
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
    if given.docs is not None:
        try:
            write_block(given.docs, claims)
        except NoBlock as error:
            return refuse(str(error))
        print(f"wrote {given.docs}", file=sys.stderr)
    if given.json:
        print(json.dumps({"runs": str(given.runs), "claims": claims}))
    else:
        print(f"{table(claims)}\n\n{summary(claims)}")
    return EXIT_OK


def measure(given: argparse.Namespace) -> None:
    """Measure captions in other languages."""
    # Torch takes seconds to import.
    import towers  # noqa: F401  (makes transformers importable beside a CPU build of torch)
    from evaluation.bench import Place
    from evaluation.cache import VectorCache
    from evaluation.claims.languages import measure_languages

    exported = given.model if (given.model / FILE_MANIFEST).exists() else None
    place = Place(given.data, VectorCache(given.cache))
    for line in measure_languages(given.runs, comparisons_in(given.runs), exported, place):
        print(line, file=sys.stderr)


def refuse(sentence: str) -> int:
    """A user's mistake."""
    print(sentence, file=sys.stderr)
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
