"""Answers by the content of their question: what was asked once, of the same model in the same words, costs nothing again."""

import hashlib
import json
import os
import threading
from dataclasses import asdict
from pathlib import Path

from augment.writer import Answer, Question


class Cache:
    """A folder of JSON files; `identity`: what tells one model from another."""

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder
        self.identity = identity
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, question: Question) -> Answer | None:
        """The answer of an earlier run; None where there is none, or where its file is damaged."""
        try:
            return Answer(**json.loads(self._file(question).read_text(encoding="utf-8"))["answer"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def put(self, question: Question, answer: Answer) -> None:
        """Store it so that a reader sees all of it or nothing. The question is kept with it, for people."""
        file = self._file(question)
        file.parent.mkdir(exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
        document = {"model": self.identity, "question": question.document(), "answer": asdict(answer)}
        temporary.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
        os.replace(temporary, file)

    def _file(self, question: Question) -> Path:
        text = json.dumps([self.identity, question.document()], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        return self.folder / digest[:2] / f"{digest}.json"
