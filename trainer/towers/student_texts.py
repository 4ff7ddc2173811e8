"""What students learn from: texts by kind with the row of their target, drawn by the recipe's mix and made noisy.

N texts, E joint dimension.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch.nn import functional as F

from contracts.types import DistillConfig
from towers.data import Row, read_pairs, read_rows, read_texts
from towers.labels import normalised_label
from towers.languages import translations_in
from towers.text_noise import contradiction, with_symbols, with_typing_errors
from towers.token_batches import batches_by_length
from towers.wordpiece import WordPiece, mixed

SETS = {  # kind of text in the recipe's mix: set of `embed_captions`
    "captions": "pairs.train",
    "groups": "groups.train",
    "long": "long.train",
    "fragments": "fragments.train",
    "prompts": "prompts",
    "concepts": "concepts.train",
}
SENTENCES = {  # a name by itself may be a word of several languages: in a sentence it is not
    "en": ["a photo of a {}.", "a picture of {}"],
    "de": ["ein Foto von einem {}", "ein Bild von einer {}", "auf dem Bild ist ein {}"],
    "fr": ["une photo d'un {}", "une image de {}", "on voit une {}"],
    "cs": ["fotografie: {}", "na obrázku je {}", "to je {}"],
    "pt": ["uma foto de um {}", "uma imagem de {}", "isto é uma {}"],
    "es": ["una foto de un {}", "una imagen de {}", "esto es una {}"],
    "uk": ["фото: {}", "на зображенні {}", "це {}"],
    "ar": ["صورة {}", "هذه صورة {}"],
    "zh": ["一张{}的照片", "图片上是{}", "这是{}"],
}
VOCABULARY_CHARACTERS = 20_000_000
POOL_BATCHES = 32  # texts are drawn for this many batches at once and sorted by length: little padding


@dataclass
class Kind:
    """Texts, the row of each one's target, and the number of its image among the train pairs or -1."""

    texts: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    images: list[int] = field(default_factory=list)

    def add(self, text: str, row: int, image: int = -1) -> None:
        """One more text."""
        self.texts.append(text)
        self.rows.append(row)
        self.images.append(image)


@dataclass
class StudentTexts:
    """Kinds of texts that the data has, by name, and their targets."""

    kinds: dict[str, Kind]
    targets_NE: torch.Tensor
    languages: dict[str, list[str]]  # texts in other languages than English, for the vocabulary
    image_groups: list[int]  # of each train pair: equal for pictures of one label


def read_student_texts(prepared: Path, features: Path, targets_of: Callable[[str], torch.Tensor]) -> StudentTexts:
    """All texts of a run of `prepare` that have a target. `targets_of` gives the teacher's vectors of a set [N, E]."""
    kinds = {kind: Kind() for kind in SETS}
    found = _Targets()
    pairs = read_pairs(prepared, "train")
    number_of = {row["key"]: number for number, row in enumerate(pairs)}
    for kind, name in SETS.items():
        for row, embedded in found.add_set(features, name, targets_of):
            kinds[kind].add(embedded["text"], row, number_of[embedded["id"]] if kind == "captions" else -1)
    row_of_id = {embedded["id"]: row for row, embedded in found.add_set(features, "translations.train", targets_of)}
    languages: dict[str, list[str]] = {}

    # ---- captions give their mean to captions of their image in other languages --------------------------------------
    rows_of_image: dict[int, list[int]] = {}
    for row, image in zip(kinds["captions"].rows, kinds["captions"].images, strict=True):
        rows_of_image.setdefault(image, []).append(row)
    kinds["captions_tr"] = Kind()
    for number, pair in enumerate(pairs):
        if pair.get("tr") and number in rows_of_image:
            target = found.add_mean(rows_of_image[number])
            for language, texts in pair["tr"].items():
                for text in texts:
                    kinds["captions_tr"].add(text, target, number)
                    languages.setdefault(language, []).append(text)

    # ---- translations: the target is that of the English sentence ----------------------------------------------------
    kinds["translations"] = Kind()
    for translated in read_texts(prepared, "translations", "train"):
        for language, text in translations_in(translated):
            if translated["id"] in row_of_id:
                kinds["translations"].add(text, row_of_id[translated["id"]])
                languages.setdefault(language, []).append(text)

    # ---- names of concepts in other languages: the target is that of the English names -------------------------------
    kinds["names"] = Kind()
    for concept in read_texts(prepared, "concepts", "train"):
        rows = [
            row for name in concept["names"] for text in english_forms(name) if (row := found.row_of(text)) is not None
        ]
        if not rows or not concept.get("tr"):
            continue
        target = found.add_mean(rows)
        for language, names in concept["tr"].items():
            for name in names:
                languages.setdefault(language, []).append(name)
                for text in (name, *(sentence.format(name) for sentence in SENTENCES.get(language, []))):
                    kinds["names"].add(text, target)
    present = {name: kind for name, kind in kinds.items() if kind.texts}
    return StudentTexts(present, found.targets(), languages, groups_of(pairs))


def groups_of(pairs: list[Row]) -> list[int]:
    """A number for each pair, the same for pictures with the same label."""
    numbers: dict[str, int] = {}
    return [
        numbers.setdefault(normalised_label(pair["label"]), number) if "label" in pair else number
        for number, pair in enumerate(pairs)
    ]


def english_forms(name: str) -> list[str]:
    """Texts of a concept that may have been embedded."""
    return [name, *(sentence.format(name) for sentence in SENTENCES["en"])]


