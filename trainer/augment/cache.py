"""Answers by the content of their question: what was asked once, of the same model in the same words, costs nothing again."""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

from augment.writer import Answer, Question
from engine.folders.temporary import temporary_of


class Cache:
    """A folder of JSON files; `identity`: what tells one model from another."""

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder
        self.identity = identity
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, question: Question) -> Answer | None:
        """The answer of an earlier run; None where there is none, or where its file is damaged."""
        try:
            answer = Answer(**json.loads(self._file(question).read_text(encoding="utf-8"))["answer"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return answer if is_answer(answer) else None

    def put(self, question: Question, answer: Answer) -> None:
        """Store it so that a reader sees all of it or nothing. The question is kept with it, for people."""
        file = self._file(question)
        file.parent.mkdir(exist_ok=True)
        temporary = temporary_of(file)
        document = {"model": self.identity, "question": question.document(), "answer": asdict(answer)}
        try:
            # Escaped: an answer may hold half of a surrogate pair.
            temporary.write_text(json.dumps(document), encoding="utf-8")
            os.replace(temporary, file)
        finally:
            temporary.unlink(missing_ok=True)

    def _file(self, question: Question) -> Path:
        text = json.dumps([self.identity, question.document()], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        return self.folder / digest[:2] / f"{digest}.json"


def is_answer(read: Answer) -> bool:
    """Whether a file held an answer: somebody may have edited it."""
    counts = [read.tokens_read, read.tokens_written]
    return (
        isinstance(read.texts, list)
        and isinstance(read.ended, list)
        and len(read.texts) == len(read.ended)
        and all(isinstance(text, str) for text in read.texts)
        and all(isinstance(count, int) for count in counts)
    )
