"""open_clip's layout, as far as its text towers can express a model."""

from pathlib import Path
from typing import NoReturn

from contracts.types import Tier
from exchange.outgoing.floats import FloatModel
from exchange.refusal import CannotExpress


def write(model: FloatModel, _out: Path, _tiers: list[Tier]) -> NoReturn:
    """Raise what stands in the way: open_clip has no text tower like the student."""
    raise CannotExpress(
        f"open_clip cannot build the text tower of {model.manifest['name']}: its own transformers normalise before each layer and "
        "read one token, its Hugging Face ones have a projection without the bias that the student has, and they build their "
        "shapes from a name on the hub. --format onnx and --format safetensors write both towers, --format sentence-transformers "
        "and --format hf the text tiers that those libraries can build"
    )
