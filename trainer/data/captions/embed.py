"""Embeds texts in units that are written one by one: a kill loses at most the one at work, any number of processes share them.

Captions of images, and wrong ones of them, go into stores with a file for each shard of images (data/features.py); other sets,
which are small, into one file each. In a small set all different texts of all sets are embedded once, in the order of the sets.
"""

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file, save_file

from contracts.constants import FILE_FEATURES
from contracts.types import Artefact, EmbedCaptionsConfig
from data.captions.names import DEV_REGION_TEXTS, NEGATIVE_TEXTS, REGION_TEXTS
from data.captions.sets import (
    PairShard,
    RegionShard,
    TextShard,
    WrongShard,
    caption_rows,
    digest_of,
    grouped_texts,
    other_sets,
    pair_shards,
)
from data.features import FeatureStore, FeatureWriter, save_tensors
from data.manifest import is_large
from engine.run import Run
from towers.data import write_rows
from towers.teachers import Teacher, text_features

WAIT_SECONDS = 0.2  # between looks at what other processes are about to finish
LOCKS = ".locks"
ANY_TEXT = "a photo"  # a shard without texts has features of no row, and of the width that this one has

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
    """The texts that belong to the images of one shard: their captions, wrong ones, or those of their regions."""

    def __init__(self, writer: FeatureWriter, number: int, shard: TextShard) -> None:
        self.writer, self.number, self.shard = writer, number, shard
        self.name, self.count = f"{writer.folder.name}-{number:05d}", shard.count

    @property
    def is_done(self) -> bool:
        """Whether its features are written."""
        return self.writer.has(self.number)

    def run(self, embed: Embed) -> None:
        """Every different text is embedded once."""
        groups = self.shard.groups()
        texts = list(dict.fromkeys(text for group in groups for text in group)) or [ANY_TEXT]
        self.write(groups, {text: number for number, text in enumerate(texts)}, embed(texts))

    def write(self, groups: list[list[str]], row_of: dict[str, int], features_ND: torch.Tensor) -> None:
        """The features of all texts of its groups, from those of the different ones."""
        numbers = torch.tensor([row_of[text] for group in groups for text in group], dtype=torch.long)
        self.writer.write(self.number, features_ND[numbers], [len(group) for group in groups])


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
        save_tensors(self.file, {"features": embed(self.texts)})


