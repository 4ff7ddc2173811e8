"""What `prepare` says of what it wrote: the manifest of all shards, figures, and examples of what was dropped."""

import json
from itertools import chain
from pathlib import Path

from contracts.constants import FIGURE_ELEMENT_SECONDS, FILE_SHARDS, SCHEMA_VERSION
from contracts.types import PreparedManifest
from data.join import Joined
from data.manifest import write_document
from data.prepared.texts import TextShards
from towers.export.described import few_described


def write_manifest(out: Path, joined: Joined, texts: TextShards) -> PreparedManifest:
    """Write `shards.json`: pairs, then texts, and what was dropped, the most frequent reason first."""
    manifest: PreparedManifest = {
        "schema_version": SCHEMA_VERSION,
        "shards": [*joined.shards, *chain.from_iterable(texts.values())],
        "drops": sorted(joined.drops.values(), key=lambda drop: -drop["count"]),
    }
    if joined.languages:
        manifest["languages"] = dict(sorted(joined.languages.items()))
    write_document(out / FILE_SHARDS, "PreparedManifest", json.dumps(manifest, indent=1, ensure_ascii=False))
    return manifest


def figures(joined: Joined, texts: TextShards, classes: int) -> dict[str, float]:
    """Counts of images, captions and their characters, negatives, regions, labels, texts and classes, and of what was dropped; seconds of the elements on one machine."""
    metrics: dict[str, float] = {FIGURE_ELEMENT_SECONDS: joined.seconds}
    metrics |= {f"images.{split}": count for split, count in joined.images.items()}
    metrics |= {f"captions.{split}": count for split, count in joined.captions.items()}
    metrics |= {f"characters.{split}": count for split, count in joined.characters.items()}
    for name, counts in (("negatives", joined.negatives), ("regions", joined.regions)):
        metrics |= {f"{name}.{split}": count for split, count in counts.items() if count}
    metrics |= {f"labels.{split}": len(found) for split, found in joined.labels.items()}
    for (kind, split), parts in texts.items():
        metrics[f"{kind}.{split}"] = sum(part["count"] for part in parts)
        if captions := sum(part["captions"] for part in parts):
            metrics[f"captions.{kind}.{split}"] = captions
    if classes:
        metrics["classes"] = classes
    return metrics | {f"dropped.{reason}": count for reason, count in joined.dropped().items()}


def notes(manifest: PreparedManifest, joined: Joined) -> list[str]:
    """A sentence for every reason of every source, and one where dev is less than a later stage needs."""
    found = [
        f"dropped from {drop['source']}, {drop['reason']}: {drop['count']}, such as {'; '.join(drop['examples'][:2])}"
        for drop in manifest["drops"]
    ]
    lacking = few_described(joined.described["dev"], joined.images["dev"]) if joined.images["dev"] else None
    return found if lacking is None else [lacking, *found]
