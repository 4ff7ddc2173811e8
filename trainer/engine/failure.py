"""How a stage or a command fails: with a sentence of ours, or of the disk's, or, where nobody expected it, with the traceback."""

import errno
import json
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from safetensors import SafetensorError

import contracts
from contracts.command_line import empty_word
from contracts.constants import EXIT_FAILED, EXIT_OK, EXIT_USAGE, ON_DISK

# The trainer's code and the Python package of the contracts; a virtual environment may lie below the first.
OWN = (Path(__file__).resolve().parents[1], Path(contracts.__file__).resolve().parent)
LIBRARIES = "site-packages"
CUT_SHORT = re.compile(r"\d+ requested and \d+ written")  # by NumPy, which does not say why
Result = TypeVar("Result")


def fail_in_a_sentence(stage: str) -> None:
    """From now on an exception that the trainer raised itself ends the process with its message alone, on standard error.

    Whoever wrote `raise` wrote a sentence that says what to do, and lines of code above it would only hide it. So they would hide
    that a disk is full. What Python or a library raised else keeps its traceback, as does a broken assertion. The exit code is 1
    either way.
    """

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sentence = sentence_of(error, trace) or sentence_of_disk(error)
        if sentence is None:
            sys.__excepthook__(kind, error, trace)
        else:
            print(f"[{stage}] {sentence}", file=sys.stderr, flush=True)

    sys.excepthook = report


def sentence_of(error: BaseException, trace: TracebackType | None) -> str | None:
    """The message of an exception whose innermost line is a `raise` of the trainer; None for any other."""
    frames = traceback.extract_tb(trace)
    if not frames or not error.args or not isinstance(error, Exception):
        return None
    file = Path(frames[-1].filename).resolve()
    is_own = any(file.is_relative_to(folder) for folder in OWN) and LIBRARIES not in file.parts
    if not is_own or not (frames[-1].line or "").startswith("raise "):
        return None
    # As a string, a KeyError is its message in quotes.
    return str(error.args[0]) if isinstance(error, KeyError) else str(error)


def sentence_of_disk(error: BaseException) -> str | None:
    """What a person's disk or rights forbid; None for an error that is a fault of ours."""
    if isinstance(error, OSError):
        number, place = error.errno, error.filename
        if number is None and CUT_SHORT.fullmatch(str(error)):
            number = errno.ENOSPC
    elif isinstance(error, SafetensorError):  # it says the system's number in words, and no file
        found = re.search(r"os error (\d+)", str(error))
        number, place = found and int(found[1]), None
    else:
        return None
    name = errno.errorcode.get(number or 0, "")
    said = ON_DISK.get(name)
    return said and f"{f'{place}: ' if place else ''}{said} ({name})"


def exit_code_of(
    work: Callable[[], int | None], refusals: tuple[type[Exception], ...], *, as_json: bool = False
) -> int:
    """That of a command's work (None: ok). A user's mistake and what the disk forbids end it with a sentence, and all else is raised.

    With `as_json` the sentence is a document: a program that asked for one reads it where it reads everything else.
    """
    try:
        return work() or EXIT_OK
    except refusals as error:
        how, said, code = "refused", str(error), EXIT_USAGE
    except Exception as error:
        sentence = sentence_of_disk(error)
        if sentence is None:
            raise
        how, said, code = "failed", sentence, EXIT_FAILED
    print(json.dumps({how: said}) if as_json else said, file=sys.stdout if as_json else sys.stderr)
    return code


# -- from another process, which sends an exception without the lines that raised it --------------------------------


def outcome_of(call: Callable[[], Result]) -> Result | Exception:
    """In the other process: the result, or the exception where its message is a sentence of the trainer."""
    try:
        return call()
    except Exception as error:
        if sentence_of(error, error.__traceback__) is None:
            raise
        return error


def result_of(outcome: Result | Exception) -> Result:
    """In this one: the result, or the exception raised here."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def words_given() -> list[str]:
    """What this process was given; a word or value without text ends it in a sentence, with EXIT_USAGE."""
    refusal = empty_word(sys.argv[1:])
    if refusal is not None:
        print(refusal, file=sys.stderr)
        sys.exit(EXIT_USAGE)
    return sys.argv[1:]


def only_word(usage: str) -> str:
    """The one word of a command that takes no options; anything else prints `usage` and ends the process."""
    words = words_given()
    if len(words) != 1 or words[0].startswith("-"):
        print(usage, file=sys.stderr)
        sys.exit(EXIT_OK if words in (["-h"], ["--help"]) else EXIT_USAGE)
    return words[0]
