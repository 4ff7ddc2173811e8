"""What is known of the claims so far: a line of docs/claims.jsonl for each question that has figures, from whatever runs it was read.

Runs go, figures stay: another folder of runs adds to them and takes none away.
"""

import json
from pathlib import Path

from engine.folders.files import write_atomically
from evaluation.claims.answers import NOT_RUN, Answer, Answered, verdict
from evaluation.claims.table import CLAIMS, Question

FILE = "claims.jsonl"  # beside the page that has the table
ASKS = "asks"  # the question's key


class BadRecord(ValueError):
    """A record that cannot be read; the message names the line."""


def read_record(file: Path) -> dict[str, Answer]:
    """The answers by their question's key; of questions that are not asked any more none."""
    found: dict[str, Answer] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines() if file.exists() else [], 1):
        try:
            answer = json.loads(line)
            found[answer.pop(ASKS)] = answer
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise BadRecord(f"{file}, line {number} is no answer to a claim ({error}): take it out") from None
    return found


def with_record(claims: list[Answered], record: dict[str, Answer]) -> list[Answered]:
    """The answers of some runs, and the recorded ones where those have none or are of fewer seeds."""
    return [
        {
            **found,
            "answers": [
                better(question, answer, record.get(question.key))
                for question, answer in zip(claim.questions, found["answers"], strict=True)
            ],
        }
        for claim, found in zip(CLAIMS, claims, strict=True)
    ]


def better(question: Question, answer: Answer, recorded: Answer | None) -> Answer:
    """That of more seeds; of equally many, what was read now."""
    if recorded is None or len(answer["seeds"]) >= len(recorded["seeds"]):
        return answer
    # Words are those of the table as it is, figures those that were recorded.
    kept: Answer = {**recorded, "what": question.what, "run": question.run}
    kept["verdict"] = verdict(question, kept)
    return kept


def write_record(file: Path, claims: list[Answered]) -> None:
    """A line for each question that has figures, in the table's order."""
    lines = [
        json.dumps({ASKS: question.key, **answer}, ensure_ascii=False) + "\n"
        for claim, found in zip(CLAIMS, claims, strict=True)
        for question, answer in zip(claim.questions, found["answers"], strict=True)
        if answer["verdict"] != NOT_RUN
    ]
    write_atomically(file, "".join(lines))
