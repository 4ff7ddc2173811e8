"""Features of texts by the frozen teachers. N texts, D width of a teacher."""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F

from contracts.types import EmbedCaptionsConfig
from towers.language.model import LanguageModel
from towers.language.packing import batches_by_tokens
from towers.token_batches import batches_by_length

Teacher = LanguageModel


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
