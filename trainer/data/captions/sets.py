"""The texts that `embed_captions` embeds, set by set: captions of images in the order of their shards, and all others."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from contracts.types import EmbedCaptionsConfig, EmbedCaptionsConfigConceptTexts, PreparedShard
from data.manifest import has_labels, read_manifest, rows_digest, shards_of
from engine.folders.files import digest_of_file
from towers.data import Row, class_rows, each_text_row, read_pairs, read_texts, shard_rows
from towers.formats.details import REGIONS
from towers.labels import normalised_label
from towers.regions.seen import region_texts
from towers.text.halves import in_halves
from towers.text.wrong_captions import wrong_texts

SPLITS = ("train", "dev", "unseen")
WIDEST_HYPERNYM = (
    0.135  # of the classes, where a recipe says nothing: "animal" and wider ones say too little of a picture
)


@dataclass(frozen=True)
class PairShard:
    """The images of one shard with their captions; `shard` None: all of a split, of a folder without a manifest."""

    prepared: Path
    split: str
    shard: PreparedShard | None

    def rows(self) -> list[Row]:
        """{key, captions, …}, image by image."""
        if self.shard is None:
            return read_pairs(self.prepared, self.split)
        return list(shard_rows(self.prepared, [self.shard]))

    @property
    def captions(self) -> int:
        """How many there are."""
        if self.shard is None:
            return sum(len(row["captions"]) for row in self.rows())
        return self.shard["captions"]

    @property
    def has_labels(self) -> bool:
        """Whether any of its images has a label."""
        return self.shard is None or has_labels(self.shard)

    @property
    def count(self) -> int:
        """Texts: those of `groups`."""
        return self.captions

    def groups(self) -> list[list[str]]:
        """The captions of each image."""
        return [row["captions"] for row in self.rows()]


@dataclass(frozen=True)
class WrongShard:
    """The wrong captions of the images of one shard: at most `most` of each caption, a group a caption, in the captions' order."""

    pairs: PairShard
    most: int

    @property
    def count(self) -> int:
        """At most: how many there are is known when they are made."""
        return self.most * self.pairs.captions

    def groups(self) -> list[list[str]]:
        """The wrong ones of each caption."""
        return [wrong_texts(row, text, self.most) for row in self.pairs.rows() for text in row["captions"]]


@dataclass(frozen=True)
class RegionShard:
    """The texts of the regions of one shard's images, a group an image: each phrase, and behind it at most `most` wrong ones."""

    pairs: PairShard
    most: int

    @property
    def regions(self) -> int:
        """How many there are."""
        if self.pairs.shard is None:
            return sum(len(row.get(REGIONS, ())) for row in self.pairs.rows())
        return self.pairs.shard.get("regions", 0)

    @property
    def count(self) -> int:
        """At most, as of wrong captions."""
        return (1 + self.most) * self.regions

    def groups(self) -> list[list[str]]:
        """Those of each image, region by region."""
        return [[text for texts in region_texts(row, self.most) for text in texts] for row in self.pairs.rows()]


TextShard = PairShard | WrongShard | RegionShard


def pair_shards(prepared: Path) -> dict[str, list[PairShard]]:
    """Shards of images by split; `unseen` only where there are any."""
    manifest = read_manifest(prepared)
    found: dict[str, list[PairShard]] = {}
    for split in SPLITS:
        if manifest is not None:
            shards = [PairShard(prepared, split, shard) for shard in shards_of(manifest, "pairs", split)]
        else:
            shards = [PairShard(prepared, split, None)] if read_pairs(prepared, split) else []
        if not shards and split != "unseen":
            read_pairs(prepared, split)  # says what is missing
        if shards:
            found[split] = shards
    return found


def digest_of(prepared: Path, split: str, shards: list[PairShard]) -> str:
    """Which rows the features of a split belong to."""
    described = [shard.shard for shard in shards if shard.shard is not None]
    return rows_digest(described) if described else f"sha256:{digest_of_file(prepared / f'pairs.{split}.jsonl')}"


def caption_rows(shards: Iterable[PairShard]) -> Iterator[Row]:
    """{id, text} for every caption, image by image, with its `role` where it has one."""
    for shard in shards:
        yield from rows_of(shard.rows(), "key", None)


