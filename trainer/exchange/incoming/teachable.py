"""Whether text students can learn a published checkpoint's text vectors (stage `imitate`), and under which name that stage opens it."""

from pathlib import Path

import torch

from exchange.incoming.llm2clip import refuse_llm2clip
from exchange.incoming.read import open_clip_name, read_image_side
from exchange.refusal import CannotExpress
from towers.text.checkpoint import checkpoint_vectors

PROBE = "a photo of a dog"


def teachable(source: Path, architecture: str | None, features: Path | None) -> str:
    """The name. Opens both towers: what could not be imported afterwards is refused before anything is trained."""
    refuse_llm2clip(source)
    if features is not None:
        raise CannotExpress(
            f"--features is for LLM2CLIP's layouts: {source.name} has a text tower, which computes the vectors itself"
        )
    opened = open_clip_name(source, architecture)
    name = str(source) if source.is_dir() or opened is None else opened
    side = read_image_side(source, architecture)
    size = side.preprocess["size"]
    with torch.inference_mode():
        width = side.image(torch.zeros(1, 3, size, size)).shape[1]
    try:
        found = checkpoint_vectors(name, [PROBE], torch.device("cpu")).shape[1]
    except (ValueError, OSError) as error:
        raise CannotExpress(f"the text tower of {source.name} cannot be read: {error}") from error
    if found != width:
        raise CannotExpress(
            f"vectors of texts have {found} numbers in {source.name}, those of pictures {width}: it is no joint space"
        )
    return name
