"""The command behind `npm run evaluate`: measures a folder on the dev sets and prints a table or JSON."""

import argparse
import json
import sys
from pathlib import Path

from contracts.constants import DEV_SET_FILES, EXIT_FAILED, EXIT_OK, EXIT_USAGE, FILE_MANIFEST


def main() -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m evaluation")
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--tier", default="")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args()
    names = [name for name in given.only.split(",") if name]
    unknown = [name for name in names if name not in DEV_SET_FILES]
    if unknown:
        return refuse(f"--only: there is no dev set {unknown[0]}. There are: {', '.join(DEV_SET_FILES)}")
    if not given.list and not (given.folder / FILE_MANIFEST).exists():
        return refuse(f"{given.folder} holds no {FILE_MANIFEST}: name the folder of an exported model")
    if not given.list and not given.data.is_dir():
        return refuse(f"the data folder {given.data} does not exist; --data or CLIP_DATA names it")
    return run(given, names)


def run(given: argparse.Namespace, names: list[str]) -> int:
    """List the dev sets, or measure."""
    # Torch takes seconds to import: mistakes of the command line are told before.
    import towers  # noqa: F401  (makes transformers importable beside a CPU build of torch)
    from evaluation.bench import Place
    from evaluation.cache import VectorCache
    from evaluation.measure import measure, table
    from evaluation.registry import BY_NAME, DEV_SETS
    from evaluation.served import ServedModel

    if given.list:
        rows = [{"name": row.name, "what": row.what, "why": row.why, "files": row.files} for row in DEV_SETS]
        print(json.dumps(rows) if given.json else "\n".join(f"{row.name:20}{row.what} ({row.why})" for row in DEV_SETS))
        return EXIT_OK
    model = ServedModel(given.folder, given.threads)
    tiers = [name for name in given.tier.split(",") if name]
    unknown = [name for name in tiers if name not in model.tiers]
    if unknown:
        return refuse(f"--tier: this model has no tier {unknown[0]}. It has: {', '.join(model.tiers)}")
    sets = [BY_NAME[name] for name in names] or [row for row in DEV_SETS if not row.on_demand]
    measured = measure(model, sets, Place(given.data, VectorCache(given.cache)), tiers)
    if given.json:
        print(json.dumps({"model": model.title, "space_id": model.space, **measured}))
    else:
        print(f"{model.title}, {model.space}; per cent\n{table(measured, sets)}")
        for name, reason in measured["left_out"].items():
            print(f"{name} was left out: {reason}")
    return EXIT_OK if measured["sets"] else EXIT_FAILED


def refuse(sentence: str) -> int:
    """A user's mistake."""
    print(sentence, file=sys.stderr)
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
