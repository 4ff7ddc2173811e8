"""Features of texts by the frozen teachers. N texts, D width of a teacher."""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F

from contracts.types import EmbedCaptionsConfig
from towers.llm import LanguageModel
from towers.sentence_encoder import SentenceEncoder
from towers.token_batches import batches_by_length, padded

Teacher = LanguageModel | SentenceEncoder


def text_features(
    teacher: Teacher,
    texts: Sequence[str],
    config: EmbedCaptionsConfig,
    device: torch.device,
    tick: Callable[[int], None] = lambda _: None,
) -> torch.Tensor:
    """Unit vectors [N, D] of texts by one teacher, bfloat16; `tick` gets the number of texts after every batch."""
    rows = teacher.tokens(list(texts), config["max_tokens"])
    features: torch.Tensor | None = None
    done = 0
    for batch in batches_by_length([len(row) for row in rows], config["batch_tokens"]):
        ids_BT, mask_BT = padded([rows[i] for i in batch], device, teacher.tokenizer.pad_token_id)
        with torch.inference_mode():
            pooled_BD = teacher.pooled(ids_BT, mask_BT, config["pooling"])
            pooled_BD = F.normalize(pooled_BD, dim=-1).to("cpu", torch.bfloat16)
        if features is None:
            features = torch.empty(len(rows), pooled_BD.shape[1], dtype=torch.bfloat16)
        features[batch] = pooled_BD
        done += len(batch)
        tick(done)
    assert features is not None
    return features
