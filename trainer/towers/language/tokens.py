"""Texts as tokens of a language model: template, first token, cut. What only wraps a text is read but not pooled."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READING = "reading.json"  # beside the weights of a saved model


@dataclass(frozen=True)
class Reading:
    """How a model reads a text.

    `template`: the text stands where its `{}` is. `add_bos`: the tokenizer's first token comes before everything.
    `special_tokens`: an encoder's own tokens around the text; they are pooled with it, as encoders are trained.
    """

    template: str | None = None
    add_bos: bool = False
    special_tokens: bool = False


@dataclass(frozen=True)
class TextTokens:
    """The tokens of one text; the first `skip` of them are attended to but left out of the pooled vector."""

    ids: list[int]
    skip: int = 0

    def __len__(self) -> int:
        """Tokens that the model reads."""
        return len(self.ids)


def text_tokens(tokenizer: Any, reading: Reading, texts: Sequence[str], max_tokens: int) -> list[TextTokens]:
    """Tokens of each text, cut at the end to `max_tokens`; an empty text becomes one end-of-text token.

    LLM2Vec (2404.05961) and LLM2CLIP wrap a text in a user's turn and average over its tokens and what follows them: the
    first token and the part of the template before the text are skipped. As there, spaces at the end of the text go.
    """
    if reading.special_tokens:
        wrapped = [text if reading.template is None else reading.template.replace("{}", text) for text in texts]
        return [TextTokens(ids) for ids in tokenizer(wrapped, truncation=True, max_length=max_tokens)["input_ids"]]
    bos = bos_ids(tokenizer, reading)
    if reading.template is None:
        rows = _ids(tokenizer, texts, truncation=True, max_length=max(1, max_tokens - len(bos)))
        return [_cut(bos + (row or [tokenizer.eos_token_id]), len(bos), max_tokens) for row in rows]
    before, after = reading.template.split("{}")
    wholes = _ids(tokenizer, [before + text.rstrip() + after for text in texts])
    # Counted from the end: a token never spans the text and what follows it, but may differ beside what precedes it.
    tails = _ids(tokenizer, [text.rstrip() + after for text in texts])
    rows = []
    for whole, tail in zip(wholes, tails, strict=True):
        ids = bos + whole + ([] if tail else [tokenizer.eos_token_id])
        read = max(1, len(tail))
        rows.append(_cut(ids, max(len(bos), len(ids) - read) if before else len(bos), max_tokens))
    return rows


def bos_ids(tokenizer: Any, reading: Reading) -> list[int]:
    """The first token as a list, empty where the model is read without one; a tokenizer without one is an error."""
    if not reading.add_bos:
        return []
    if reading.special_tokens:
        raise ValueError("language_model.add_bos is for decoders: the tokenizer of an encoder adds its own tokens")
    if tokenizer.bos_token_id is None:
        raise ValueError("language_model.add_bos: this tokenizer has no first token (bos); leave the key out")
    return [tokenizer.bos_token_id]


def padding_id(tokenizer: Any, embedding_rows: int) -> int:
    """The id that fills a row: the tokenizer's padding token where it has an embedding, else its end token, else 0.

    Llama 3 has no padding token, and Llama 2's has no embedding. Padding is masked, so which token stands there is free.
    """
    for wanted in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if wanted is not None and wanted < embedding_rows:
            return wanted
    return 0


def _ids(tokenizer: Any, texts: Sequence[str], **options: Any) -> list[list[int]]:
    return tokenizer(list(texts), add_special_tokens=False, **options)["input_ids"]


def _cut(ids: list[int], skip: int, max_tokens: int) -> TextTokens:
    if skip >= max_tokens:
        raise ValueError(
            f"max_tokens is {max_tokens}, but the first token and the template before a text are {skip}: "
            f"nothing of the text would be read; raise it above {skip}"
        )
    return TextTokens(ids[:max_tokens], skip)


def write_reading(folder: Path, reading: Reading) -> None:
    """Leave beside a saved model how it reads texts: a later stage reads it so. Nothing where there is nothing to say."""
    said = {key: value for key, value in (("template", reading.template), ("add_bos", reading.add_bos)) if value}
    if said:
        (folder / READING).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def reading_in(folder: Path) -> dict[str, Any]:
    """What `write_reading` left, as keys of a recipe's `language_model`."""
    file = folder / READING
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
