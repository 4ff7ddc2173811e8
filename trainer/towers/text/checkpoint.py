"""The text tower of a published two-tower checkpoint (CLIP, SigLIP, MobileCLIP, CoCa), computed by its own library.

A source is named as a backbone is, `open_clip:MODEL@PRETRAINED` or `open_clip:local-dir:FOLDER`, or it is a folder: of
open_clip (`open_clip_config.json`) or of transformers (`config.json` of a model in `TRANSFORMERS`). A vector is what the
checkpoint's own projection makes of a text, so it lies in the space of its pictures.

Shapes: N texts, B of a batch, T tokens (always the checkpoint's context: some towers were trained to see the padding),
E dimensions of the checkpoint's joint space.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from engine.folders.weights import placed
from towers.image.checkpoint import LOCAL, PREFIX, read_model
from towers.language.tokens import TextTokens
from towers.published_weights import refuse_missing

TRANSFORMERS = ("clip", "siglip", "siglip2")  # model types whose texts need their ids alone
TEXT_BATCH = 256

Tokenize = Callable[[list[str]], torch.Tensor]  # to ids [N, T]
Encode = Callable[[Any, torch.Tensor], torch.Tensor]  # model and ids [B, T] to vectors [B, E]


@dataclass
class CheckpointText:
    """A teacher among others (towers/teachers.py): its pooling is the checkpoint's own, and so is the number of tokens."""

    model: nn.Module
    tokenize: Tokenize
    encode: Encode
    is_encoder: bool = True

    def tokens(self, texts: Sequence[str], max_tokens: int) -> list[TextTokens]:
        """Ids of each text, as long as the checkpoint's context whatever `max_tokens` is."""
        del max_tokens
        return [TextTokens(row) for row in self.tokenize(list(texts)).tolist()]

    def features(self, texts: Sequence[TextTokens], pooling: str, *, packing: bool = False) -> torch.Tensor:
        """Unit vectors [B, E], float32."""
        del pooling, packing
        ids_BT = torch.tensor([text.ids for text in texts], device=next(self.model.parameters()).device)
        return F.normalize(self.encode(self.model, ids_BT).float(), dim=-1)


def read_checkpoint_text(source: str, dtype: torch.dtype = torch.float32) -> CheckpointText:
    """The text tower that a source names, in eval mode; its image tower is let go of."""
    source = placed(source)
    folder = Path(source)
    if source.startswith(PREFIX):
        return _of_open_clip(source, dtype)
    if (folder / "open_clip_config.json").is_file():
        return _of_open_clip(f"{LOCAL}{source}", dtype)
    if (folder / "config.json").is_file():
        return _of_transformers(folder, dtype)
    raise FileNotFoundError(
        f"clip_text: {source} is no folder with open_clip_config.json or config.json, and no open_clip:… name"
    )


def weight_files(source: str) -> list[Path]:
    """The files of this machine that a source's weights are in; empty for a tag, which its name says all of."""
    source = placed(source)
    folder = Path(source.removeprefix(LOCAL))
    _, _, tag = source.partition("@")
    if source.startswith(PREFIX) and tag:
        return [Path(tag)] if Path(tag).is_file() else []
    return sorted(file for kind in ("*.safetensors", "*.bin") for file in folder.glob(kind))


@torch.inference_mode()
def checkpoint_vectors(
    source: str,
    texts: list[str],
    device: torch.device,
    done_NE: torch.Tensor | None = None,
    tick: Callable[[int, Callable[[], torch.Tensor]], None] = lambda _, __: None,
) -> torch.Tensor:
    """Unit vectors [N, E] of texts by a checkpoint's text tower, float32 on the CPU.

    `done_NE` are the first rows from an earlier attempt; after every batch `tick` gets the number of rows and a function
    that gives all of them.
    """
    tower = read_checkpoint_text(source)
    tower.model.to(device)
    rows = [] if done_NE is None else [done_NE]
    for start in range(0 if done_NE is None else len(done_NE), len(texts), TEXT_BATCH):
        tokens = tower.tokens(texts[start : start + TEXT_BATCH], 0)
        rows.append(tower.features(tokens, "mean").cpu())
        tick(min(start + TEXT_BATCH, len(texts)), lambda: torch.cat(rows))
    return torch.cat(rows).clone()


def _of_open_clip(name: str, dtype: torch.dtype) -> CheckpointText:
    import open_clip

    model = read_model(name)
    model.visual = nn.Identity()
    tokenizer = open_clip.get_tokenizer(name.removeprefix(PREFIX).partition("@")[0])
    return CheckpointText(model.to(dtype), tokenizer, lambda model, ids_BT: model.encode_text(ids_BT))


def _of_transformers(folder: Path, dtype: torch.dtype) -> CheckpointText:
    from transformers import AutoModel, AutoTokenizer

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") not in TRANSFORMERS:
        raise ValueError(
            f"clip_text: {folder} holds a model of type {config.get('model_type')}; of transformers' layouts "
            f"{', '.join(TRANSFORMERS)} have a text tower that is read here"
        )
    model: Any
    model, info = AutoModel.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    refuse_missing(f"clip_text: {folder}", info["missing_keys"])
    model.vision_model = nn.Identity()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    length = model.config.text_config.max_position_embeddings

    def tokenize(texts: list[str]) -> torch.Tensor:
        # Filled up always: SigLIP sees its padding. CLIP's mask is causal, and what comes after the end changes nothing.
        found = tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        return found["input_ids"]

    def encode(model: Any, ids_BT: torch.Tensor) -> torch.Tensor:
        return model.get_text_features(input_ids=ids_BT).pooler_output

    return CheckpointText(model.eval(), tokenize, encode)
