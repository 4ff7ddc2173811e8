"""A server that speaks OpenAI's chat completions as a writer: waits when it is told to, gives up with a sentence.

Source of the form: the public description of `POST /chat/completions`; servers differ in which options they take.
"""

import http.client
import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from augment.writer import Answer, Question, WriterError
from towers.formats.item import FormatError

ATTEMPTS = 6
LONGEST_WAIT = 300.0  # seconds; who is told to wait longer had better come back later
AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}
ONE_QUESTION = {400, 413, 422}  # too long for the model, or against the provider's rules
# A server that refuses an option by its name is asked without it, or by its newer name, from then on.
NEWER_NAMES = {"max_tokens": "max_completion_tokens"}
OPTIONAL = {"seed", "temperature", "n"}
MOST_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Address:
    """`base_url` ends before `/chat/completions`; `key`: sent as a bearer token, never printed or stored."""

    base_url: str
    model: str
    key: str | None
    concurrency: int
    timeout: float


class Endpoint:
    """A writer behind an address; `stop` ends its pauses."""

    lists = True

    def __init__(self, address: Address, stop: threading.Event) -> None:
        self.where = address.base_url.rstrip("/")
        self.url = f"{self.where}/chat/completions"
        self.name = address.model
        self.concurrency = address.concurrency
        self.notes: list[str] = []
        self._key = address.key
        self._timeout = address.timeout
        self._stop = stop
        self._lock = threading.Lock()
        self._not_before = 0.0
        self._refused: set[str] = set()
        self._has_answered = False
        # A redirection would take the key along to whatever address it names.
        self._opener = urllib.request.build_opener(NoRedirection)

    def identity(self) -> str:
        """A model of the same name behind another address may be another one."""
        return f"{self.where} {self.name}"

    def ask(self, question: Question, sending: Callable[[], None]) -> Answer:
        """One answer, after as many repetitions and pauses as the server asks for."""
        wait, sentence = 0.0, f"{self.where} was not asked"
        for attempt in range(ATTEMPTS):
            self._pause()
            sending()
            refused = set(self._refused)
            try:
                answer = answer_of(self._post(self._body(question, refused)), question)
                self._has_answered = True
                return answer
            except NoCompletionError as error:
                # A server that has answered before is at the right address, and something between here and there is not well.
                if not self._has_answered:
                    raise WriterError(f"{self.url} {error}") from error
                sentence, wait = f"{self.url} {error}", seconds_to_wait(None, attempt)
            except urllib.error.HTTPError as error:
                document = read_json(error)
                if self._learned(error.code, document, refused):
                    continue
                sentence = self._sentence(error.code, document, error.headers.get("location"))
                if error.code not in AGAIN or said(document).get("code") == "insufficient_quota":
                    raise WriterError(sentence, later=error.code == 429, alone=error.code in ONE_QUESTION) from error
                wait = seconds_to_wait(error.headers.get("retry-after"), attempt)
            except (OSError, http.client.HTTPException) as error:
                sentence = f"{self.where} did not answer: {getattr(error, 'reason', error)}"
                wait = seconds_to_wait(None, attempt)
            if wait > LONGEST_WAIT:
                raise WriterError(f"{sentence}; it asks to come back in {wait:.0f} s", later=True)
            with self._lock:
                self._not_before = max(self._not_before, time.monotonic() + wait)
        raise WriterError(f"{sentence}; {ATTEMPTS} attempts", later=True)

    def _body(self, question: Question, refused: set[str]) -> dict[str, Any]:
        options: dict[str, Any] = {
            "temperature": question.temperature,
            "seed": question.seed,
            "max_tokens": question.max_tokens,
        }
        if question.samples > 1:
            options["n"] = question.samples
        named = {NEWER_NAMES.get(name, name) if name in refused else name: value for name, value in options.items()}
        kept = {name: value for name, value in named.items() if not (name in OPTIONAL and name in refused)}
        return {"model": self.name, "messages": question.messages, **kept}

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"content-type": "application/json", "accept": "application/json", "user-agent": "edge-clip"}
        if self._key is not None:
            headers["authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)
        deadline = time.monotonic() + self._timeout
        text = b""
        with self._opener.open(request, timeout=self._timeout) as response:
            # The timeout of a connection is one of each piece: a server that sends a little now and then has none.
            while len(text) < MOST_BYTES and (piece := response.read1(MOST_BYTES - len(text))):
                text += piece
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no whole answer in {self._timeout:g} s")
            if len(text) < MOST_BYTES and response.length:
                raise http.client.IncompleteRead(text, response.length)
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise NoCompletionError("answers something else than JSON: is it the address?") from error
        if not isinstance(document, dict) or not isinstance(document.get("choices"), list):
            reason = said(document).get("message") if isinstance(document, dict) else None
            told = "" if reason is None else f" ({self._told(reason)})"
            raise NoCompletionError(f"answers without `choices`{told}: it is no chat completion")
        return document

    def _pause(self) -> None:
        """Wait until the server wants to be asked again; a stop ends the wait."""
        with self._lock:
            wait = self._not_before - time.monotonic()
        if wait > 0:
            self._stop.wait(wait)

    def _learned(self, status: int, document: Mapping[str, Any], sent_without: set[str]) -> bool:
        """Whether the refusal names an option that can be left out: then it is, and the question is asked again."""
        name = said(document).get("param")
        if status not in {400, 422} or name not in OPTIONAL | set(NEWER_NAMES) or name in sent_without:
            return False
        with self._lock:
            self._refused.add(name)
        return True

    def _sentence(self, status: int, document: Mapping[str, Any], elsewhere: str | None) -> str:
        if elsewhere is not None and status < 400:
            return f"{self.where} sends on to {self._told(elsewhere)}: name the right address with --base-url"
        message = self._told(said(document).get("message") or document.get("detail") or "no reason is given")
        advice = {401: ": check the key", 403: ": check the key", 404: ": check --base-url and --model"}
        return f"{self.where} refuses with {status} ({message}){advice.get(status, '')}"

    def _told(self, words: object) -> str:
        """What a server says, without the key."""
        message = str(words)[:300]
        return message if self._key is None else message.replace(self._key, "[key]")


class NoRedirection(urllib.request.HTTPRedirectHandler):
    """A redirection is a refusal."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: the answer is an HTTPError."""
        return


class NoCompletionError(Exception):
    """An answer that is no chat completion, as the end of a sentence that the address begins."""


def usable_key(variable: str, key: str | None) -> str:
    """The key without white space around it. Raises FormatError, which does not show it, for what no request can carry."""
    stripped = (key or "").strip()
    if not stripped:
        raise FormatError(f"the environment variable {variable} holds no key: set it, or name another one")
    if not stripped.isascii() or not stripped.isprintable():
        raise FormatError(f"the environment variable {variable} holds characters that no key has: set it again")
    return stripped


def answer_of(document: Mapping[str, Any], question: Question) -> Answer:
    """Texts and counts of a chat completion; where the server counts no tokens, a token is taken as four bytes.

    Raises NoCompletionError where it has another form, WriterError where it holds no answer.
    """
    texts, ended = [], []
    for choice in document["choices"]:
        if not isinstance(choice, Mapping):
            raise NoCompletionError("answers with `choices` that are none: it is no chat completion")
        message = choice.get("message")
        texts.append(text_of(message.get("content")) if isinstance(message, Mapping) else "")
        ended.append(choice.get("finish_reason") != "length")
    if not texts:
        raise WriterError("the server answered with no choice", alone=True)
    usage = document.get("usage")
    counted = usage if isinstance(usage, Mapping) else {}
    read = sum(len(turn["content"].encode()) for turn in question.messages) // 4
    written = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) // 4
    return Answer(
        texts, ended, count_of(counted, "prompt_tokens", read), count_of(counted, "completion_tokens", written)
    )


def text_of(content: object) -> str:
    """A message's text; some servers send it in parts."""
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, Mapping))
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def count_of(usage: Mapping[str, Any], name: str, otherwise: int) -> int:
    """A number of tokens that a server counted; `otherwise` where it says none that can be."""
    count = usage.get(name)
    return int(count) if isinstance(count, int | float) and 0 <= count < float("inf") else otherwise


def read_json(error: urllib.error.HTTPError) -> dict[str, Any]:
    """The document of a refusal, empty where there is none."""
    try:
        document = json.loads(error.read(MOST_BYTES))
    except (ValueError, OSError, http.client.HTTPException, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def said(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a refusal says of itself: `error` is an object with some servers, a sentence with others."""
    error = document.get("error")
    if isinstance(error, Mapping):
        return error
    return {"message": error} if isinstance(error, str) else {}


def seconds_to_wait(asked: str | None, attempt: int) -> float:
    """What `retry-after` asks for, in seconds or as a date (RFC 9110, 10.2.3); else doubling from a second, spread by a quarter."""
    if asked is not None:
        try:
            return max(0.0, float(asked))
        except ValueError:
            pass
        try:
            return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
        except ValueError:
            pass
    return min(60.0, 2.0**attempt) * random.uniform(1.0, 1.25)
