"""The prompts: data in prompts.json, or in a file of the user's, filled in for one class or image."""

import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augment.items import Wanted
from augment.writer import Message
from towers.formats.item import FormatError
from towers.text.unicode import whole

OWN = Path(__file__).with_name("prompts.json")
FIELDS = {"name", "thing", "group", "description", "captions", "count", "language"}


@dataclass(frozen=True)
class Prompt:
    """What is asked about one kind of item. `needs`: fields that an item must have; `unless`: a better prompt's id."""

    id: str
    of: str
    system: str
    examples: list[dict[str, Any]]
    ask: str
    needs: list[str]
    unless: str | None = None

    def check_kinds(self) -> None:
        """Raise TypeError or KeyError where a part is not what it should be."""
        texts = [self.id, self.of, self.system, self.ask, *self.needs, *(each["ask"] for each in self.examples)]
        texts += [answer for each in self.examples for answer in each["answers"]]
        wrong = next((text for text in texts if not isinstance(text, str)), None)
        if wrong is not None or not isinstance(self.needs, list):
            raise TypeError(f"{self.needs if wrong is None else wrong!r} stands where a text or texts should")

    def messages(self, item: Wanted, count: int, language: str) -> list[Message]:
        """The conversation that ends with the question; each example is a question with its answer, one text a line."""
        always = {"count": str(count), "language": language}
        turns = [("system", filled(self.system, always))]
        for example in self.examples:
            turns.append(("user", filled(example["ask"], always)))
            turns.append(("assistant", "\n".join(example["answers"][:count])))
        turns.append(("user", filled(self.ask, {**item.fields(), **always})))
        return [{"role": role, "content": whole(content)} for role, content in turns]


def read_prompts(file: Path | None) -> tuple[list[Prompt], list[str]]:
    """(prompts, words of what no photograph shows) of a file; without one the trainer's own."""
    path = file or OWN
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        prompts = [Prompt(**{"examples": [], "needs": [], **row}) for row in document["prompts"]]
        unseen = [str(word) for word in document.get("unseen", [])]
        for prompt in prompts:
            prompt.check_kinds()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise FormatError(f"there is no file of prompts {path}") from error
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(
            f'{path.name} holds no prompts ({error}); it is {{"prompts": [{{"id", "of": "class"|"image", "system", '
            '"examples": [{"ask", "answers"}], "ask", "needs": [fields]}], "unseen": [words]}'
        ) from error
    for prompt in prompts:
        check(path, prompt)
    return prompts, unseen


def check(path: Path, prompt: Prompt) -> None:
    """Every placeholder must be a field, and the question may only speak of what the prompt needs."""
    if prompt.of not in {"class", "image"}:
        raise FormatError(f"{path.name}, {prompt.id}: a prompt is of `class` or of `image`, not of `{prompt.of}`")
    texts = [prompt.system, prompt.ask, *(str(example.get("ask", "")) for example in prompt.examples)]
    try:
        names = {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError as error:
        raise FormatError(f"{path.name}, {prompt.id}: {error}; write a brace as {{{{ or }}}}") from error
    allowed = {"count", "language", *prompt.needs}
    if not names <= allowed or not set(prompt.needs) <= FIELDS:
        wrong = sorted((names - allowed) | (set(prompt.needs) - FIELDS))
        raise FormatError(
            f"{path.name}, {prompt.id}: {', '.join(wrong)} cannot be filled in. There are {', '.join(sorted(FIELDS))}; "
            "all but count and language have to be in `needs`"
        )


def usable(prompts: Sequence[Prompt], item: Wanted) -> list[Prompt]:
    """The prompts for an item: of its kind, with all that they need, without those that a better one replaces."""
    known = item.fields()
    fitting = [prompt for prompt in prompts if prompt.of == item.kind and all(name in known for name in prompt.needs)]
    ids = {prompt.id for prompt in fitting}
    return [prompt for prompt in fitting if prompt.unless not in ids]


def filled(text: str, values: Mapping[str, str]) -> str:
    """Placeholders replaced by their values."""
    return text.format_map(dict(values))
