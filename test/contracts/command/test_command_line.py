"""Commands in Python whose command line holds an empty word, as of a variable of the shell that is not set."""

import subprocess

import pytest

from contracts.command_line import empty_word
from warm import ROOT, STAGE_ENV, warm_python


def test_words_that_say_something_are_taken():
    assert empty_word(["model", "--suite=a=b", "--only", "x", "--", "-y"]) is None
    assert empty_word([]) is None


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ([""], "argument 1"),
        (["model", " "], "argument 2"),
        (["--data", ""], "the argument after --data"),
        (["--data=", "model"], "--data"),
    ],
)
def test_an_empty_word_is_refused_by_its_place(words, place):
    assert empty_word(words) == f"{place} is empty: give it a value, or leave it out"


@pytest.mark.parametrize(
    "module", ["evaluation", "evaluation.claims", "exchange", "augment", "container", "container.copy"]
)
def test_a_command_does_not_take_the_current_folder_for_it(module):
    ended = subprocess.run([warm_python(), "-m", module, ""], env=STAGE_ENV, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "argument 1 is empty: give it a value, or leave it out\n"
