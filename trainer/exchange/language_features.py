"""Vectors of captions by a language model, as `import --distil` reads them: `python -m exchange features`.

Different texts are computed in parts, each of which is a file that appears when it is whole: what is stopped goes on with the
next part. Shapes: N captions of the file, in its order and with equal texts again; D width of the language model.
"""

import fcntl
import json
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import AutoConfig

from contracts.types import EmbedCaptionsConfig, LanguageModel
from data.features import mapped_tensors, new_features, save_tensors
from engine.failure import sentence_of_disk
from engine.folders.files import digest_of_file, write_atomically
from engine.world import fast_dtype
from exchange.refusal import CannotExpress
from towers.imitation.captions import each_caption
from towers.language.read import read_language_model
from towers.teachers import text_features

BATCH_TOKENS = 8192
PART_TEXTS = 1024  # at most so many are computed again after a stop
SAID_SECONDS = 10.0
PARTIAL, SETTINGS, LOCK = ".partial", "settings.json", "lock"


@dataclass(frozen=True)
class Wanted:
    """Whose vectors of what. `template`: what a text is wrapped in, with the text at `{}`, which alone stands for no wrapper."""

    language_model: Path
    template: str
    add_bos: bool
    captions: Path
    max_tokens: int


def check_language_model(folder: Path, width: int, reader: str) -> None:
    """Refuse a folder whose vectors have another width than `reader` wants; opens its configuration alone."""
    if not folder.is_dir():
        raise CannotExpress(f"--language-model {folder}: there is no such folder")
    try:
        found = AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config().hidden_size
    except (AttributeError, OSError, ValueError) as error:
        raise CannotExpress(
            f"--language-model {folder}: it is no language model in transformers' layout: {error}"
        ) from error
    if found != width:
        raise CannotExpress(
            f"--language-model {folder}: its vectors have {found} numbers, and {reader} reads {width}: name the language model that "
            "the checkpoint was trained with"
        )


def write_features(wanted: Wanted, to: Path) -> str:
    """Write `features` [N, D], of unit length in bfloat16; returns what was written. Equal texts are computed once.

    Beside `to` is a folder of finished parts until everything is written: the same call goes on with what is missing.
    """
    if to.exists():
        raise CannotExpress(f"{to} is there already: name another file with --to, or remove it")
    check(wanted)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        number_of, numbers_N = numbered(text for _, text in each_caption([wanted.captions]))
        to.parent.mkdir(parents=True, exist_ok=True)
        with begun(to, wanted, fast_dtype(device)) as folder:
            parts = Parts(folder, len(number_of))
            if parts.missing():
                compute(parts, wanted, list(number_of), device)
            width = join(parts, numbers_N, to)
    except (ValueError, OSError) as error:
        if sentence_of_disk(error) is not None:
            raise
        raise CannotExpress(str(error)) from error
    return f"{to}: {len(numbers_N)} captions, {width} numbers each"


def numbered(texts: Iterable[str]) -> tuple[dict[str, int], np.ndarray]:
    """The different texts, each with its number, and the number of every text [N]."""
    number_of: dict[str, int] = {}
    numbers_N = np.fromiter((number_of.setdefault(text, len(number_of)) for text in texts), np.int64)
    return number_of, numbers_N


def check(wanted: Wanted) -> None:
    """Refuse what cannot be read, before anything is opened."""
    if not wanted.language_model.is_dir():
        raise CannotExpress(f"--language-model {wanted.language_model}: there is no such folder")
    if not wanted.captions.is_file():
        raise CannotExpress(f"--captions {wanted.captions}: there is no such file")
    if wanted.template.count("{}") != 1:
        raise CannotExpress(
            f"--template {wanted.template}: the text stands at {{}}, once; '{{}}' alone wraps it in nothing"
        )


@contextmanager
def begun(to: Path, wanted: Wanted, dtype: torch.dtype) -> Iterator[Path]:
    """The folder of parts beside `to`, which one process has alone; it is removed when `to` is written."""
    folder = to.with_name(to.name + PARTIAL)
    folder.mkdir(exist_ok=True)
    settings, file = settings_of(wanted) | {"arithmetic": str(dtype)}, folder / SETTINGS
    with (folder / LOCK).open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotExpress(
                f"{to} is being written by another process: wait for it, or name another file with --to"
            ) from None
        before = settings_in(file) if file.exists() else settings
        if before != settings:
            changed = ", ".join(name for name, value in settings.items() if before.get(name) != value)
            raise CannotExpress(
                f"{folder} was begun with another value of {changed}: remove it, or name another file with --to"
            )
        write_atomically(file, json.dumps(settings))
        yield folder
        shutil.rmtree(folder)


