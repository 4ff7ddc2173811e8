"""The command behind `npm run evaluate`: measures models on the dev sets, or on suites of the user's, and prints a table or JSON."""

import argparse
import json
import sys
from pathlib import Path

from contracts.constants import DEV_SET_FILES, EXIT_FAILED, EXIT_OK
from engine.failure import exit_code_of, words_given
from evaluation.open_model import NoModel, check_model, open_model


def main() -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m evaluation")
    parser.add_argument("models", nargs="*")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--suite", action="append", default=[])
    parser.add_argument("--features", default="float16")
    parser.add_argument("--html", type=Path)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--tier", default="")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args(words_given())
    return exit_code_of(lambda: measured(given), (Refused, NoModel), as_json=given.json)


class Refused(ValueError):
    """A user's mistake, in a sentence."""


def measured(given: argparse.Namespace) -> int:
    """What the command line asks for. Raises Refused or NoModel."""
    names = named(given.only)
    unknown = [name for name in names if name not in DEV_SET_FILES]
    if unknown:
        raise Refused(f"--only: there is no dev set {unknown[0]}. There are: {', '.join(DEV_SET_FILES)}")
    if given.list:
        return list_sets(as_json=given.json)
    for name in given.models:
        check_model(name)
    if given.suite:
        return run_suites(given)
    if not given.data.is_dir():
        raise Refused(f"the data folder {given.data} does not exist; --data or CLIP_DATA names it")
    return run(given, names)


def list_sets(*, as_json: bool) -> int:
    """Print the tables of dev sets and of suites."""
    from evaluation.registry import DEV_SETS
    from evaluation.suites.table import SUITES

    if as_json:
        rows = [{"name": row.name, "what": row.what, "why": row.why, "files": row.files} for row in DEV_SETS]
        suites = [{"name": row.name, "what": row.what, "layout": row.layout} for row in SUITES]
        print(json.dumps({"dev_sets": rows, "suites": suites}))
        return EXIT_OK
    lines = [f"{row.name:20}{row.what} ({row.why})" for row in DEV_SETS]
    lines += ["", "suites, each with its folder: --suite NAME=PATH"]
    print("\n".join([*lines, *(f"{row.name:20}{row.what}: {row.layout}" for row in SUITES)]))
    return EXIT_OK


def run_suites(given: argparse.Namespace) -> int:
    """Measure every model on suites."""
    if given.only:
        raise Refused("--only names dev sets and --suite a benchmark in a folder of yours: measure one after the other")
    import towers  # noqa: F401  (makes transformers importable beside a CPU build of torch)
    from engine.world import end_process, join_world
    from evaluation.layouts.files import WrongLayout
    from evaluation.suites.command import FEATURES, Options, measure_suites, read_suites

    if given.features not in FEATURES:
        raise Refused(f"--features {given.features}: there are {', '.join(FEATURES)}")
    options = Options(
        given.cache, named(given.tier), given.threads, given.features, given.json, given.html, given.sample
    )
    try:
        suites = read_suites(given.suite)
        # Processes meet only when all of them will go on.
        world = join_world()
        end_process(world, measure_suites(given.models, suites, options, world))
    except WrongLayout as error:
        raise Refused(str(error)) from error


def run(given: argparse.Namespace, names: list[str]) -> int:
    """Measure every folder."""
    # Torch takes seconds to import: mistakes of the command line are told before.
    import towers  # noqa: F401  (makes transformers importable beside a CPU build of torch)
    from evaluation.bench import Place
    from evaluation.cache import VectorCache
    from evaluation.measure import beside, measure, table, units
    from evaluation.registry import BY_NAME, DEV_SETS

    models = [open_model(name, given.threads) for name in given.models]
    tiers = named(given.tier)
    there = dict.fromkeys(tier for model in models for tier in model.tiers)
    unknown = [name for name in tiers if name not in there]
    if unknown:
        raise Refused(f"--tier: there is no tier {unknown[0]} here, but {', '.join(there)}")
    sets = [BY_NAME[name] for name in names] or [row for row in DEV_SETS if not row.on_demand]
    place = Place(given.data, VectorCache(given.cache))
    wanted = [(model, [tier for tier in model.tiers if not tiers or tier in tiers]) for model in models]
    place.progress.expect(sum(units(sets, place, of_model) for _, of_model in wanted))
    found = [(model, measure(model, sets, place, of_model)) for model, of_model in wanted]
    if given.json:
        documents = [{"model": model.title, "space_id": model.space, **measured} for model, measured in found]
        print(json.dumps(documents[0] if len(documents) == 1 else {"models": documents}))
    else:
        for number, (model, _) in enumerate(found, 1):
            print(f"{f'{number}: ' if len(found) > 1 else ''}{model.title}, {model.space}")
        print(f"per cent\n{table(beside([measured for _, measured in found]), sets)}")
        for name, reason in found[0][1]["left_out"].items():
            print(f"{name} was left out: {reason}")
    return EXIT_OK if found[0][1]["sets"] else EXIT_FAILED


def named(words: str) -> list[str]:
    """The names of a list with commas."""
    return [word for word in words.split(",") if word]


if __name__ == "__main__":
    sys.exit(main())
