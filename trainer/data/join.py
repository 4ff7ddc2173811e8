"""The join of `prepare`: goes through the rows of all elements in order, leaves out doubles, writes rows and the manifest.

Reads rows one by one: what it holds are hashes, 32 bytes an image, and names of doubles. It can be run again at any time:
shards are not changed, and rows are written from what the elements left.
"""

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from contracts.types import Artefact, PreparedDrop, PreparedShard
from data.doubles import Doubles, Origin
from data.elements import (
    FOLDER,
    ElementReport,
    drops_file,
    hashes_file,
    read_report,
    rows_file,
    shard_name,
)
from data.plan import Plan
from data.prepared.languages import count_languages
from engine.folders.files import artefact
from towers.data import Row, json_line, rows_between
from towers.formats.details import NEGATIVES, REGIONS
from towers.text.unicode import spelled

EXAMPLES = 5  # of what was left out, by source and reason


@dataclass
class Joined:
    """What the join found: shards for the manifest, counts by split, what was left out by source and reason."""

    shards: list[PreparedShard] = field(default_factory=list)
    images: Counter[str] = field(default_factory=Counter)
    captions: Counter[str] = field(default_factory=Counter)
    described: Counter[str] = field(default_factory=Counter)  # images with two captions or more
    characters: Counter[str] = field(default_factory=Counter)  # of all captions
    negatives: Counter[str] = field(default_factory=Counter)
    regions: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)  # captions by tag, where the recipe speaks of languages
    labels: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    drops: dict[tuple[str, str], PreparedDrop] = field(default_factory=dict)
    seconds: float = 0.0  # that one machine would have taken for all elements
    seconds_in_array: float = 0.0  # of those that children of an array job made

    def drop(self, row: Row, written: "Jsonl") -> None:
        """Write and count what was left out. The reason up to a colon is its kind, the rest an example."""
        written.write(row)
        kind, _, found = row["reason"].partition(":")
        key = row["source"], kind
        if key not in self.drops:
            self.drops[key] = {"source": row["source"], "reason": kind, "count": 0, "examples": []}
        drop = self.drops[key]
        drop["count"] += row.get("count", 1)
        if len(drop["examples"]) < EXAMPLES:
            drop["examples"].append(f"{row['key']}{f' ({found.strip()})' if found else ''}")

    def count(self, split: str, row: Row) -> None:
        """Count what a row that is kept holds."""
        self.images[split] += 1
        self.captions[split] += len(row["captions"])
        self.described[split] += len(row["captions"]) > 1
        self.characters[split] += sum(map(len, row["captions"]))
        self.negatives[split] += len(row.get(NEGATIVES, ()))
        self.regions[split] += len(row.get(REGIONS, ()))
        if "label" in row:
            self.labels[split].add(row["label"])

    def dropped(self) -> Counter[str]:
        """How many were left out by kind of reason."""
        counts: Counter[str] = Counter()
        for drop in self.drops.values():
            counts[drop["reason"]] += drop["count"]
        return counts


def join(plan: Plan, out: Path, *, with_set: bool, near: int | None) -> Joined:
    """Write the rows of every shard and `dropped.jsonl`; a source of which nothing is left is an error with its reasons."""
    reports = [finished(out, element.number) for element in plan.elements]
    hashes_NC = np.concatenate([np.load(hashes_file(out, report["element"])) for report in reports])
    doubles = Doubles(hashes_NC, with_set=with_set, near=near)
    joined = Joined()
    joined.seconds = sum(report["seconds"] for report in reports)
    joined.seconds_in_array = sum(report["seconds"] for report in reports if report["in_array"])
    with Jsonl(out / "dropped.jsonl") as dropped:
        for element, report in zip(plan.elements, reports, strict=True):
            source = plan.sources[element.source]
            for row in rows_of(drops_file(out, element.number)):
                joined.drop(row, dropped)
            shards = {split: ShardRows(out, shard_name(split, element.number)) for split in report["tars"]}
            for both in rows_of(rows_file(out, element.number)):
                split, row = both["split"], both["row"]
                found = doubles.next(source, Origin(source.name, spelled(element.path), both["name"]), row["key"])
                if found.reason is not None:
                    joined.drop({"source": source.path, "key": row["key"], "reason": found.reason}, dropped)
                    continue
                if found.by_name:
                    row.pop("tr", None)  # captions in other languages are of the first image that has the key
                shards[split].add(row | {"key": found.key})
                joined.count(split, row)
                if plan.counts_languages:
                    joined.languages += count_languages(row["captions"], source.language)
            for split, shard in shards.items():
                joined.shards += shard.close(split, source.name, report["tars"][split])
    refuse_empty(plan, joined)
    return joined


