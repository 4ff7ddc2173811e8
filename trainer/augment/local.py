"""A causal language model on this machine as a writer."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from transformers.utils import logging

from augment.writer import Answer, Message, Question, WriterError
from engine.world import fast_dtype
from towers.language.read import read_decoder, weights_of
from towers.published_weights import UNREADABLE, in_one_line

SMALL_GIGABYTES = 1.0
SMALL_SENTENCE = (
    "{} is a small language model ({:.1f} GB of weights): more than half of what such models write of classes is wrong. "
    "Read all of it before you learn from it, or ask a larger one"
)


class LocalModel:
    """`weights`: a Hugging Face folder, a .gguf file, or a package that carries one. Loaded at the first question."""

    lists = False
    concurrency = 1
    where = "this machine"

    def __init__(self, weights: str) -> None:
        is_path = "/" in weights or Path(weights).exists()
        self.source: Any = {"source": "directory" if is_path else "gguf_package", "name": weights}
        folder, options = weights_of(self.source)
        self.files = [Path(folder) / options["gguf_file"]] if options else sorted(Path(folder).glob("*.safetensors"))
        if not self.files:
            raise FileNotFoundError(f"{weights} holds no weights: neither .safetensors nor .gguf")
        self.name = self.files[0].stem if options else Path(folder).resolve().name
        gigabytes = sum(file.stat().st_size for file in self.files) / 1e9
        self.notes = [] if gigabytes >= SMALL_GIGABYTES else [SMALL_SENTENCE.format(self.name, gigabytes)]
        self._model: tuple[Any, Any] | None = None

    def identity(self) -> str:
        """The digest of the weights: a model of the same name may be another one."""
        digest = hashlib.sha256()
        for file in self.files:
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()

    def ask(self, question: Question, sending: Callable[[], None]) -> Answer:
        """Samples of one conversation, drawn together from the question's seed."""
        sending()
        model, tokenizer = self._loaded()
        try:
            text = as_text(tokenizer, question.messages)
        except TemplateError as error:
            raise WriterError(
                f"{self.name} cannot be asked: its chat template refuses a conversation ({error}). Choose a model that was "
                "taught to follow instructions"
            ) from error
        ids_1T = tokenizer(text, return_tensors="pt", add_special_tokens=False)
        torch.manual_seed(question.seed)
        drawn = {"do_sample": True, "temperature": question.temperature, "top_p": 0.95, "top_k": 0}
        likeliest = {"do_sample": False}
        with torch.inference_mode():
            output_ST = model.generate(
                **ids_1T,
                **(drawn if question.temperature > 0 else likeliest),
                num_return_sequences=question.samples if question.temperature > 0 else 1,
                max_new_tokens=question.max_tokens,
                pad_token_id=tokenizer.eos_token_id,
                # A caption is one line: what follows it is a new one, or a talk with itself.
                stop_strings=["\n"],
                tokenizer=tokenizer,
            )
        read = ids_1T["input_ids"].shape[1]
        written_ST = output_ST[:, read:]
        texts = tokenizer.batch_decode(written_ST, skip_special_tokens=True)
        # Rows that ended are filled up with the end token, which one of them wrote itself.
        lengths = [min(int((row != tokenizer.eos_token_id).sum()) + 1, len(row)) for row in written_ST]
        ended = [
            length < question.max_tokens or text.endswith("\n") for text, length in zip(texts, lengths, strict=True)
        ]
        return Answer([text.strip() for text in texts], ended, read, sum(lengths))

    def _loaded(self) -> tuple[Any, Any]:
        if self._model is None:
            logging.disable_progress_bar()  # the command shows its own
            folder, options = weights_of(self.source)
            try:
                model, tokenizer, _ = read_decoder(folder, options, fast_dtype(torch.device("cpu")))
            except UNREADABLE as error:
                named = Path(folder) / options["gguf_file"] if options else Path(folder)
                raise WriterError(f"{self.source['name']} cannot be read: {in_one_line(error, named)}") from error
            self._model = model.eval(), tokenizer
        return self._model


def as_text(tokenizer: Any, messages: list[Message]) -> str:
    """The conversation in the model's own template; a model that never learned to chat continues plain text.

    Raises jinja2's TemplateError where the template refuses it.
    """
    if tokenizer.chat_template is None:
        return "\n\n".join(turn["content"] for turn in messages) + "\n"
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except TemplateError:
        # Gemma's and others know no system role.
        told = told_by_user(messages)
        if told == messages:
            raise
        return tokenizer.apply_chat_template(told, tokenize=False, add_generation_prompt=True)


def told_by_user(messages: list[Message]) -> list[Message]:
    """The same with what the system says at the beginning of the first turn of the user."""
    system = [turn["content"] for turn in messages if turn["role"] == "system"]
    turns = [turn for turn in messages if turn["role"] != "system"]
    if not system or not turns:
        return messages
    first = "\n\n".join([*system, turns[0]["content"]])
    return [{"role": turns[0]["role"], "content": first}, *turns[1:]]
