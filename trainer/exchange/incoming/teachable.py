"""Whether text students can learn a published checkpoint's text vectors (stage `imitate`), and under which name that stage opens it."""

from dataclasses import dataclass
from pathlib import Path

import torch

from contracts.types import ImitateStudent
from exchange.incoming.checkpoint import ImageSide
from exchange.incoming.isolate import check_students
from exchange.incoming.llm2clip import check_features, llm2clip_adapter, refusal_of
from exchange.incoming.read import open_clip_name, read_image_side
from exchange.language_features import check_language_model
from exchange.refusal import CannotExpress
from towers.published_weights import UNREADABLE, in_one_line
from towers.text.checkpoint import checkpoint_vectors

PROBE = "a photo of a dog"


@dataclass(frozen=True)
class Wanted:
    """What students are to be trained. `features`, or the `language_model` that computes them: of LLM2CLIP's layouts alone."""

    architecture: str | None = None
    features: Path | None = None
    language_model: Path | None = None
    student: ImitateStudent | None = None


def teachable(source: Path, wanted: Wanted) -> str:
    """The name. Opens both towers: what could not be imported afterwards is refused before anything is trained."""
    architecture, features, language_model = wanted.architecture, wanted.features, wanted.language_model
    adapter = llm2clip_adapter(source)
    if adapter is None:
        if features is not None or language_model is not None:
            given = "--language-model" if features is None else "--features"
            raise CannotExpress(
                f"{given} is for LLM2CLIP's layouts: {source.name} has a text tower, which computes the vectors itself"
            )
        opened = open_clip_name(source, architecture)
        name = str(source) if source.is_dir() or opened is None else opened
        texts, pictures = width_of_texts(name, source), width_of(read_image_side(source, architecture))
    else:
        if features is not None:
            check_features(features, adapter)
        elif language_model is not None:
            check_language_model(language_model, adapter.width, f"the adapter of {source.name}")
        else:
            raise refusal_of(source, adapter)
        name = str(source)
        texts, pictures = adapter.embed_dim, width_of(read_image_side(source, architecture))
    if texts != pictures:
        raise CannotExpress(
            f"vectors of texts have {texts} numbers in {source.name}, those of pictures {pictures}: it is no joint space"
        )
    if wanted.student is not None:
        check_students(wanted.student, texts)
    return name


@torch.inference_mode()
def width_of(side: ImageSide) -> int:
    """Numbers of a picture's vector."""
    size = side.preprocess["size"]
    return side.image(torch.zeros(1, 3, size, size)).shape[1]


def width_of_texts(name: str, source: Path) -> int:
    """Numbers of a text's vector by the checkpoint's own tower."""
    try:
        return checkpoint_vectors(name, [PROBE], torch.device("cpu")).shape[1]
    except UNREADABLE as error:
        raise CannotExpress(f"the text tower of {source.name} cannot be read: {in_one_line(error, source)}") from error
