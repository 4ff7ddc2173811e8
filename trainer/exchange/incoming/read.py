"""Opens a published two-tower checkpoint by what is in its folder.

Layouts: a folder of transformers (`config.json` of model type `clip`, `siglip` or `siglip2`), a folder of open_clip (`open_clip_config.json`), and one
file of weights (.pt, OpenAI's TorchScript archives too, or .safetensors) with open_clip's name of its architecture.
"""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exchange.incoming.checkpoint import Checkpoint, ImageSide
from exchange.incoming.from_open_clip import read_open_clip, read_open_clip_image
from exchange.incoming.from_transformers import read_transformers, read_transformers_image
from exchange.incoming.llm2clip import llm2clip_adapter, read_llm2clip_image, refusal_of
from exchange.refusal import CannotExpress
from towers.image.checkpoint import LOCAL, PREFIX, WrongActivation
from towers.published_weights import UNREADABLE, NoWeights, in_one_line


def read_checkpoint(source: Path, architecture: str | None = None) -> Checkpoint:
    """A checkpoint of any of the layouts. Raises CannotExpress for one whose text tower is neither CLIP's nor SigLIP's."""
    if (adapter := llm2clip_adapter(source)) is not None:
        raise refusal_of(source, adapter)
    name = open_clip_name(source, architecture)
    with refusing(source):
        return read_transformers(source) if name is None else read_open_clip(name, source if source.is_dir() else None)


def read_image_side(source: Path, architecture: str | None = None) -> ImageSide:
    """The image tower of a checkpoint of any of the layouts, whatever reads its texts."""
    is_llm2clip = llm2clip_adapter(source) is not None
    name = None if is_llm2clip else open_clip_name(source, architecture)
    with refusing(source):
        if is_llm2clip:
            return read_llm2clip_image(source, architecture)
        return read_transformers_image(source) if name is None else read_open_clip_image(name)


@contextmanager
def refusing(source: Path) -> Iterator[None]:
    """What libraries say of a source that they cannot read becomes CannotExpress, with what to do in the words of `import`."""
    try:
        yield
    except CannotExpress:
        raise
    except WrongActivation as error:
        instead = "it cannot be imported" if error.right is None else f"import it with --architecture {error.right}"
        raise CannotExpress(
            f"{source.name} learned with QuickGELU, and that architecture computes GELU: {instead}"
        ) from error
    except NoWeights as error:
        raise CannotExpress(str(error)) from error
    except UNREADABLE as error:
        raise CannotExpress(f"{source} cannot be read: {in_one_line(error, source)}") from error


def open_clip_name(source: Path, architecture: str | None) -> str | None:
    """What open_clip opens a source by; None for a folder of transformers. Refuses what has none of the layouts."""
    if (source / "open_clip_config.json").is_file():
        return f"{LOCAL}{source}"
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
    check_architecture(architecture)
    return f"{PREFIX}{architecture}@{source}"


def check_architecture(name: str) -> None:
    """Refuse a name that open_clip does not know, with those that are spelled like it."""
    import open_clip

    if open_clip.get_model_config(name) is None:
        near = difflib.get_close_matches(name, open_clip.list_models(), cutoff=0.5)
        there = f": there are {', '.join(near)}" if near else ""
        raise CannotExpress(f"--architecture {name}: open_clip knows none of that name{there}")
