"""Embeds texts in units that are written one by one: a kill loses at most the one at work, any number of processes share them.

Captions of images go into a store beside no more than one shard of them (data/features.py); other sets, which are small, into
one file each. In a small set all different texts of all sets are embedded once, in the order of the sets.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file

from contracts.constants import FILE_FEATURES
from contracts.types import Artefact, EmbedCaptionsConfig
from data.captions.sets import PairShard, caption_rows, digest_of, other_sets, pair_shards
from data.features import FeatureStore, FeatureWriter
from data.manifest import is_large
from engine.run import Run
from towers.data import write_rows
from towers.teachers import Teacher, text_features

WAIT_SECONDS = 0.2  # between looks at what other processes are about to finish
LOCKS = ".locks"

Embed = Callable[[list[str]], torch.Tensor]  # texts to features [N, D], bfloat16


class Unit(Protocol):
    """Texts that are embedded and written together."""

    name: str
    count: int  # texts, for progress

    @property
    def is_done(self) -> bool:
        """Whether what it writes is whole."""
        ...

    def run(self, embed: Embed) -> None:
        """Embed and write."""
        ...


class ShardUnit:
    """The captions of the images of one shard."""

    def __init__(self, writer: FeatureWriter, number: int, shard: PairShard) -> None:
        self.writer, self.number, self.shard = writer, number, shard
        self.name, self.count = f"{writer.folder.name}-{number:05d}", shard.captions

    @property
    def is_done(self) -> bool:
        """Whether its features are written."""
        return self.writer.has(self.number)

    def run(self, embed: Embed) -> None:
        """Every different caption is embedded once."""
        rows = self.shard.rows()
        texts = list(dict.fromkeys(text for row in rows for text in row["captions"]))
        self.write(rows, {text: number for number, text in enumerate(texts)}, embed(texts))

    def write(self, rows: list[dict[str, Any]], row_of: dict[str, int], features_ND: torch.Tensor) -> None:
        """The features of all captions of its rows, from those of the different ones."""
        numbers = [row_of[text] for row in rows for text in row["captions"]]
        self.writer.write(self.number, features_ND[numbers], [len(row["captions"]) for row in rows])


class TextUnit:
    """Some texts, into a file that is joined with others in the end."""

    def __init__(self, file: Path, texts: list[str]) -> None:
        self.file, self.texts, self.name, self.count = file, texts, file.stem, len(texts)

    @property
    def is_done(self) -> bool:
        """Whether the file is there."""
        return self.file.exists()

    def run(self, embed: Embed) -> None:
        """Embed, write, give the file its name."""
        temporary = self.file.with_suffix(".tmp")
        save_file({"features": embed(self.texts)}, temporary)
        os.replace(temporary, self.file)


class CaptionWork:
    """Everything that one run of the stage embeds, and what it leaves."""

    def __init__(self, prepared: Path, output: Path, config: EmbedCaptionsConfig) -> None:
        self.output = output
        self.pairs = pair_shards(prepared)
        self.others = other_sets(prepared, config, self.pairs)
        self.shards = {split: self._units(prepared, split, config) for split in self.pairs}
        self.by_shards = config.get("cut", "shards" if is_large(prepared) else "texts") == "shards"
        rows = [row["text"] for rows in self.others.values() for row in rows]
        captions = (
            () if self.by_shards else (row["text"] for split in self.pairs.values() for row in caption_rows(split))
        )
        self.texts = list(dict.fromkeys([*captions, *rows]))
        self.chunks = [
            TextUnit(output / f"shard-{first // config['shard_size']:05d}.safetensors", self.texts[first:][:size])
            for size in [config["shard_size"]]
            for first in range(0, len(self.texts), size)
        ]

    @property
    def units(self) -> list[Unit]:
        """All of them, in order."""
        return [*(unit for units in self.shards.values() for unit in units if self.by_shards), *self.chunks]

    def finish(self) -> tuple[dict[str, float], dict[str, str | Artefact]]:
        """Join what is left to join; metrics and files of the report."""
        parts = [load_file(unit.file)["features"] for unit in self.chunks]
        row_of = {text: number for number, text in enumerate(self.texts)}
        files: dict[str, str | Artefact] = {}
        metrics: dict[str, float] = {}
        width = 0
        for split, units in self.shards.items():
            if not self.by_shards and not units[0].writer.is_finished:
                all_ND = torch.cat(parts)
                for unit in units:
                    unit.write(unit.shard.rows(), row_of, all_ND)
            units[0].writer.finish()
            store = FeatureStore(self.output / f"pairs.{split}")
            width = store.width
            metrics[f"rows.pairs.{split}"] = len(store)
            files |= self._files(split, store)
        all_ND = torch.cat(parts) if parts else torch.empty((0, width), dtype=torch.bfloat16)
        for name, rows in self.others.items():
            features_ND = all_ND[[row_of[row["text"]] for row in rows]] if rows else all_ND[:0]
            save_file({"features": features_ND.contiguous()}, self.output / f"features.{name}.safetensors")
            write_rows(self.output / f"captions.{name}.jsonl", rows)
            files[f"features.{name}"] = f"features.{name}.safetensors"
            files[f"captions.{name}"] = f"captions.{name}.jsonl"
            metrics[f"rows.{name}"] = len(rows)
        texts = sum(unit.count for unit in self.units)
        return {"texts": texts, "width": width} | metrics, files

    def tidy(self) -> None:
        """Remove what was joined."""
        for unit in self.chunks:
            unit.file.unlink()
        for lock in (self.output / LOCKS).glob("*"):
            lock.unlink()
        (self.output / LOCKS).rmdir()

    def _units(self, prepared: Path, split: str, config: EmbedCaptionsConfig) -> list[ShardUnit]:
        shards = self.pairs[split]
        writer = FeatureWriter(
            self.output / f"pairs.{split}",
            of=digest_of(prepared, split, shards),
            dtype=config.get("store", "bf16"),
            shards=len(shards),
        )
        return [ShardUnit(writer, number, shard) for number, shard in enumerate(shards)]

    def _files(self, split: str, store: FeatureStore) -> dict[str, str | Artefact]:
        """Of a split: the manifest of its store, every shard of it as the manifest describes it, the texts."""
        folder = f"pairs.{split}"
        write_rows(self.output / f"captions.{folder}.jsonl", caption_rows(self.pairs[split]))
        files: dict[str, str | Artefact] = {f"captions.{folder}": f"captions.{folder}.jsonl"}
        files[f"features.{folder}"] = f"{folder}/{FILE_FEATURES}"
        for number, shard in enumerate(store.shards):
            described: Artefact = {**shard["file"], "path": f"{folder}/{shard['file']['path']}"}
            files[f"features.{folder}.{number:05d}"] = described
        return files


def embed_all(run: Run[EmbedCaptionsConfig], units: list[Unit], teachers: list[Teacher]) -> None:
    """Embed what is not done yet. Processes take units as they come; the first one returns when all are done."""
    if run.world.local_size < run.world.size:
        raise ValueError("embed_captions writes into one folder: start its processes on one machine, not on several")
    (run.output / LOCKS).mkdir(exist_ok=True)
    run.resume()
    total = sum(unit.count for unit in units) * len(teachers)

    def of(unit: Unit, before: int) -> Embed:
        def embed(texts: list[str]) -> torch.Tensor:
            parts = []
            for place, teacher in enumerate(teachers):

                def tick(rows: int, place: int = place) -> None:
                    done = unit.count * (place * len(texts) + rows) // len(texts)
                    run.tick(before * len(teachers) + done, total, dict)

                parts.append(text_features(teacher, texts, run.config, tick))
            return torch.cat(parts, 1)

        return embed

    while left := [unit for unit in units if not unit.is_done]:
        found = False
        first = run.world.rank * len(left) // run.world.size
        for unit in [*left[first:], *left[:first]]:
            with lock(run.output / LOCKS / unit.name) as is_mine:
                if is_mine and not unit.is_done:
                    unit.run(of(unit, sum(other.count for other in units if other.is_done)))
                    run.save({})
                    found = True
        if not found:
            if not run.world.leads:
                return
            run.tick(sum(unit.count for unit in units if unit.is_done) * len(teachers), total, dict)
            time.sleep(WAIT_SECONDS)


@contextmanager
def lock(file: Path) -> Iterator[bool]:
    """Whether this process has the file alone, while it has it; one that is killed gives it up."""
    try:
        held = file.open("w")
    except FileNotFoundError:  # the first process has removed it: all is done
        yield False
        return
    with held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
