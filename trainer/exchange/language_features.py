"""Vectors of captions by a language model, as `import --distil --features` reads them: `python -m exchange features`.

Shapes: N captions of the file, in its order and with equal texts again; D width of the language model.
"""

import sys
import time
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file

from contracts.types import EmbedCaptionsConfig, LanguageModel
from engine.world import fast_dtype
from exchange.refusal import CannotExpress
from towers.imitation.captions import each_caption
from towers.language.read import read_language_model
from towers.teachers import text_features

BATCH_TOKENS = 8192
SAID_SECONDS = 10.0


def write_features(folder: Path, reading: dict[str, Any], captions: Path, max_tokens: int, to: Path) -> str:
    """Write `features` [N, D], of unit length in bfloat16; returns what was written. Equal texts are computed once.

    `reading`: `template` and `add_bos` of a recipe's language model. All vectors are in memory until they are written.
    """
    if to.exists():
        raise CannotExpress(f"{to} is there already: name another file with --to, or remove it")
    if not folder.is_dir():
        raise CannotExpress(f"--language-model {folder}: there is no such folder")
    if not captions.is_file():
        raise CannotExpress(f"--captions {captions}: there is no such file")
    try:
        texts = [text for _, text in each_caption([captions])]
        block = cast(LanguageModel, {"source": "directory", "name": str(folder), **reading})
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = read_language_model(block, fast_dtype(device))
    except (ValueError, OSError) as error:
        raise CannotExpress(str(error)) from error
    model.model.eval().to(device)
    number_of = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    config = cast(EmbedCaptionsConfig, {"pooling": "mean", "max_tokens": max_tokens, "batch_tokens": BATCH_TOKENS})
    features_ND = text_features(model, list(number_of), config, Progress(len(number_of)).tick)
    order_N = torch.tensor([number_of[text] for text in texts])
    to.parent.mkdir(parents=True, exist_ok=True)
    making = to.with_name(to.name + ".tmp")
    save_file({"features": features_ND[order_N].contiguous()}, making)
    making.replace(to)
    return f"{to}: {len(texts)} captions, {features_ND.shape[1]} numbers each"


class Progress:
    """A line now and then on standard error."""

    def __init__(self, total: int) -> None:
        self.total, self.began = total, time.monotonic()
        self.said = self.began

    def tick(self, done: int) -> None:
        """So many texts have a vector."""
        now = time.monotonic()
        if now - self.said >= SAID_SECONDS:
            self.said = now
            left = (now - self.began) * (self.total - done) / done
            print(f"{done:,} of {self.total:,} texts, about {left:,.0f} s left", file=sys.stderr, flush=True)