def settings_in(file: Path) -> dict[str, Any]:
    """What a folder of parts was begun with; empty where the file is damaged, so that no part is taken for what it may not be."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        return {}


def settings_of(wanted: Wanted) -> dict[str, Any]:
    """What decides the numbers, by the names of the command's options; folder and file by what is in them."""
    files = sorted(file for file in wanted.language_model.glob("*") if file.is_file())
    content = {file.name: digest_of_file(file) for file in files}
    return asdict(wanted) | {
        "language_model": content,
        "captions": digest_of_file(wanted.captions),
        "texts": PART_TEXTS,
    }


class Parts:
    """Vectors of `count` different texts in files of PART_TEXTS each."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count

    def __len__(self) -> int:
        """Files."""
        return -(-self.count // PART_TEXTS)

    def file(self, number: int) -> Path:
        """There when it is whole."""
        return self.folder / f"{number:06}.safetensors"

    def span(self, number: int) -> range:
        """The texts of a file."""
        return range(number * PART_TEXTS, min((number + 1) * PART_TEXTS, self.count))

    def missing(self) -> list[int]:
        """Those that are still to be computed; one that a crash cut short is as good as none."""
        return [number for number in range(len(self)) if not self.is_whole(number)]

    def is_whole(self, number: int) -> bool:
        """Whether a file of as many vectors as it should have is there."""
        try:
            return len(mapped_tensors(self.file(number))["features"]) == len(self.span(number))
        except (OSError, ValueError, KeyError, MemoryError):
            return False


def compute(parts: Parts, wanted: Wanted, texts: Sequence[str], device: torch.device) -> None:
    """Compute and write every missing part, one after the other."""
    reading = {"template": wanted.template, "add_bos": wanted.add_bos}
    source = {"source": "directory", "name": str(wanted.language_model), **reading}
    model = read_language_model(cast(LanguageModel, source), fast_dtype(device))
    model.model.eval().to(device)
    config = cast(
        EmbedCaptionsConfig, {"pooling": "mean", "max_tokens": wanted.max_tokens, "batch_tokens": BATCH_TOKENS}
    )
    missing = parts.missing()
    progress = Progress(parts.count, parts.count - sum(len(parts.span(number)) for number in missing))
    for number in missing:
        span = parts.span(number)
        features_BD = text_features(model, texts[span.start : span.stop], config, progress.tick)
        save_tensors(parts.file(number), {"features": features_BD})
        progress.before += len(span)


def join(parts: Parts, numbers_N: np.ndarray, to: Path) -> int:
    """Write the row of every caption, part by part, none of which is in memory whole; returns D."""
    width = mapped_tensors(parts.file(0))["features"].shape[1]
    making = to.with_name(to.name + ".tmp")
    rows_ND = new_features(making, (len(numbers_N), width))
    order_N = np.argsort(numbers_N, kind="stable")
    sorted_N = numbers_N[order_N]
    for number in range(len(parts)):
        span = parts.span(number)
        first, last = np.searchsorted(sorted_N, [span.start, span.stop])
        here = order_N[first:last]
        rows_ND[here] = mapped_tensors(parts.file(number))["features"][numbers_N[here] - span.start]
    rows_ND.flush()  # type: ignore[attr-defined]
    making.replace(to)
    return width


class Progress:
    """A line now and then on standard error; the time left by what this process has done itself."""

    def __init__(self, total: int, before: int) -> None:
        self.total, self.before, self.there = total, before, before
        self.began = self.said = time.monotonic()
        if before:
            print(f"{before:,} of {total:,} texts are there from an earlier call", file=sys.stderr, flush=True)

    def tick(self, done: int) -> None:
        """So many texts of the part at work have a vector."""
        now, whole = time.monotonic(), self.before + done
        if now - self.said >= SAID_SECONDS:
            self.said = now
            left = (now - self.began) * (self.total - whole) / (whole - self.there)
            print(f"{whole:,} of {self.total:,} texts, about {left:,.0f} s left", file=sys.stderr, flush=True)
