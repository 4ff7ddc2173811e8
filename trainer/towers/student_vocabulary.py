"""The vocabulary of text students: the pieces, every text as pieces, and what the first transformer makes of each piece.

Stage `vocabulary` leaves it as files, which `distill` maps: none of it depends on what students learn.
V pieces, D width of the first transformer.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from contracts.types import FirstTier, ImitateStudent, VocabularyConfig
from data.features import mapped_tensors, save_tensors
from engine.run import Run
from towers.init_from_bert import init_from_package
from towers.student import StudentShape, TextStudent
from towers.student_start import PIECE_TOKENS, piece_states
from towers.student_texts import Kind, StudentTexts, token_table
from towers.text_tables import NumberTable
from towers.wordpiece import WordPiece, train_vocabulary

FILE_PIECES, FILE_STATES = "vocabulary.txt", "states.safetensors"


Settings = VocabularyConfig | ImitateStudent


@dataclass(frozen=True)
class Vocabulary:
    """Pieces, and token ids of the texts of every kind; `states_VD`: of the pieces in the first transformer, where it was asked."""

    wordpiece: WordPiece
    tokens: Mapping[str, NumberTable]
    states_VD: torch.Tensor | None = None


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


def write_tokens(folder: Path, name: str, kind: Kind, wordpiece: WordPiece) -> None:
    """The texts of a kind as ids, one after the other, and where each one ends; unless an earlier attempt has written them."""
    file = folder / tokens_file(name)
    if not file.exists():
        table = token_table(kind.texts, wordpiece, folder)
        save_tensors(file, {"ids": torch.tensor(table.data), "ends": torch.tensor(table.ends)})


def write_states(folder: Path, wordpiece: WordPiece, tier: FirstTier, device: torch.device) -> None:
    """What the first transformer makes of each piece [V, D] before it is trained; unless an earlier attempt has written it."""
    file = folder / FILE_STATES
    if not file.exists():
        shape = StudentShape(
            len(wordpiece.pieces), tier["layers"], tier["width"], tier["heads"], PIECE_TOKENS, 1, [], tier["table_width"]
        )  # fmt: skip
        student = TextStudent(shape)
        init_from_package(student, wordpiece, tier["initial_weights"])
        save_tensors(file, {"states": piece_states(student.to(device))})


def read_vocabulary(folder: Path, texts: StudentTexts) -> Vocabulary:
    """What stage `vocabulary` left of these texts, mapped. Texts that were embedded anew since are refused."""
    tokens = {}
    for name, kind in texts.kinds.items():
        file = folder / tokens_file(name)
        arrays = mapped_tensors(file) if file.exists() else {}
        if not arrays or len(arrays["ends"]) != len(kind.texts):
            raise ValueError(
                f"{folder} has not the tokens of these {len(kind.texts)} texts of {name}: run vocabulary again"
            )
        tokens[name] = NumberTable(np.asarray(arrays["ids"]), np.asarray(arrays["ends"]))
    states = folder / FILE_STATES
    found = torch.tensor(mapped_tensors(states)["states"]) if states.exists() else None
    return Vocabulary(WordPiece.read(folder / FILE_PIECES), tokens, found)


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
