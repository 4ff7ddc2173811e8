"""The vocabulary of text students: the pieces, every text as pieces, and what the first transformer makes of pieces and texts.

Stage `vocabulary` leaves it as files, which `distill` maps: none of it depends on what students learn.
N texts, V pieces, D width of the first transformer.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from contracts.types import FirstTier, ImitateStudent, ProjectionTexts, VocabularyConfig
from data.features import mapped_tensors, save_tensors
from engine.run import Run
from towers.data import each_pair, each_text_row
from towers.student.examples import Sampler, projection_texts
from towers.student.init_from_bert import init_from_package
from towers.student.model import StudentShape, TextStudent
from towers.student.start import PIECE_TOKENS, piece_states, pooled_states
from towers.student.texts import Kind, StudentTexts
from towers.text_tables import NumberTable, TextTable, in_parts
from towers.wordpiece import WordPiece, mixed, train_vocabulary

FILE_PIECES, FILE_STATES, FILE_TEXT_STATES = "vocabulary.txt", "states.safetensors", "projection.safetensors"
VOCABULARY_CHARACTERS = 20_000_000
TOGETHER = 4096  # texts that are tokenized at a time

Settings = VocabularyConfig | ImitateStudent


@dataclass(frozen=True)
class ReadTexts:
    """Texts as ids with special tokens [N], and what the first transformer makes of them before it is trained: states [N, D]."""

    ids: NumberTable
    states_ND: torch.Tensor


@dataclass(frozen=True)
class Vocabulary:
    """Pieces, and token ids of the texts of every kind.

    Of the first transformer, where it was asked: `states_VD` of the pieces, `read` of the texts that its projection is fitted to.
    """

    wordpiece: WordPiece
    tokens: Mapping[str, NumberTable]
    states_VD: torch.Tensor | None = None
    read: ReadTexts | None = None

    def states_of(self, ids: list[list[int]]) -> torch.Tensor | None:
        """What the first transformer makes of these texts [N, D]; None where it was asked about others, or about none."""
        return self.read.states_ND if self.read is not None and self.read.ids[:] == ids else None


def write_pieces(folder: Path, texts: Callable[[], Iterable[str]], settings: Settings) -> WordPiece:
    """Train the pieces on texts and write them, unless an earlier attempt has."""
    file = folder / FILE_PIECES
    if not file.exists():
        spells = settings["fallback"] == "bytes"
        train_vocabulary(texts(), settings["vocabulary_size"], settings["alphabet"], spells=spells).write(file)
    return WordPiece.read(file)


def tokens_file(kind: str) -> str:
    """Where the token ids of a kind of texts are."""
    return f"tokens.{kind}.safetensors"


def write_tokens(folder: Path, name: str, kind: Kind, wordpiece: WordPiece) -> str:
    """The texts of a kind as ids, unless an earlier attempt has written them; the name of the file."""
    file = folder / tokens_file(name)
    if not file.exists():
        save_tensors(file, flat(token_table(kind.texts, wordpiece, folder)))
    return file.name


def first_student(
    wordpiece: WordPiece, tier: FirstTier, projection: ProjectionTexts | None, device: torch.device
) -> TextStudent:
    """The first transformer before it is trained, without a projection: it reads pieces, and texts of `projection`."""
    longest = PIECE_TOKENS if projection is None else max(PIECE_TOKENS, projection["context_length"])
    shape = StudentShape(
        len(wordpiece.pieces), tier["layers"], tier["width"], tier["heads"], longest, 1, [], tier["table_width"]
    )  # fmt: skip
    student = TextStudent(shape)
    init_from_package(student, wordpiece, tier["initial_weights"])
    return student.to(device)


def write_states(folder: Path, first: TextStudent) -> str:
    """What the first transformer makes of each piece [V, D], unless an earlier attempt has written it; the name of the file."""
    file = folder / FILE_STATES
    if not file.exists():
        save_tensors(file, {"states": piece_states(first)})
    return file.name


def write_text_states(folder: Path, first: TextStudent, sampler: Sampler, projection: ProjectionTexts) -> str:
    """The texts that `distill` fits the projection to, and what the first transformer makes of them [N, D]; the name of the file."""
    ids, _ = projection_texts(sampler, projection)
    table = NumberTable.of(folder, ids)
    save_tensors(folder / FILE_TEXT_STATES, {**flat(table), "states": pooled_states(first, ids)})
    return FILE_TEXT_STATES


def flat(table: NumberTable) -> dict[str, torch.Tensor]:
    """Rows of ids, one after the other, and where each one ends."""
    return {"ids": torch.tensor(table.data), "ends": torch.tensor(table.ends)}


def read_vocabulary(folder: Path, texts: StudentTexts) -> Vocabulary:
    """What stage `vocabulary` left of these texts, mapped. Texts that were embedded anew since are refused."""
    states, read = (mapped(folder / name) for name in (FILE_STATES, FILE_TEXT_STATES))
    return Vocabulary(
        WordPiece.read(folder / FILE_PIECES),
        read_tokens(folder, texts),
        torch.tensor(states["states"]) if states else None,
        ReadTexts(table_in(read), torch.tensor(read["states"])) if read else None,
    )


def read_tokens(folder: Path, texts: StudentTexts) -> dict[str, NumberTable]:
    """Token ids of the texts of every kind, mapped; others than of these texts are refused."""
    tokens = {}
    for name, kind in texts.kinds.items():
        arrays = mapped(folder / tokens_file(name))
        if not arrays or len(arrays["ends"]) != len(kind.texts):
            raise ValueError(
                f"{folder} has not the tokens of these {len(kind.texts)} texts of {name}: run vocabulary again"
            )
        tokens[name] = table_in(arrays)
    return tokens


def mapped(file: Path) -> dict[str, np.ndarray]:
    """The tensors of a file, none where there is no such file."""
    return mapped_tensors(file) if file.exists() else {}


def table_in(arrays: Mapping[str, np.ndarray]) -> NumberTable:
    """What `flat` made arrays of."""
    return NumberTable(np.asarray(arrays["ids"]), np.asarray(arrays["ends"]))


def own_vocabulary(
    run: Run[Any], settings: Settings, texts: StudentTexts, of: Callable[[], Iterable[str]]
) -> Vocabulary:
    """That of a stage that makes its own from the texts `of`: the pieces are a file of its output, the tokens have no name."""
    if run.world.leads_machine:
        write_pieces(run.output, of, settings)
    run.world.wait()
    wordpiece = WordPiece.read(run.output / FILE_PIECES)
    return Vocabulary(
        wordpiece, {name: token_table(kind.texts, wordpiece, run.output) for name, kind in texts.kinds.items()}
    )


def token_table(texts: TextTable, wordpiece: WordPiece, folder: Path) -> NumberTable:
    """Token ids of texts without special tokens, in files without names in `folder`."""
    return NumberTable.of(folder, (ids for part in in_parts(texts, TOGETHER) for ids in wordpiece.tokens(part)))


def vocabulary_texts(run: Run[VocabularyConfig], languages: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Train captions, descriptions, translations and documents, mixed so that every language gets enough pieces."""
    prepared, folder, most = run.input("prepare"), run.output, run.config.get("characters", VOCABULARY_CHARACTERS)
    pairs, groups = each_pair(prepared, "train"), each_text_row(prepared, "groups", "train")
    captions = TextTable.of(folder, (text for row in chain(pairs, groups) for text in row["captions"]))
    long = TextTable.of(folder, (text for row in each_text_row(prepared, "long", "train") for text in row["captions"]))
    concepts = TextTable.of(folder, (
        text for row in each_text_row(prepared, "concepts", "train")
        for text in (*row["names"], row.get("gloss") or "", *row.get("descriptions", []))
    ))  # fmt: skip
    plain = TextTable.of(folder, (row["text"] for row in each_text_row(prepared, "plain", "train")))
    sources: dict[str, tuple[Sequence[str], float]] = {
        "captions": (captions, 3.0),
        "concepts": (concepts, 2.0),
        "long": (long, 1.0),
        "plain": (plain, 1.0),
    }
    sources |= {language: (texts, 1.0) for language, texts in sorted(languages.items())}
    available = sum(len(text) for texts, _ in sources.values() for text in texts)
    return mixed(sources, min(most, available))