def other_sets(prepared: Path, config: EmbedCaptionsConfig, pairs: dict[str, list[PairShard]]) -> dict[str, list[Row]]:
    """{id, text} rows of what is no caption of an image, by the name of their set."""
    sets: dict[str, list[Row]] = {}
    labelled = [shard for split in ("train", "unseen") for shard in pairs.get(split, ()) if shard.has_labels]
    sets["labels"] = label_texts(row for shard in labelled for row in shard.rows())
    classes, concepts = class_rows(prepared), read_texts(prepared, "concepts", "train")
    sets["prompts"] = class_prompts(classes, config["prompt_templates"])
    sets["hypernyms"] = hypernym_texts(classes, concepts, config["concept_texts"])
    sets["long.dev"] = halves_of_long(each_text_row(prepared, "long", "dev"))
    for kind, limit in cast(dict[str, int], config["limits"]).items():
        found = concept_texts(concepts, config) if kind == "concepts" else each_text_row(prepared, kind, "train")
        if kind == "translations":
            found = ({"id": row["id"], "captions": [row["en"]]} for row in found)
        sets[f"{kind}.train"] = rows_of(found, "id", limit)
    return sets


def rows_of(rows: Iterable[Row], key: str, limit: int | None) -> list[Row]:
    """{id, text} for every caption, image by image, with its `role` where it has one; at most `limit`, whole images only."""
    out: list[Row] = []
    for row in rows:
        if limit is not None and len(out) + len(row["captions"]) > limit:
            break
        texts = [{"id": row[key], "text": caption} for caption in row["captions"]]
        out += (
            [{**text, "role": role} for text, role in zip(texts, row["roles"], strict=True)]
            if "roles" in row
            else texts
        )
    return out


def halves_of_long(rows: Iterable[Row]) -> list[Row]:
    """Both halves of every long description that has more than one sentence, the first one first; the id is its number."""
    found = (in_halves(row["captions"][0]) for row in rows)
    return [{"id": str(number), "text": half} for number, halves in enumerate(found) for half in halves or ()]


def grouped_texts(shards: Iterable[TextShard]) -> Iterator[Row]:
    """{id, text} of every text of shards; the id is the number of its group in all of them."""
    groups = (group for shard in shards for group in shard.groups())
    for number, texts in enumerate(groups):
        for text in texts:
            yield {"id": str(number), "text": text}


def label_texts(pairs: Iterable[Row]) -> list[Row]:
    """The captions that prepare made of every different label, or the label alone; the id is the normalised label."""
    texts: dict[str, list[str]] = {}
    for row in pairs:
        if "label" in row:
            label = normalised_label(row["label"])
            if label not in texts or row["prompted"]:
                texts[label] = row["captions"] if row["prompted"] else [row["label"]]
    return [{"id": label, "text": text} for label, captions in texts.items() for text in captions]


def hypernym_texts(classes: list[Row], concepts: list[Row], wanted: EmbedCaptionsConfigConceptTexts) -> list[Row]:
    """Prompts of every hypernym of the classes of the class file: {id, text, classes}, its classes by their number.

    A class is found among the concepts by its `wnid`, else by its name.
    """
    widest = wanted.get("widest_hypernym", WIDEST_HYPERNYM)
    by_name = {normalised_label(row["name"]): row for row in reversed(concepts)}
    by_wnid = {row["id"].removeprefix("imagenet:"): row for row in concepts}
    covered: dict[str, list[int]] = {}
    for row in classes:
        concept = by_wnid.get(row.get("wnid", "")) or by_name.get(normalised_label(row["name"]))
        for hypernym in concept["hypernyms"] if concept is not None else ():
            covered.setdefault(hypernym, []).append(row["index"])
    return [
        {"id": hypernym, "text": template.replace("{}", hypernym), "classes": numbers}
        for hypernym, numbers in covered.items()
        if len(numbers) <= max(1, widest * len(classes))
        for template in dict.fromkeys([*wanted["templates"], "{}"])
    ]


def concept_texts(concepts: list[Row], config: EmbedCaptionsConfig) -> list[Row]:
    """{id, captions} of every concept, the bare name first. The order is that of a hash: a limit cuts all sources alike."""
    wanted = config["concept_texts"]
    rows = []
    for row in sorted(concepts, key=lambda row: hashlib.sha256(row["id"].encode()).digest()):
        texts = [row["name"], *(template.replace("{}", row["name"]) for template in wanted["templates"])]
        texts += row["names"][1 : 1 + wanted["synonyms"]]
        texts += [row["gloss"]] if wanted["gloss"] and row["gloss"] else []
        texts += [f"{row['name']}, a kind of {hypernym}" for hypernym in row["hypernyms"][: wanted["hypernyms"]]]
        texts += row["descriptions"][: wanted["descriptions"]]
        rows.append({"id": row["id"], "captions": list(dict.fromkeys(texts))})
    return rows


def class_prompts(classes: list[Row], templates: list[str]) -> list[Row]:
    """Every class name in every template, class by class."""
    return [
        {"id": str(row["index"]), "text": template.replace("{}", row["name"])}
        for row in classes
        for template in templates
    ]
