"""Opens a published two-tower checkpoint by what is in its folder.

Layouts: a folder of transformers (`config.json` of model type `clip`, `siglip` or `siglip2`), a folder of open_clip (`open_clip_config.json`), and one
file of weights (.pt, OpenAI's TorchScript archives too, or .safetensors) with open_clip's name of its architecture.
"""

from pathlib import Path

from exchange.incoming.checkpoint import Checkpoint
from exchange.incoming.from_open_clip import read_open_clip
from exchange.incoming.from_transformers import read_transformers
from exchange.incoming.llm2clip import refuse_llm2clip
from exchange.refusal import CannotExpress
from towers.image.checkpoint import PREFIX


def read_checkpoint(source: Path, architecture: str | None = None) -> Checkpoint:
    """A checkpoint of any of the layouts. Raises CannotExpress for one whose text tower is neither CLIP's nor SigLIP's."""
    refuse_llm2clip(source)
    if (source / "open_clip_config.json").is_file():
        return read_open_clip(f"{PREFIX}local-dir:{source}", source)
    if (source / "config.json").is_file():
        return read_transformers(source)
    if source.is_file():
        if architecture is None:
            raise CannotExpress(
                f"{source.name} holds weights alone: name its architecture as open_clip calls it, --architecture ViT-B-32-quickgelu"
            )
        return read_open_clip(f"{PREFIX}{architecture}@{source}")
    raise CannotExpress(
        f"{source} is no file of weights and no folder with open_clip_config.json or config.json: these are the layouts"
    )