class _Targets:
    """Target vectors, one after the other."""

    def __init__(self) -> None:
        self.parts: list[torch.Tensor] = []
        self.means: list[list[int]] = []
        self.count = 0
        self.rows: dict[str, int] = {}
        self.mean_row: dict[tuple[int, ...], int] = {}

    def add_set(self, features: Path, name: str, targets_of: Callable[[str], torch.Tensor]) -> list[tuple[int, Row]]:
        """(row of the target, {id, text}) of every text of a set of `embed_captions`, empty where there is none."""
        file = features / f"captions.{name}.jsonl"
        texts = read_rows(file) if file.exists() else []
        if not texts:
            return []
        assert not self.means, "sets come before means"
        vectors_NE = targets_of(name)
        self.parts.append(vectors_NE)
        found = [(self.count + number, row) for number, row in enumerate(texts)]
        for row, embedded in found:
            self.rows.setdefault(embedded["text"].casefold(), row)
        self.count += len(texts)
        return found

    def row_of(self, text: str) -> int | None:
        """The target of a text that was embedded, whatever its case."""
        return self.rows.get(text.casefold())

    def add_mean(self, rows: Sequence[int]) -> int:
        """A target that is the mean of others at unit length."""
        key = tuple(sorted(set(rows)))
        if len(key) == 1:
            return key[0]
        if key not in self.mean_row:
            self.mean_row[key] = self.count + len(self.means)
            self.means.append(list(key))
        return self.mean_row[key]

    def targets(self) -> torch.Tensor:
        """All of them [N, E]."""
        known_NE = torch.cat(self.parts)
        if not self.means:
            return known_NE
        means = torch.stack([known_NE[rows].mean(0) for rows in self.means])
        return torch.cat([known_NE, F.normalize(means, dim=-1)])


@dataclass
class Example:
    """A text as it is learned from: its tokens without special ones, its target, its image or -1, a contradiction or None."""

    ids: list[int]
    row: int
    image: int
    contradiction: list[int] | None


class Sampler:
    """Draws texts by the weights of the mix; equal names of a draw, equal texts."""

    def __init__(self, texts: StudentTexts, wordpiece: WordPiece, config: DistillConfig, seed: int) -> None:
        self.wordpiece, self.seed, self.noise = wordpiece, seed, config["noise"]
        self.has_contradictions = config["negatives_weight"] > 0
        mix = cast(dict[str, float], dict(config["mix"]))
        self.weights = {name: mix[name] for name in texts.kinds if mix[name] > 0}
        self.kinds = {name: texts.kinds[name] for name in self.weights}
        self.tokens = {name: wordpiece.tokens(kind.texts) for name, kind in self.kinds.items()}

    def draw(self, name: str, count: int) -> list[Example]:
        """`count` examples; `name` decides which."""
        rng = random.Random(f"{self.seed}/{name}")
        drawn, changed = [], []
        for kind in rng.choices(list(self.weights), list(self.weights.values()), k=count):
            number = rng.randrange(len(self.tokens[kind]))
            source = self.kinds[kind]
            example = Example(self.tokens[kind][number], source.rows[number], source.images[number], None)
            text, noisy = source.texts[number], source.texts[number]
            if kind != "long" and rng.random() < self.noise["typing_errors"]:
                noisy = with_typing_errors(noisy, rng)
            if rng.random() < self.noise["symbols"]:
                noisy = with_symbols(noisy, rng)
            if noisy != text:
                changed.append((example, "ids", noisy))
            if self.has_contradictions and kind in ("captions", "groups") and noisy == text:
                other = contradiction(text, rng)
                if other is not None:
                    changed.append((example, "contradiction", other))
            drawn.append(example)
        for (example, attribute, _), ids in zip(
            changed, self.wordpiece.tokens([text for *_, text in changed]), strict=True
        ):
            setattr(example, attribute, ids)
        return [example for example in drawn if example.ids]

    def batches(self, name: str, batch_tokens: int, context_length: int) -> Iterator[list[Example]]:
        """Endless batches: texts of similar length together, batches in random order."""
        for number in itertools.count():
            yield from self.pool(name, number, batch_tokens, context_length)

    def pool(self, name: str, number: int, batch_tokens: int, context_length: int) -> list[list[Example]]:
        """The batches of texts that are drawn together; pools come one after the other, each by its number alone."""
        chosen: list[Example] = []
        lengths: list[int] = []
        while sum(lengths) < POOL_BATCHES * batch_tokens:
            more = self.draw(f"{name}/{number}/{len(chosen)}", 256)
            chosen += more
            lengths += [min(len(example.ids) + 2, context_length) for example in more]
        batches = batches_by_length(lengths, batch_tokens)
        random.Random(f"{self.seed}/{name}/order/{number}").shuffle(batches)
        return [[chosen[index] for index in batch] for batch in batches]


def vocabulary_texts(prepared: Path, languages: dict[str, list[str]]) -> Iterator[str]:
    """Train captions, descriptions, translations and documents, mixed so that every language gets enough pieces."""
    captions = [text for row in read_pairs(prepared, "train") for text in row["captions"]]
    captions += [text for row in read_texts(prepared, "groups", "train") for text in row["captions"]]
    long = [text for row in read_texts(prepared, "long", "train") for text in row["captions"]]
    concepts = [
        text for row in read_texts(prepared, "concepts", "train")
        for text in (*row["names"], row.get("gloss") or "", *row.get("descriptions", []))
    ]  # fmt: skip
    plain = [row["text"] for row in read_texts(prepared, "plain", "train")]
    sources: dict[str, tuple[Sequence[str], float]] = {
        "captions": (captions, 3.0),
        "concepts": (concepts, 2.0),
        "long": (long, 1.0),
        "plain": (plain, 1.0),
    }
    sources |= {language: (texts, 1.0) for language, texts in sorted(languages.items())}
    available = sum(len(text) for texts, _ in sources.values() for text in texts)
    return mixed(sources, min(VOCABULARY_CHARACTERS, available))
