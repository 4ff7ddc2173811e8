"""Stage `compare`: variants of a recipe against the recipe itself: means over equal seeds, paired intervals over items.

Writes `comparison.json` and, as a table for people, `comparison.md`.
"""

import json

from contracts.types import CompareConfig
from engine.folders.files import write_atomically
from engine.run import Run
from evaluation.recipe.comparison import BASE, Measured, compare_metric, flat, started, table


def main() -> None:
    """Run the stage."""
    run = Run.start(CompareConfig)
    config = run.config
    names = [BASE, *config["variants"]]
    arms = {name: Measured([run.input(f"{name}_{seed}") for seed in config["seeds"]]) for name in names}
    document = started(config, arms)
    for done, metric in enumerate(config["metrics"], 1):
        compare_metric(document, arms, metric, config["bootstrap_samples"], run.seed)
        run.tick(done, len(config["metrics"]))
    write_atomically(run.output / "comparison.json", json.dumps(document, indent=2))
    write_atomically(run.output / "comparison.md", table(document))
    run.finish(flat(document), {"comparison": "comparison.json", "table": "comparison.md"}, document["notes"])


if __name__ == "__main__":
    main()
