"""Stage `prepare`: turns a user's data into tar shards, caption rows, a manifest and a report of what was dropped and why.

Images are prepared by elements (data/elements.py), in a pool of processes here or in the children of an array job; then they
are joined, and what is read whole (texts, classes) is read. An element is done once, however often the stage is interrupted.
"""

import json
import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from contracts.constants import FILE_SHARDS, SCHEMA_VERSION
from contracts.types import PrepareConfig, PreparedManifest, PreparedShard
from data.elements import run_element, run_elements
from data.join import join, remove_elements, rows_of
from data.manifest import write_document
from data.plan import plan_of
from engine.run import Run, artefact
from towers.data import Row, read_rows, write_rows
from towers.fragments import fragments
from towers.texts import each_text, joined_translations

TEXTS_PER_SHARD = 50_000  # so many rows are held at once here, and by who reads texts in a random order


def main() -> None:
    """Run the stage."""
    run = Run.start(PrepareConfig)
    config, out = run.config, run.output
    data = run.input("data")

    # ---- images ----------------------------------------------------------------------------------------------------
    plan = plan_of(data, config)
    run.resume()
    if run.child is not None:
        # A child of an array job does every size-th element and leaves the join to the job that waits for the array.
        for element in plan.elements[run.child.number :: run.child.size]:
            run_element(plan, element, out)
            run.tick(element.number + 1, len(plan.elements), lambda: {})
        return
    numbers = [element.number for element in plan.elements]
    images = 0
    for done, report in enumerate(run_elements(plan, numbers, out, os.cpu_count() or 1), 1):
        images += report["images"]
        run.tick(done, len(numbers), lambda: {}, images=images)
    joined = join(plan, out, with_set=config.get("keys") == "source", near=config.get("near_duplicates"))

    # ---- texts -----------------------------------------------------------------------------------------------------
    texts: dict[tuple[str, str], Iterable[Row]] = {}
    for text_source in config["texts"]:
        of_kind = text_source["kind"], text_source["split"]
        texts[of_kind] = chain(texts.get(of_kind, ()), each_text(data, text_source))
    texts |= {key: joined_translations(rows) for key, rows in texts.items() if key[0] == "translations"}
    texts["fragments", "train"] = fragments(train_captions(out, joined.shards), config["fragments"])
    written = {key: write_texts(out, *key, rows) for key, rows in texts.items()}
    files = {"shards": FILE_SHARDS, "dropped": "dropped.jsonl"}
    if config["classes"] is not None:
        (out / "classes.json").write_text(json.dumps(json.loads((data / config["classes"]).read_text())))
        files["classes"] = "classes.json"
    if config["class_images"] is not None:
        files |= copy_class_images(data / config["class_images"], out)

    # ---- manifest, report ------------------------------------------------------------------------------------------
    manifest: PreparedManifest = {
        "schema_version": SCHEMA_VERSION,
        "shards": [*joined.shards, *chain.from_iterable(written.values())],
        "drops": sorted(joined.drops.values(), key=lambda drop: -drop["count"]),
    }
    write_document(out / FILE_SHARDS, "PreparedManifest", json.dumps(manifest, indent=1, ensure_ascii=False))
    reasons = joined.dropped()
    metrics: dict[str, float] = {f"images.{split}": count for split, count in joined.images.items()}
    metrics |= {f"captions.{split}": count for split, count in joined.captions.items()}
    metrics |= {f"labels.{split}": len(found) for split, found in joined.labels.items()}
    metrics |= {f"{kind}.{split}": sum(part["count"] for part in parts) for (kind, split), parts in written.items()}
    metrics |= {f"dropped.{reason}": count for reason, count in reasons.items()}
    notes = [
        f"dropped from {drop['source']}, {drop['reason']}: {drop['count']}, such as {'; '.join(drop['examples'][:2])}"
        for drop in manifest["drops"]
    ]
    run.finish(metrics, files, notes)
    remove_elements(out)


def train_captions(out: Path, shards: list[PreparedShard]) -> Iterator[str]:
    """The captions of the train images, shard by shard, without those that were made of a label."""
    for shard in shards:
        if shard["split"] == "train":
            for row in rows_of(out / shard["rows"]["path"]):
                if not row.get("prompted"):
                    yield from row["captions"]


def write_texts(out: Path, kind: str, split: str, rows: Iterable[Row]) -> list[PreparedShard]:
    """Write texts shard by shard; the manifest's entries for them."""
    left, shards = iter(rows), list[PreparedShard]()
    while part := list(islice(left, TEXTS_PER_SHARD)):
        name = f"{kind}.{split}-{len(shards):05d}.jsonl"
        write_rows(out / name, part)
        shards.append(
            {
                "kind": kind,  # pyright: ignore[reportArgumentType]
                "split": split,  # pyright: ignore[reportArgumentType]
                "source": kind,
                "rows": artefact(out, name),
                "count": len(part),
                "captions": sum(len(row.get("captions", ())) for row in part),
            }
        )
    return shards


def copy_class_images(archive: Path, out: Path) -> dict[str, str]:
    """Zero-shot images with their class: the tar as it is, and rows {key, shard, index} from the .jsonl beside it."""
    (out / archive.name).write_bytes(archive.read_bytes())
    rows = [
        {"key": row["key"], "shard": archive.name, "index": row["index"]}
        for row in read_rows(archive.with_suffix(".jsonl"))
    ]
    write_rows(out / "class_images.jsonl", rows)
    return {"class_images": "class_images.jsonl", "class_images.tar": archive.name}


if __name__ == "__main__":
    main()
