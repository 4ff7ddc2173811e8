"""Opens what a user names: an exported model, a run of `clip`, a model of open_clip, or a folder of open_clip's or transformers'."""

from pathlib import Path

import torch

from contracts.constants import FILE_MANIFEST
from evaluation.bench import Model
from towers.published_weights import UNREADABLE, in_one_line

CLIP_RUN = "clip.json"
OPEN_CLIP = "open_clip:"
OPEN_CLIP_CONFIG = "open_clip_config.json"
TRANSFORMERS_CONFIG = "config.json"
FILES = (FILE_MANIFEST, CLIP_RUN, OPEN_CLIP_CONFIG, TRANSFORMERS_CONFIG)


class NoModel(ValueError):
    """A name that is none of what can be measured; the message says what can."""


def check_model(name: str) -> None:
    """Refuse a name that `open_model` could not open, before anything is opened."""
    if not name.startswith(OPEN_CLIP) and not any((Path(name) / file).exists() for file in FILES):
        raise NoModel(
            f"{name} holds no {FILE_MANIFEST} and no {CLIP_RUN}: name the folder of an exported model, or a run of clip, a folder "
            f"of open_clip or transformers, or {OPEN_CLIP}MODEL@PRETRAINED"
        )


def open_model(name: str, threads: int = 0, device: torch.device | None = None) -> Model:
    """What `name` names.

    `threads` of an exported model's image graph: 0 for as many as torch has. `device` for models of open_clip and
    transformers; exported ones and runs of `clip` are measured on the CPU.
    """
    # Each kind brings its own libraries, which take seconds to import.
    folder, place = Path(name), device or torch.device("cpu")
    if not name.startswith(OPEN_CLIP) and (folder / FILE_MANIFEST).exists():
        from evaluation.served import ServedModel

        return ServedModel(folder, threads)
    if not name.startswith(OPEN_CLIP) and (folder / CLIP_RUN).exists():
        from evaluation.trained import TrainedModel

        return TrainedModel(folder)
    try:
        if name.startswith(OPEN_CLIP) or (folder / OPEN_CLIP_CONFIG).exists():
            from evaluation.published.open_clip_model import OpenClipModel

            return OpenClipModel(name if name.startswith(OPEN_CLIP) else f"{OPEN_CLIP}local-dir:{folder}", place)
        from evaluation.published.transformers_model import TransformersModel

        return TransformersModel(folder, place)
    except UNREADABLE as error:
        weights = Path(name.partition("@")[2] or name.removeprefix(f"{OPEN_CLIP}local-dir:"))
        raise NoModel(f"{name} cannot be opened: {in_one_line(error, weights)}") from error
