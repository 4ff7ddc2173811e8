"""What scores of a finished model mean, fitted again without training: a new version of the same files.

Scores and verdicts are fitted as stage `export` fits them, on images and captions that the model did not learn from.
"""

import re
import shutil
import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from contracts.types import ModelManifest
from exchange.refusal import CannotExpress
from towers.export.at_hand import lacking, serve_described
from towers.export.scores import Scores, fit_scores
from towers.exported_files import artefacts_in, read_manifest, write_manifest
from towers.formats.classes import ClassTable
from towers.formats.item import Columns, Item
from towers.formats.table import read_items
from towers.formats.usable import Checker, reasons

CARD = "MODEL_CARD.md"
LOOKED_AT = "images looked at"
TOLD_EVERY = 160
VERDICTS = ".verdict."


@dataclass(frozen=True)
class Calibrated:
    """The new manifest, and sentences on what was fitted."""

    manifest: ModelManifest
    notes: list[str]


@dataclass(frozen=True)
class Images:
    """Images with captions, in any form that fine-tuning reads, and the columns of a table of them."""

    path: Path
    columns: Columns = field(default_factory=Columns)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name


def calibrate(model: Path, out: Path, *, version: str, images: Images, seed: int) -> Calibrated:
    """Write the model with other scores into the folder `out`. Raises CannotExpress with what is to be done."""
    manifest = read_manifest(model)
    if version == manifest["version"]:
        raise CannotExpress(f"{manifest['name']} {version} is what there is: name the new one with --model-version")
    items, note = usable(images)
    texts, served = serve_described(model, manifest, items, tell)
    scores = fit_scores(texts, served, seed)
    changed = with_scores(manifest, scores, version)
    for path in {file["path"] for file in artefacts_in(manifest)}:
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model / path, out / path)
    names = "with" if any("short_texts" in each for each in scores.verdicts.values()) else "without"
    sentence = (
        f"Scores and verdicts of {version}: fitted on {len(items)} images with {len(texts.image_of_text)} captions of "
        f"{images.name}, {names} a verdict of names; {manifest['version']} has the same weights."
    )
    if (model / CARD).exists():
        card = (model / CARD).read_text(encoding="utf-8")
        (out / CARD).write_text(changed_card(card, changed, sentence), encoding="utf-8")
    write_manifest(out, changed)
    return Calibrated(changed, [*note, sentence])


def usable(images: Images) -> tuple[list[Item], list[str]]:
    """Images with captions that can be read, none of a split that is kept for tests; how they were read, and what was left out."""
    found = read_items(images.path, images.columns)
    said = [item for item in found.items if item.captions and item.split != "test"]
    check = Checker(ClassTable((), None), lambda done, total: tell(LOOKED_AT, done, total), len(said))
    for item in said:
        # Scores are fitted on captions, whatever the class, and nothing is learned from that could be measured on.
        check(replace(item, labels=[], split=None), None)
    items = [Item(picture.key, picture.load, picture.captions) for picture in check.joined.values()]
    same = [check.equal_files()] if check.equal else []
    reason = lacking(items)
    if reason is not None:
        left_out = [f"Left out: {reasons(check.skipped)}"] if check.skipped else []
        raise CannotExpress(". ".join([f"{images.name} has {reason}", *same, *left_out]))
    left_out = [f"{len(check.skipped)} left out: {reasons(check.skipped)}"] if check.skipped else []
    return items, [*found.notes, *same, *left_out]


def with_scores(manifest: ModelManifest, scores: Scores, version: str) -> ModelManifest:
    """The manifest with nothing else changed: recalls and parity stay what `export` measured of the same weights."""
    metrics = {name: value for name, value in manifest["metrics"].items() if VERDICTS not in name}
    metrics |= {name: value for name, value in scores.metrics.items() if VERDICTS in name}
    changed: dict[str, Any] = {
        **manifest,
        "version": version,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "calibration": scores.calibration,
        "score_distributions": scores.distributions,
        "search_verdicts": scores.verdicts,
        "metrics": metrics,
    }
    return cast(ModelManifest, changed)


def changed_card(card: str, manifest: ModelManifest, sentence: str) -> str:
    """The card with the new version, the new figures of dev and a sentence on them; everything else in it stays true."""
    card = re.sub(r"^# .*$", f"# {manifest['name']} {manifest['version']}", card, count=1, flags=re.MULTILINE)
    rows = "".join(f"| {name} | {value:.4f} |\n" for name, value in sorted(manifest["metrics"].items()))
    card = re.sub(
        r"(## Measured on the dev split\n\| figure \| value \|\n\|---\|---\|\n)(?:\|.*\n)*\n(?:- Scores and verdicts of .*\n)?",
        lambda found: f"{found[1]}{rows}\n- {sentence}\n",
        card,
    )
    return card


def tell(what: str, done: int, total: int) -> None:
    """A line on standard error now and then: images come one by one or in small batches."""
    if what not in (LOOKED_AT, "images") or done % TOLD_EVERY == 0 or done == total:
        print(f"{what}: {done:,} of {total:,}", file=sys.stderr, flush=True)
