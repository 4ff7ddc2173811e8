"""What every language model is asked and answers, whether it runs here or behind an address."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypedDict


class Message(TypedDict):
    """One turn of a conversation: `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True)
class Question:
    """A conversation and how to answer it: `samples` answers of at most `max_tokens` each."""

    messages: list[Message]
    samples: int
    max_tokens: int
    temperature: float
    seed: int

    def document(self) -> dict[str, Any]:
        """For a digest."""
        return asdict(self)

    def most_tokens(self) -> int:
        """More than it can cost: a token has at least one byte, a turn some marks around it."""
        read = sum(len(turn["content"].encode()) + 16 for turn in self.messages)
        return read + self.samples * self.max_tokens


@dataclass(frozen=True)
class Answer:
    """Texts with whether each came to its end, and the tokens that the question cost."""

    texts: list[str]
    ended: list[bool]
    tokens_read: int
    tokens_written: int


class WriterError(Exception):
    """Why no answer came and what to do about it.

    `later`: the same command can go on later. `alone`: it may be this one question; others may be answered.
    """

    def __init__(self, sentence: str, *, later: bool = False, alone: bool = False) -> None:
        super().__init__(sentence)
        self.later = later
        self.alone = alone


class Writer(Protocol):
    """A language model. `lists`: it follows the request for several captions in one answer; else one is asked for.

    `notes`: what a person should know of it, as sentences.
    """

    name: str
    where: str
    lists: bool
    concurrency: int
    notes: list[str]

    def identity(self) -> str:
        """What the cache distinguishes models by."""
        ...

    def ask(self, question: Question, sending: Callable[[], None]) -> Answer:
        """The answer; `sending` is called before every request, the repeated ones too. Raises WriterError."""
        ...
