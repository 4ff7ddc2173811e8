"""What students learn from: texts by kind with the number of their target. N texts."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from towers.data import Row, count_rows, each_pair, each_row, each_text_row
from towers.labels import normalised_label
from towers.languages import translations_in
from towers.text_tables import FlatFile, NumberTable, NumberWriter, TextTable, TextWriter

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
TRANSLATED = "translations.train"  # the set of English sentences that have translations
NONE: tuple[int, Row | None] = (0, None)


@dataclass
class Kind:
    """Texts [N], the number of each one's target, and that of its image among the train pairs or -1."""

    texts: TextTable
    rows: np.ndarray
    images: np.ndarray


class KindWriter:
    """Texts of a kind that are added."""

    def __init__(self, folder: Path) -> None:
        self.texts, self.rows, self.images = TextWriter(folder), FlatFile(folder, np.int64), FlatFile(folder, np.int64)

    def add(self, text: str, row: int, image: int = -1) -> None:
        """One more text."""
        self.texts.add(text)
        self.rows.add_number(row)
        self.images.add_number(image)

    def kind(self) -> Kind:
        """All of them."""
        return Kind(self.texts.table(), self.rows.mapped(), self.images.mapped())


@dataclass
class StudentTexts:
    """Kinds of texts that the data has, by name, and what their targets are.

    Targets are numbered: those of all texts of the `sets` of `embed_captions`, one set after the other, then the `means` of some.
    """

    kinds: dict[str, Kind]
    sets: list[str]
    means: NumberTable
    languages: dict[str, TextTable]  # texts in other languages than English, for the vocabulary
    image_groups: np.ndarray  # of each train pair: equal for pictures of one label


def read_student_texts(prepared: Path, features: Path, folder: Path) -> StudentTexts:
    """All texts of a run of `prepare` that have a target, in files without names in `folder`."""
    texts = _Texts(prepared, features, folder)
    texts.read_captions()
    for kind, name in SETS.items():
        if kind != "captions":
            for row, embedded in texts.targets.texts(name):
                texts.kinds[kind].add(embedded["text"], row)
    texts.read_translations()
    texts.read_names()
    return texts.found()


def forms_of(concept: Row) -> list[str]:
    """English texts of a concept that may have been embedded: its names alone and in sentences."""
    return [
        text for name in concept["names"] for text in (name, *(sentence.format(name) for sentence in SENTENCES["en"]))
    ]


class _Texts:
    """What `read_student_texts` has found so far."""

    def __init__(self, prepared: Path, features: Path, folder: Path) -> None:
        self.prepared, self.features = prepared, features
        self.kinds = {kind: KindWriter(folder) for kind in (*SETS, "captions_tr", "translations", "names")}
        self.concepts = [row for row in each_text_row(prepared, "concepts", "train") if row.get("tr")]
        wanted = {text.casefold() for row in self.concepts for text in forms_of(row)}
        self.targets = _Targets(features, [*SETS.values(), TRANSLATED], wanted, folder)
        self.languages: dict[str, TextWriter] = defaultdict(lambda: TextWriter(folder))
        self.groups = FlatFile(folder, np.int64)

    def read_captions(self) -> None:
        """Captions, whose mean is the target of captions of their image in other languages."""
        captions = self.targets.texts("pairs.train")
        row, caption = next(captions, NONE)
        first_of_label: dict[str, int] = {}
        for number, pair in enumerate(each_pair(self.prepared, "train")):
            rows: list[int] = []
            while caption is not None and caption["id"] == pair["key"]:
                self.kinds["captions"].add(caption["text"], row, number)
                rows.append(row)
                row, caption = next(captions, NONE)
            label = pair.get("label")
            group = number if label is None else first_of_label.setdefault(normalised_label(label), number)
            self.groups.add_number(group)
            if rows and pair.get("tr"):
                target = self.targets.add_mean(rows)
                for language, texts in pair["tr"].items():
                    for text in texts:
                        self.kinds["captions_tr"].add(text, target, number)
                        self.languages[language].add(text)
        if caption is not None:
            raise ValueError(
                f"{self.features} has captions of {caption['id']} in another order than {self.prepared}: embed them again"
            )

    def read_translations(self) -> None:
        """Translations, whose target is that of the English sentence."""
        english = self.targets.texts(TRANSLATED)
        row, sentence = next(english, NONE)
        for text_row in each_text_row(self.prepared, "translations", "train"):
            if sentence is None:
                break
            if sentence["id"] == text_row["id"]:
                for language, text in translations_in(text_row):
                    self.kinds["translations"].add(text, row)
                    self.languages[language].add(text)
                row, sentence = next(english, NONE)

    def read_names(self) -> None:
        """Names of concepts in other languages, whose target is that of the English names. After all sets, which say their numbers."""
        row_of = self.targets.row_of
        for concept in self.concepts:
            rows = [row for text in forms_of(concept) if (row := row_of.get(text.casefold())) is not None]
            if not rows:
                continue
            target = self.targets.add_mean(rows)
            for language, names in concept["tr"].items():
                for name in names:
                    self.languages[language].add(name)
                    for text in (name, *(sentence.format(name) for sentence in SENTENCES.get(language, []))):
                        self.kinds["names"].add(text, target)

    def found(self) -> StudentTexts:
        """All of it."""
        kinds = {name: kind for name, writer in self.kinds.items() if len((kind := writer.kind()).texts)}
        languages = {language: writer.table() for language, writer in self.languages.items()}
        return StudentTexts(kinds, self.targets.sets, self.targets.means.table(), languages, self.groups.mapped())


class _Targets:
    """Numbers of targets: of every text of every set that is there, then of means; `row_of`: of the wanted texts."""

    def __init__(self, features: Path, sets: Iterable[str], wanted: set[str], folder: Path) -> None:
        self.features, self.wanted = features, wanted
        self.first: dict[str, int] = {}
        self.count = 0
        for name in sets:
            file = self.file(name)
            count = count_rows(file) if file.exists() else 0
            if count:
                self.first[name] = self.count
                self.count += count
        self.sets = list(self.first)
        self.row_of: dict[str, int] = {}
        self.means = NumberWriter(folder)

    def file(self, name: str) -> Path:
        """Where the texts of a set are."""
        return self.features / f"captions.{name}.jsonl"

    def texts(self, name: str) -> Iterator[tuple[int, Row]]:
        """(number of the target, {id, text}) of every text of a set, none where there is no such set."""
        if name not in self.first:
            return
        for number, embedded in enumerate(each_row(self.file(name)), self.first[name]):
            text = embedded["text"].casefold()
            if text in self.wanted:
                self.row_of.setdefault(text, number)
            yield number, embedded

    def add_mean(self, rows: Sequence[int]) -> int:
        """A target that is the mean of others at unit length."""
        key = tuple(sorted(set(rows)))
        if len(key) == 1:
            return key[0]
        self.means.add(key)
        return self.count + self.means.count - 1
