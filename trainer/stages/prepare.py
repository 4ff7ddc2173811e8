"""Stage `prepare`: turns a user's data into tar shards, caption rows, a manifest and a report of what was dropped and why.

Images are prepared by elements (data/elements.py), in a pool of processes here or in the children of an array job; then they
are joined, and what is read whole (texts, classes) is read. An element is done once, however often the stage is interrupted.
"""

import os

from contracts.constants import FILE_SHARDS
from contracts.types import PrepareConfig
from data.elements import Maker, run_elements
from data.join import join, remove_elements
from data.plan import plan_of
from data.prepared.classes import copy_classes
from data.prepared.report import figures, notes, write_manifest
from data.prepared.texts import prepare_texts
from engine.run import Run
from towers.data import class_rows


def main() -> None:
    """Run the stage."""
    run = Run.start(PrepareConfig)
    config, out = run.config, run.output
    data = run.input("data")

    # ---- images ----------------------------------------------------------------------------------------------------
    plan = plan_of(data, config, run.remote_input("data"))
    run.resume()
    numbers = [element.number for element in plan.elements]
    if run.child is not None:
        numbers = numbers[run.child.number :: run.child.size]
    images, maker = 0, Maker(os.cpu_count() or 1, in_array=run.child is not None)
    # Children leave no checkpoint: the time of one is not that of the others.
    state = None if run.child is not None else dict
    for done, report in enumerate(run_elements(plan, numbers, out, maker), 1):
        images += report["images"]
        run.tick(done, len(numbers), state, images=images)
    if run.child is not None:  # the job that waits for the array joins the elements of all children
        return
    joined = join(plan, out, with_set=config.get("keys") == "source", near=config.get("near_duplicates"))
    run.seconds_before += joined.seconds_in_array  # the report speaks of the work of all containers

    # ---- texts, classes, manifest, report --------------------------------------------------------------------------
    texts = prepare_texts(data, config, out, joined.shards)
    files = {"shards": FILE_SHARDS, "dropped": "dropped.jsonl"} | copy_classes(data, config, out)
    manifest = write_manifest(out, joined, texts)
    run.finish(figures(joined, texts, len(class_rows(out))), files, notes(manifest, joined))
    remove_elements(out)


if __name__ == "__main__":
    main()
