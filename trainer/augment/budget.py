"""The budget of a run: requests, tokens, dollars. What might pass a limit is not sent."""

import threading

from augment.writer import Answer, Question
from contracts.types import AugmentLimits, TokenPrices

MILLION = 1_000_000


class BudgetError(Exception):
    """A limit is reached; the message says which."""


class StopAskedError(Exception):
    """Nothing more is to be sent: the user said so, or another thread met an end."""


class Budget:
    """Counts what was spent and what is under way; safe for several threads."""

    def __init__(self, limits: AugmentLimits, prices: TokenPrices | None) -> None:
        self.limits = limits
        self.prices = prices
        self.requests = 0
        self.read = 0
        self.written = 0
        self._reserved: dict[int, Question] = {}
        self._lock = threading.Lock()

    def reserve(self, question: Question) -> None:
        """Hold back the most that a question can cost; raises BudgetError where that might pass a limit."""
        with self._lock:
            tokens = self.read + self.written + sum(each.most_tokens() for each in [*self._reserved.values(), question])
            limit = self.limits["tokens"]
            if limit is not None and tokens > limit:
                raise BudgetError(f"the next request might pass the budget of {limit} tokens")
            usd = self.limits["usd"]
            if usd is not None and self._usd_at_most(question) > usd:
                raise BudgetError(f"the next request might pass the budget of ${usd:g}")
            self._reserved[id(question)] = question

    def sending(self) -> None:
        """Count a request; raises BudgetError where there is none left."""
        with self._lock:
            limit = self.limits["requests"]
            if limit is not None and self.requests >= limit:
                raise BudgetError(f"the budget of {limit} requests is used up")
            self.requests += 1

    def settle(self, question: Question, answer: Answer | None) -> None:
        """What was held back becomes what it cost; nothing, where no answer came."""
        with self._lock:
            self._reserved.pop(id(question), None)
            if answer is not None:
                self.read += answer.tokens_read
                self.written += answer.tokens_written

    def usd(self) -> float | None:
        """US dollars so far by the stated prices; None where none are stated."""
        return None if self.prices is None else self._cost(self.read, self.written)

    def _usd_at_most(self, question: Question) -> float:
        under_way = [*self._reserved.values(), question]
        written = sum(each.samples * each.max_tokens for each in under_way)
        read = sum(each.most_tokens() for each in under_way) - written
        return self._cost(self.read + read, self.written + written)

    def _cost(self, read: int, written: int) -> float:
        prices = self.prices or {"read": 0.0, "written": 0.0}
        return (read * prices["read"] + written * prices["written"]) / MILLION
