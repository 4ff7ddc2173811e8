"""The text side of an imported model: the checkpoint's own tower, or students that have learned its vectors.

Shapes: N texts, E joint dimensions.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from contracts import load
from contracts.constants import FILE_JOB, FILE_REPORT
from contracts.types import ImitateConfig, LineageParent, Tier, TrainingJob, TrainingReport
from engine.folders.files import artefact
from exchange.incoming.checkpoint import Checkpoint
from exchange.incoming.clip_text import TextTokenizer, write_clip_text
from exchange.incoming.isolate import SMALLER_STUDENTS, EngineShape, Tower, check_isolate, check_room
from exchange.refusal import CannotExpress
from towers.clip_bpe import ClipBpe
from towers.exported_files import (
    FILE_OF,
    MIB,
    artefacts_in,
    load_tiers,
    tokenizer_of,
    write_static,
    write_tower,
)
from towers.sentencepiece_text import SentencePiece
from towers.student.files import load_static
from towers.student.model import TextStudent
from towers.wordpiece import WordPiece

Floats = Callable[[list[str]], np.ndarray]  # texts to unit vectors [N, E]


@dataclass(frozen=True)
class TextSide:
    """What the manifest says of it (`text`, `tiny`, `static`), figures, float vectors by tier, and what it was made from."""

    described: dict[str, Any]
    metrics: dict[str, float]
    floats: dict[Tier, Floats]
    parents: list[LineageParent]
    recipe: str = "imported"


def own_text(out: Path, checkpoint: Checkpoint, opset: int) -> TextSide:
    """Write the checkpoint's own tower; refuses one that no isolate holds."""
    memory = check_isolate(checkpoint.text.shape)
    text = write_clip_text(out, checkpoint.text, describe_tokenizer(out, checkpoint.tokenizer), opset)

    def floats(texts: list[str]) -> np.ndarray:
        rows = checkpoint.tokenizer.encode(texts, text["context_length"])
        return np.stack([checkpoint.text.embed(ids).numpy() for ids in rows])

    return TextSide({"text": text}, memory, {"student": floats}, [])


def students(out: Path, run: Path, opset: int) -> TextSide:
    """Write the tiers of a finished run of `imitate`."""
    if not (run / FILE_REPORT).is_file():
        raise CannotExpress(f"{run} is no finished run of imitate (no {FILE_REPORT})")
    report = cast(TrainingReport, load("TrainingReport", (run / FILE_REPORT).read_text(encoding="utf-8")))
    job = cast(TrainingJob, load("TrainingJob", (run / FILE_JOB).read_text(encoding="utf-8")))
    config = cast(ImitateConfig, job["config"])
    tiers, wordpiece, static = load_tiers(run), WordPiece.read(run / "vocabulary.txt"), load_static(run)
    shutil.copyfile(run / "vocabulary.txt", out / "vocabulary.txt")
    towers: dict[str, Any] = {tier: write_tower(out, each, FILE_OF[tier], opset) for tier, each in tiers.items()}
    length = tiers["student"].shape.context_length
    described: dict[str, Any] = {
        "text": {"tokenizer": tokenizer_of(out, wordpiece), "context_length": length, **towers["student"]},
        "static": write_static(out, static),
    }
    if "tiny" in towers:
        described["tiny"] = towers["tiny"]

    def floats_of(tier: Tier) -> Floats:
        return lambda texts: tiers[tier].embed(wordpiece.encode(texts, length)).numpy()

    figures = {name: value for name, value in report["metrics"].items() if ".dev_" in name}
    return TextSide(
        described, memory_of(described, tiers) | figures, {tier: floats_of(tier) for tier in tiers}, parents_of(config),
        job["recipe"],
    )  # fmt: skip


def memory_of(described: dict[str, Any], tiers: dict[Tier, TextStudent]) -> dict[str, float]:
    """What an isolate takes with all tiers open; refuses students that are too large."""
    places: dict[Tier, str] = {"student": "text", "tiny": "tiny"}

    def held(tier: Tier) -> Tower:
        described_tower = described[places[tier]]
        return Tower(
            described_tower["table"]["file"]["size"] / MIB,
            described_tower["graph"]["weights"]["file"]["size"] / MIB,
            EngineShape.of_student(tiers[tier].shape).linear_bytes() / MIB,
        )

    static = sum(file["size"] for file in artefacts_in(described["static"])) / MIB
    return check_room([held(tier) for tier in tiers], static, SMALLER_STUDENTS)


def parents_of(config: ImitateConfig) -> list[LineageParent]:
    """What students learned from, beside the checkpoint."""
    texts: list[LineageParent] = [
        {"name": Path(name).name, "source": "captions that the text students learned from", "licence": "not stated"}
        for name in config["captions"]
    ]
    starts = {tier["initial_weights"] for tier in config["student"]["tiers"]} - {"scratch", "student"}
    return texts + [
        {"name": package, "source": f"package {package}: start of a text student", "licence": "as its package says"}
        for package in sorted(starts)
    ]


def describe_tokenizer(out: Path, tokenizer: ClipBpe | SentencePiece) -> TextTokenizer:
    """Write the vocabulary; returns what the manifest says of it."""
    tokenizer.write(out)
    if isinstance(tokenizer, SentencePiece):
        described: TextTokenizer = {
            "type": "sentencepiece",
            "vocabulary": artefact(out, "sentencepiece.model"),
            "vocabulary_size": tokenizer.size,
            "pad_id": tokenizer.pad,
            "unk_id": tokenizer.unknown,
            "sep_id": tokenizer.end,
        }
        if tokenizer.cleaning is not None:
            described["cleaning"] = tokenizer.cleaning
        return described
    return {
        "type": "clip_bpe",
        "vocabulary": artefact(out, "vocabulary.txt"),
        "merges": artefact(out, "merges.txt"),
        "vocabulary_size": len(tokenizer.pieces),
        "pad_id": tokenizer.end,
        "unk_id": tokenizer.end,
        "cls_id": tokenizer.start,
        "sep_id": tokenizer.end,
    }
