"""Checks of a system in which the text encoder of the tower's own checkpoint reads every text behind a language model.

Shapes: N texts, D width of the language model, E dimensions of the joint space.
"""

from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from columns.system import Failed
from data.features import features_of_set
from towers.data import read_rows
from towers.image.checkpoint import PREFIX
from towers.two_towers import ROTATION, Adapter, load_adapter, read_shape

SET = "pairs.dev"
ALIKE = 0.99  # least cosine of vectors that were computed in bfloat16, once what all texts share is taken off
TOLD = 1e-3  # least that a vector moves when the checkpoint's part is another text's


@torch.inference_mode()
def check_own_texts(embedded: Path, clip: Path, checkpoint: str, language_ND: Any) -> str:
    """Raise where the features are not both teachers', or the trained adapter's vectors are not of both.

    `language_ND(texts)` gives the language model's part as its authors compute it.
    """
    texts = [row["text"] for row in read_rows(embedded / f"captions.{SET}.jsonl")]
    features = features_of_set(embedded, SET).gather_numbers(np.arange(len(texts)))
    own = own_vectors(checkpoint, texts)
    language_part, own_part = features.tensor_split((-own.shape[1],), dim=1)
    hold("the language model's part", language_part, language_ND(texts))
    hold("the checkpoint's part", own_part, own)
    adapter = load_adapter(clip)
    vectors = adapter(features)
    moved = float((vectors - adapter(torch.cat([language_part, own_part.roll(1, 0)], 1))).abs().max())
    if not moved >= TOLD:
        raise Failed(f"a vector moves by {moved:.1e} when the checkpoint's part is that of another text")
    if adapter.own_text_share == 0:
        return "features those of both teachers"
    rotation = load_file(clip / ROTATION)["rotation"]
    hold("the vector of a text", vectors, without_own(clip)(language_part) + own @ rotation.T)
    return "vectors the mean of both teachers'"


def hold(what: str, found: torch.Tensor, expected: torch.Tensor) -> None:
    """Raise where the directions of `found` [N, D] are not those of `expected`. Random weights put all texts near one point."""
    worst = float(F.cosine_similarity(centred(found), centred(expected)).min())
    if not worst >= ALIKE:
        raise Failed(f"{what} has a cosine of {worst:.4f} to that of its library")


def centred(rows_ND: torch.Tensor) -> torch.Tensor:
    """Unit vectors without what all of them share."""
    unit_ND = F.normalize(rows_ND, dim=-1)
    return unit_ND - unit_ND.mean(0)


def own_vectors(checkpoint: str, texts: list[str]) -> torch.Tensor:
    """Unit vectors [N, E] of texts by open_clip."""
    name = checkpoint.removeprefix(PREFIX)
    model: Any = open_clip.create_model(name).eval()
    return F.normalize(model.encode_text(open_clip.get_tokenizer(name)(texts)), dim=-1)


def without_own(clip: Path) -> Adapter:
    """The trained adapter over the language model's features alone."""
    shape = read_shape(clip)
    reading: Any = {name: value for name, value in shape["adapter"].items() if name != "own_text_share"}
    adapter = Adapter(shape["llm_width"] - shape["embed_dim"], shape["embed_dim"], **reading)
    weights = load_file(clip / "text_tower.safetensors")
    adapter.load_state_dict({name: tensor for name, tensor in weights.items() if name != "own_axes_EE"})
    return adapter.eval()
