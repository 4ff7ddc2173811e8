"""Opens a published two-tower checkpoint by what is in its folder.

Layouts: a folder of transformers (`config.json` of model type `clip`, `siglip` or `siglip2`), a folder of open_clip (`open_clip_config.json`), and one
file of weights (.pt, OpenAI's TorchScript archives too, or .safetensors) with open_clip's name of its architecture.
"""

from pathlib import Path

from exchange.incoming.checkpoint import Checkpoint, ImageSide
from exchange.incoming.from_open_clip import read_open_clip, read_open_clip_image
from exchange.incoming.from_transformers import read_transformers, read_transformers_image
from exchange.incoming.llm2clip import llm2clip_adapter, read_llm2clip_image, refusal_of
from exchange.refusal import CannotExpress
from towers.image.checkpoint import PREFIX


def read_checkpoint(source: Path, architecture: str | None = None) -> Checkpoint:
    """A checkpoint of any of the layouts. Raises CannotExpress for one whose text tower is neither CLIP's nor SigLIP's."""
    if (adapter := llm2clip_adapter(source)) is not None:
        raise refusal_of(source, adapter)
    name = open_clip_name(source, architecture)
    if name is None:
        return read_transformers(source)
    return read_open_clip(name, source if source.is_dir() else None)


def read_image_side(source: Path, architecture: str | None = None) -> ImageSide:
    """The image tower of a checkpoint of any of the layouts, whatever reads its texts."""
    if llm2clip_adapter(source) is not None:
        return read_llm2clip_image(source, architecture)
    name = open_clip_name(source, architecture)
    return read_transformers_image(source) if name is None else read_open_clip_image(name)


def open_clip_name(source: Path, architecture: str | None) -> str | None:
    """What open_clip opens a source by; None for a folder of transformers. Refuses what has none of the layouts."""
    if (source / "open_clip_config.json").is_file():
        return f"{PREFIX}local-dir:{source}"
    if (source / "config.json").is_file():
        return None
    if not source.is_file():
        raise CannotExpress(
            f"{source} is no file of weights and no folder with open_clip_config.json or config.json: these are the layouts"
        )
    if architecture is None:
        raise CannotExpress(
            f"{source.name} holds weights alone: name its architecture as open_clip calls it, --architecture ViT-B-32-quickgelu"
        )
    return f"{PREFIX}{architecture}@{source}"
