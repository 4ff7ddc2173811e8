"""Asks for captions of every item, keeps what is usable, and says what came of it."""

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import ceil

from augment.budget import Budget, BudgetError, StopAskedError
from augment.cache import Cache
from augment.check import Judge, lines_of
from augment.items import Wanted
from augment.prompts import Prompt, usable
from augment.writer import Answer, Question, Writer, WriterError
from contracts.types import AugmentJob
from engine.failure import sentence_of_disk
from towers.text.unicode import whole

# Of what small models write a part is dropped: more is asked for than is wanted.
SPARE = 1.5
ROUNDS = 3
MOST_REFUSALS = 5  # one after the other: then it is not the question


@dataclass
class Outcome:
    """What was kept by item, what was dropped by reason, and what ended the run early."""

    kept: dict[int, list[tuple[str, str]]] = field(default_factory=dict)  # item -> [(prompt's id, caption)]
    dropped: Counter[str] = field(default_factory=Counter)
    cached: int = 0
    ends: list[Exception] = field(default_factory=list)

    @property
    def end(self) -> Exception | None:
        """What ended it early: a writer that gave up before a budget, and both before what merely followed from them."""
        order = [WriterError, BudgetError, StopAskedError]
        return min(self.ends, key=lambda error: order.index(type(error)), default=None)


@dataclass(frozen=True)
class Means:
    """What a run works with: the language model, what it answered before, what it may cost, and whether to stop.

    `unseen`: words of what no photograph shows; a caption with one is dropped.
    """

    writer: Writer
    cache: Cache
    budget: Budget
    stop: threading.Event
    unseen: Sequence[str]


@dataclass(frozen=True)
class Task:
    """One question about one item."""

    item: int
    prompt: Prompt
    question: Question


class Scribe:
    """One run over the items of a job."""

    def __init__(self, job: AugmentJob, items: Sequence[Wanted], prompts: Sequence[Prompt], means: Means) -> None:
        self.job = job
        self.items = items
        self.prompts = [usable(prompts, item) for item in items]
        self.writer, self.cache, self.budget, self.stop = means.writer, means.cache, means.budget, means.stop
        names = [item.name for item in items if item.name is not None]
        self._unkept: WriterError | None = None
        self.judge = Judge(names, unseen=means.unseen, max_words=job["max_words"], language=job["language"])

    def write(self, tick: Callable[[int, int, Outcome], None]) -> Outcome:
        """Up to three rounds: what a round's answers lack is asked for in the next with other seeds."""
        outcome = Outcome(kept={number: [] for number in range(len(self.items))})
        total = len(self.items)
        for round_number in range(ROUNDS):
            tasks = list(self._tasks(outcome, round_number))
            if not tasks:
                break
            left = Counter(task.item for task in tasks)
            done = total - len(left)
            for task, answer in self._answers(tasks, outcome):
                self._keep(task, answer, outcome)
                left[task.item] -= 1
                done += left[task.item] == 0
                tick(done, total, outcome)
            if outcome.ends:
                break
        return outcome

    def _tasks(self, outcome: Outcome, round_number: int) -> Iterator[Task]:
        """The questions that are left; the share of each prompt is alike."""
        for number, item in enumerate(self.items):
            missing = self.job["per_item"] - len(outcome.kept[number])
            prompts = self.prompts[number]
            if missing <= 0 or not prompts:
                continue
            share = ceil(missing * SPARE / len(prompts))
            for prompt in prompts:
                yield Task(number, prompt, self._question(item, prompt, share, round_number))

    def _question(self, item: Wanted, prompt: Prompt, share: int, round_number: int) -> Question:
        """A writer that follows lists gets one request for all; another one as many samples of one caption each."""
        count = share if self.writer.lists else 1
        key = f"{self.job['seed']} {round_number} {prompt.id} {item.kind} {item.id}"
        return Question(
            messages=prompt.messages(item, count, self.job["language"]),
            samples=1 if self.writer.lists else share,
            max_tokens=self.job["answer_tokens"] * count,
            temperature=self.job["temperature"],
            seed=int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:4], "big") >> 1,
        )

    def _answers(self, tasks: Sequence[Task], outcome: Outcome) -> Iterator[tuple[Task, Answer]]:
        """Answers in the order of the tasks, whatever order they come in; ends early with the reason in `outcome`."""
        with ThreadPoolExecutor(self.writer.concurrency) as pool:
            waiting: list[tuple[Task, Future[tuple[Answer, bool]]]] = []
            queue = iter(tasks)
            ended = False
            refusals = 0
            while True:
                while not ended and len(waiting) < 2 * self.writer.concurrency:
                    task = next(queue, None)
                    ended = task is None
                    if task is not None:
                        waiting.append((task, pool.submit(self._answer, task.question)))
                if not waiting:
                    return
                task, future = waiting.pop(0)
                try:
                    answer, was_cached = future.result()
                except (BudgetError, StopAskedError, WriterError) as error:
                    refusals += 1
                    if isinstance(error, WriterError) and error.alone and refusals < MOST_REFUSALS:
                        outcome.dropped["refused"] += 1
                        continue
                    # What is under way is taken in; nothing new is sent.
                    ended = True
                    self.stop.set()
                    outcome.ends.append(error)
                    continue
                refusals = 0
                outcome.cached += was_cached
                yield task, answer
                if self._unkept is not None and not ended:
                    ended = True
                    outcome.ends.append(self._unkept)

    def _answer(self, question: Question) -> tuple[Answer, bool]:
        """(answer, whether it was there already)."""
        known = self.cache.get(question)
        if known is not None:
            return known, True
        self.budget.reserve(question)
        answer: Answer | None = None
        try:
            answer = self.writer.ask(question, self._sending)
            self._keep_for_later(question, answer)
            return answer, False
        except WriterError as error:
            if not error.alone:
                self.stop.set()
            raise
        finally:
            self.budget.settle(question, answer)

    def _keep_for_later(self, question: Question, answer: Answer) -> None:
        """What cannot be kept would be paid for again: this answer is used, and no more are asked for."""
        try:
            self.cache.put(question, answer)
        except OSError as error:
            place = f"answers cannot be kept in {self.cache.folder}"
            self._unkept = WriterError(f"{place}: {sentence_of_disk(error) or error}", later=True)
            self.stop.set()

    def _sending(self) -> None:
        if self.stop.is_set():
            raise StopAskedError("it was asked to stop")
        self.budget.sending()

    def _keep(self, task: Task, answer: Answer, outcome: Outcome) -> None:
        """Take the usable captions of an answer, no more than are wanted."""
        item, kept = self.items[task.item], outcome.kept[task.item]
        for text, ended in zip(answer.texts, answer.ended, strict=False):
            lines, unfinished = lines_of(whole(text), ended=ended)
            if unfinished:
                outcome.dropped["unfinished"] += unfinished
            if not lines and not unfinished:
                outcome.dropped["empty"] += 1
            for line in lines:
                if len(kept) >= self.job["per_item"]:
                    return
                reason = self.judge.reason(line, item, [caption for _, caption in kept])
                if reason is None:
                    kept.append((task.prompt.id, line))
                else:
                    outcome.dropped[reason] += 1
