"""LLM2CLIP's published layouts: an image tower and an adapter over a language model that is published beside it."""

import pickle
from pathlib import Path

from exchange.refusal import CannotExpress
from towers.exported_files import MIB
from towers.image.checkpoint import is_torchscript
from towers.text.published_adapter import PublishedAdapter, read_published_adapter

ISOLATE = 128


def refuse_llm2clip(source: Path) -> None:
    """Refuse a folder of transformers, a checkpoint of LLM2CLIP's trainer, or an adapter alone, with what its texts would take."""
    if is_torchscript(source):
        return
    try:
        adapter = read_published_adapter(source)
    except (AttributeError, OSError, RuntimeError, ValueError, pickle.UnpicklingError):
        return  # it has none: the reader of its layout says what else is wrong
    parameters = sum(weight.numel() for weight in adapter.weights.values())
    raise CannotExpress(
        f"{source.name} is LLM2CLIP's: {texts_of(adapter)}, which an adapter of {parameters / 1e6:,.1f} M parameters maps to "
        f"{adapter.embed_dim} dimensions. The adapter alone takes {parameters / MIB:,.0f} MiB in int8, an isolate of Workers has {ISOLATE}, "
        "and the language model runs in none. Both train a small text student in a recipe: the adapter by inherit.adapter_from, the language "
        "model as a teacher of embed_captions (docs/adding/language-model.md)"
    )


def texts_of(adapter: PublishedAdapter) -> str:
    """What the adapter reads, by the widths that were published."""
    known = {4096: "Llama 3 8B", 2048: "Llama 3.2 1B"}.get(adapter.width)
    return f"its texts are vectors of a language model of width {adapter.width}" + (f" ({known})" if known else "")