class CaptionWork:
    """Everything that one run of the stage embeds, and what it leaves."""

    def __init__(self, prepared: Path, output: Path, config: EmbedCaptionsConfig) -> None:
        self.prepared, self.output, self.config = prepared, output, config
        self.pairs = pair_shards(prepared)
        self.others = other_sets(prepared, config, self.pairs)
        self.stores = {
            f"pairs.{split}": self._units(f"pairs.{split}", split, self.pairs[split]) for split in self.pairs
        }
        self.beside = texts_beside(self.pairs, config)
        self.stores |= {
            name: self._units(name, name.rpartition(".")[2], shards) for name, shards in self.beside.items()
        }
        self.by_shards = config.get("cut", "shards" if is_large(prepared) else "texts") == "shards"
        stored = [] if self.by_shards else [unit for units in self.stores.values() for unit in units]
        texts = (text for unit in stored for group in unit.shard.groups() for text in group)
        self.texts = list(dict.fromkeys([*texts, *(row["text"] for rows in self.others.values() for row in rows)]))
        self.chunks = [
            TextUnit(output / f"shard-{first // config['shard_size']:05d}.safetensors", self.texts[first:][:size])
            for size in [config["shard_size"]]
            for first in range(0, len(self.texts), size)
        ]

    @property
    def units(self) -> list[Unit]:
        """All of them, in order."""
        return [*(unit for units in self.stores.values() for unit in units if self.by_shards), *self.chunks]

    def finish(self) -> tuple[dict[str, float], dict[str, str | Artefact]]:
        """Join what is left to join; metrics and files of the report."""
        parts = [load_file(unit.file)["features"] for unit in self.chunks]
        row_of = {text: number for number, text in enumerate(self.texts)}
        files: dict[str, str | Artefact] = {}
        metrics: dict[str, float] = {}
        width = 0
        for name, units in self.stores.items():
            if not self.by_shards and not units[0].writer.is_finished:
                all_ND = torch.cat(parts)
                for unit in units:
                    unit.write(unit.shard.groups(), row_of, all_ND)
            units[0].writer.finish()
            store = FeatureStore(self.output / name)
            width = store.width
            metrics[f"rows.{name}"] = len(store)
            files |= self._files(name, store)
        embedded = sum(metrics.values()) if self.by_shards else 0
        all_ND = torch.cat(parts) if parts else torch.empty((0, width), dtype=torch.bfloat16)
        for name, rows in self.others.items():
            features_ND = all_ND[[row_of[row["text"]] for row in rows]] if rows else all_ND[:0]
            save_file({"features": features_ND.contiguous()}, self.output / f"features.{name}.safetensors")
            write_rows(self.output / f"captions.{name}.jsonl", rows)
            files[f"features.{name}"] = f"features.{name}.safetensors"
            files[f"captions.{name}"] = f"captions.{name}.jsonl"
            metrics[f"rows.{name}"] = len(rows)
        return {"texts": embedded + len(self.texts), "width": width} | metrics, files

    def tidy(self) -> None:
        """Remove what was joined. Locks go first: another process that still looks for work finds none to begin anew."""
        shutil.rmtree(self.output / LOCKS, ignore_errors=True)
        for unit in self.chunks:
            unit.file.unlink()

    def _units(self, name: str, split: str, shards: Sequence[TextShard]) -> list[ShardUnit]:
        writer = FeatureWriter(
            self.output / name,
            of=digest_of(self.prepared, split, self.pairs[split]),
            dtype=self.config.get("store", "bf16"),
            shards=len(shards),
        )
        return [ShardUnit(writer, number, shard) for number, shard in enumerate(shards)]

    def _files(self, name: str, store: FeatureStore) -> dict[str, str | Artefact]:
        """Of a store: its manifest, every shard of it as the manifest describes it, the texts."""
        shards = self.beside.get(name)
        rows = caption_rows(self.pairs[name.removeprefix("pairs.")]) if shards is None else grouped_texts(shards)
        write_rows(self.output / f"captions.{name}.jsonl", rows)
        files: dict[str, str | Artefact] = {f"captions.{name}": f"captions.{name}.jsonl"}
        files[f"features.{name}"] = f"{name}/{FILE_FEATURES}"
        for number, shard in enumerate(store.shards):
            described: Artefact = {**shard["file"], "path": f"{name}/{shard['file']['path']}"}
            files[f"features.{name}.{number:05d}"] = described
        return files


def texts_beside(pairs: dict[str, list[PairShard]], config: EmbedCaptionsConfig) -> dict[str, Sequence[TextShard]]:
    """What else the recipe wants of images, by the name of its store: wrong captions, texts of regions."""
    beside: dict[str, Sequence[TextShard]] = {}
    if "hard_negatives" in config:
        beside[NEGATIVE_TEXTS] = [WrongShard(shard, config["hard_negatives"]) for shard in pairs["train"]]
    if "regions" in config:
        for split, name in (("train", REGION_TEXTS), ("dev", DEV_REGION_TEXTS)):
            regions = [RegionShard(shard, config["regions"]["negatives"]) for shard in pairs[split]]
            if any(shard.regions for shard in regions):
                beside[name] = regions
        if REGION_TEXTS not in beside:
            raise ValueError(
                "embed_captions.regions: no train image has regions; give rows a field `regions` of {box, text} "
                "(docs/guides/recipes.md), or leave the setting out"
            )
    return beside


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
