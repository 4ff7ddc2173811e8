"""A pretrained sentence encoder from a Python package: the mean of its token states. B texts, T tokens, D width."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer

from towers.llm import pool
from towers.package_files import file_in_package


@dataclass
class SentenceEncoder:
    """The encoder with its tokenizer, under the same names as a language model."""

    model: Any  # transformers builds its classes while it runs
    tokenizer: Any

    def tokens(self, texts: list[str], max_tokens: int) -> list[list[int]]:
        """Token ids of each text with the encoder's special tokens, cut at the end to what it can read."""
        longest = min(max_tokens, self.model.config.max_position_embeddings)
        return self.tokenizer(texts, truncation=True, max_length=longest)["input_ids"]

    def pooled(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor, pooling: str) -> torch.Tensor:
        """One float32 vector per text [B, D]: the mean, for which sentence encoders are trained, whatever `pooling` is."""
        del pooling
        return pool(self.model(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state.float(), mask_BT, "mean")


def read_sentence_encoder(package: str, dtype: torch.dtype) -> SentenceEncoder:
    """The encoder that a package carries in the Hugging Face layout (config.json, model.safetensors, tokenizer files)."""
    return read_encoder_folder(file_in_package(package, "model.safetensors", "a sentence encoder").parent, dtype)


def read_encoder_folder(folder: Path, dtype: torch.dtype) -> SentenceEncoder:
    """The encoder of a Hugging Face folder."""
    return SentenceEncoder(AutoModel.from_pretrained(folder, dtype=dtype), AutoTokenizer.from_pretrained(folder))