def finished(out: Path, number: int) -> ElementReport:
    """The report of an element; one that is missing is an error."""
    report = read_report(out, number)
    if report is None:
        raise FileNotFoundError(f"element {number} of prepare has no report in {out / FOLDER}: run the elements again")
    return report


def refuse_empty(plan: Plan, joined: Joined) -> None:
    """A source of which no image is left is wrong in its path, its format or a filter: what was dropped says which."""
    kept = {shard["source"] for shard in joined.shards}
    for source in plan.sources:
        if source.name not in kept:
            reasons = [drop for drop in joined.drops.values() if drop["source"] == source.path]
            found = ", ".join(f"{drop['reason']}: {drop['count']} such as {drop['examples'][0]}" for drop in reasons)
            raise ValueError(
                f"{source.path}: not one image of this source is usable ({found or 'it holds none'}); format is "
                f"`{source.format}`"
            )


def rows_of(file: Path) -> Iterator[Row]:
    """Rows one by one."""
    return rows_between(file, 0, file.stat().st_size)


def remove_elements(out: Path) -> None:
    """What the elements left for the join: not needed once the report is written."""
    shutil.rmtree(out / FOLDER, ignore_errors=True)


class Jsonl:
    """Writes JSON lines as `write_rows` does, row by row; the file has its name when it is closed."""

    def __init__(self, file: Path) -> None:
        self.file, self.count = file, 0
        self.temporary = file.with_name(file.name + ".tmp")
        self.out: IO[str] = self.temporary.open("w", encoding="utf-8")

    def write(self, row: Row) -> None:
        """One more row."""
        self.out.write(json_line(row))
        self.count += 1

    def close(self) -> None:
        """Finish the file and give it its name."""
        self.out.close()
        self.temporary.replace(self.file)

    def __enter__(self) -> "Jsonl":
        """For `with`: closed in the end."""
        return self

    def __exit__(self, error: type[BaseException] | None, *_about: object) -> None:
        """Close; after an error the file does not get its name."""
        if error is None:
            self.close()
        else:
            self.out.close()


class ShardRows:
    """The rows of a shard beside its tar, and what they hold."""

    def __init__(self, out: Path, name: str) -> None:
        self.out, self.rows = out, Jsonl(out / f"{name}.jsonl")
        self.captions = self.labelled = self.regions = 0

    def add(self, row: Row) -> None:
        """One more row."""
        self.rows.write(row)
        self.captions += len(row["captions"])
        self.labelled += "label" in row
        self.regions += len(row.get(REGIONS, ()))

    def close(self, split: str, source: str, images: Artefact) -> list[PreparedShard]:
        """The shard as the manifest has it. One of which no row is left is deleted, and its tar."""
        self.rows.close()
        if self.rows.count == 0:
            self.rows.file.unlink()
            (self.out / images["path"]).unlink(missing_ok=True)
            return []
        shard: PreparedShard = {
            "kind": "pairs",
            "split": split,  # pyright: ignore[reportAssignmentType]
            "source": source,
            "rows": artefact(self.out, self.rows.file.name),
            "images": images,
            "count": self.rows.count,
            "captions": self.captions,
            "labelled": self.labelled,
        }
        if self.regions:
            shard["regions"] = self.regions
        return [shard]
