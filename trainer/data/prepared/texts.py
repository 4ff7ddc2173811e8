"""Texts of a recipe's sources in shards, fragments of the train captions among them."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from contracts.types import PrepareConfig, PreparedShard
from data.join import rows_of
from engine.folders.files import artefact
from towers.data import Row, write_rows
from towers.fragments import fragments
from towers.texts import each_text, joined_translations

TEXTS_PER_SHARD = 50_000  # so many rows are held at once here, and by who reads texts in a random order
TextShards = dict[tuple[str, str], list[PreparedShard]]  # by kind and split


def prepare_texts(data: Path, config: PrepareConfig, out: Path, images: list[PreparedShard]) -> TextShards:
    """Write the texts of every kind and split; `images` are the shards of pairs, already in `out`."""
    texts: dict[tuple[str, str], Iterable[Row]] = {}
    for text_source in config["texts"]:
        of_kind = text_source["kind"], text_source["split"]
        texts[of_kind] = chain(texts.get(of_kind, ()), each_text(data, text_source))
    texts |= {key: joined_translations(rows) for key, rows in texts.items() if key[0] == "translations"}
    texts["fragments", "train"] = fragments(train_captions(out, images), config["fragments"])
    return {key: write_texts(out, *key, rows) for key, rows in texts.items()}


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
