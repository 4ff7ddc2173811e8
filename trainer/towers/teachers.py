"""The frozen teachers of a recipe, and the features of texts by them. N texts, B of a batch, D width of a teacher."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.nn import functional as F

from contracts.types import ClipTextTeacher, EmbedCaptionsConfig, LanguageModelTeacher, SentenceEncoderTeacher
from towers.language.packing import batches_by_tokens
from towers.language.read import language_model_in, read_language_model, read_sentence_encoder, weights_of
from towers.language.tokens import TextTokens
from towers.text import checkpoint
from towers.token_batches import batches_by_length

TeacherBlock = LanguageModelTeacher | SentenceEncoderTeacher | ClipTextTeacher


class Teacher(Protocol):
    """A frozen model that reads texts. `is_encoder`: it is padded always, never packed."""

    model: Any
    is_encoder: bool

    def tokens(self, texts: Sequence[str], max_tokens: int) -> list[TextTokens]:
        """Tokens of each text."""
        ...

    def features(self, texts: Sequence[TextTokens], pooling: str, *, packing: bool = False) -> torch.Tensor:
        """One float32 vector per text [B, D]."""
        ...


def read_teacher(block: TeacherBlock, tuned: Path | None, dtype: torch.dtype) -> Teacher:
    """The teacher of a block of `embed_captions`, in eval mode; `tuned` is the folder of the run that tuned its language model."""
    teacher: Teacher
    if block["type"] == "clip_text":
        teacher = checkpoint.read_checkpoint_text(block["checkpoint"], dtype)
    elif block["type"] == "sentence_encoder":
        teacher = read_sentence_encoder(block["package"], dtype)
    elif "language_model" in block:
        teacher = read_language_model(block["language_model"], dtype)
    else:
        assert tuned is not None
        teacher = read_language_model(language_model_in(tuned / "model"), dtype)
    teacher.model.eval()
    return teacher


def teacher_files(block: TeacherBlock, tuned: Path | None) -> list[Path]:
    """The files of this machine that a teacher's weights are in; of a package none, whose name says all of it."""
    if block["type"] == "clip_text":
        return checkpoint.weight_files(block["checkpoint"])
    if block["type"] == "sentence_encoder":
        return []
    if "language_model" in block:
        weights, options = weights_of(block["language_model"])
        return sorted(Path(weights).glob(options.get("gguf_file", "*.safetensors")))
    assert tuned is not None
    return sorted((tuned / "model").glob("*.safetensors"))


def text_features(
    teacher: Teacher,
    texts: Sequence[str],
    config: EmbedCaptionsConfig,
    tick: Callable[[int], None] = lambda _: None,
) -> torch.Tensor:
    """Unit vectors [N, D] of texts by one teacher, bfloat16; `tick` gets the number of texts after every batch."""
    rows = teacher.tokens(list(texts), config["max_tokens"])
    packing = config.get("packing", False) and not teacher.is_encoder
    batches = (batches_by_tokens if packing else batches_by_length)([len(row) for row in rows], config["batch_tokens"])
    features: torch.Tensor | None = None
    done = 0
    for batch in batches:
        with torch.inference_mode():
            pooled_BD = teacher.features([rows[i] for i in batch], config["pooling"], packing=packing)
            pooled_BD = F.normalize(pooled_BD, dim=-1).to("cpu", torch.bfloat16)
        if features is None:
            features = torch.empty(len(rows), pooled_BD.shape[1], dtype=torch.bfloat16)
        features[batch] = pooled_BD
        done += len(batch)
        tick(done)
    assert features is not None
    return features
