"""The manifest of shards, `shards.json`: what `prepare` made, file by file with counts, sizes and digests, and what it left out.

Stands below the towers: whoever reads prepared data asks it which files there are.
"""

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import cast

from contracts import ContractError, load
from contracts.constants import FILE_SHARDS, LARGE_SET
from contracts.types import Artefact, PreparedManifest, PreparedShard
from engine.folders.files import digest_of_file, write_atomically


class ShardError(ValueError):
    """A shard that is missing or not what the manifest says, as a sentence with its name."""


def read_manifest(folder: Path) -> PreparedManifest | None:
    """The manifest of a folder that `prepare` wrote, checked against its schema; None where the folder has none."""
    file = folder / FILE_SHARDS
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return _read(file, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)
def _read(file: Path, _modified: int, _size: int) -> PreparedManifest:
    """Read once as long as the file does not change: every split of it is asked for."""
    try:
        return cast(PreparedManifest, load("PreparedManifest", file.read_text(encoding="utf-8")))
    except (ContractError, UnicodeDecodeError) as error:
        raise ShardError(f"{file} is refused: {error}; run prepare again") from error


def shards_of(manifest: PreparedManifest, kind: str, split: str) -> list[PreparedShard]:
    """The shards of a kind (`pairs`, `groups`, …) and split, in the order of their rows."""
    return [shard for shard in manifest["shards"] if shard["kind"] == kind and shard["split"] == split]


def has_labels(shard: PreparedShard) -> bool:
    """Whether any image of a shard has a label, which its rows would say and need not be read for."""
    if "labelled" not in shard:
        raise ShardError(
            f"the manifest does not say how many rows of {shard['rows']['path']} have labels: run prepare again"
        )
    return shard["labelled"] > 0


def are_pairs(labelled: Sequence[bool]) -> list[bool]:
    """Which images, or shards of them, are learned from with a caption each: those without labels.

    Where every one has labels: all of them, with the captions that are made of these.
    """
    every = all(labelled)
    return [every or not has for has in labelled]


def is_large(folder: Path) -> bool:
    """Whether a prepared set has more train images than a stage may hold something of each."""
    manifest = read_manifest(folder)
    return manifest is not None and sum(shard["count"] for shard in shards_of(manifest, "pairs", "train")) > LARGE_SET


def shard_file(folder: Path, artefact: Artefact) -> Path:
    """The path of one file of a shard, refused by name where it is missing or has another size than the manifest says."""
    file = folder / artefact["path"]
    try:
        size = file.stat().st_size
    except FileNotFoundError:
        raise ShardError(
            f"shard {artefact['path']} is missing in {folder}: fetch it again or run prepare again"
        ) from None
    if size != artefact["size"]:
        raise ShardError(
            f"shard {artefact['path']} has {size} bytes, the manifest says {artefact['size']}: it was cut off or altered; "
            "fetch it again or run prepare again"
        )
    return file


def verify(folder: Path, shards: Iterable[PreparedShard]) -> None:
    """Compare every file of the shards with its digest; the first one that differs is refused by name. Reads them whole."""
    for shard in shards:
        for artefact in (shard["rows"], *([shard["images"]] if "images" in shard else [])):
            verify_file(shard_file(folder, artefact), artefact)


def verify_file(file: Path, artefact: Artefact) -> None:
    """Compare one file with its digest."""
    found = f"sha256:{digest_of_file(file)}"
    if found != artefact["digest"]:
        raise ShardError(
            f"shard {artefact['path']} has {found}, the manifest says {artefact['digest']}: its bytes were altered; "
            "fetch it again or run prepare again"
        )


def rows_digest(shards: Iterable[PreparedShard]) -> str:
    """One digest over the rows of shards: features of other rows, or in another order, have another."""
    digests = "\n".join(shard["rows"]["digest"] for shard in shards)
    return f"sha256:{hashlib.sha256(digests.encode()).hexdigest()}"


def write_document(file: Path, name: str, text: str) -> None:
    """Write a document of the contracts, checked against its schema; readers see the old or the new one."""
    load(name, text)
    write_atomically(file, text)
