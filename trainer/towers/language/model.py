"""A language model read as a text encoder: bidirectional through its mask, LoRA-tuned or not, pooled over real tokens.

A decoder becomes bidirectional by an explicit mask; an encoder is so by itself. Shapes: B texts, T tokens, D hidden width.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from towers.attention_of_decoders import use_for
from towers.language import packing as pack_of
from towers.language.masks import bidirectional_mask, block_diagonal_mask, flex_block_mask
from towers.language.pool import pool, pooled_tokens
from towers.language.save import save_merged, written_files
from towers.language.structure import base_decoder, position_limit, weight_dtype, without_lora
from towers.language.tokens import Reading, TextTokens, bos_ids, padding_id, text_tokens, write_reading
from towers.text_tables import in_parts
from towers.token_batches import padded

DOCUMENTS = 256  # that are tokenized together


@dataclass
class LanguageModel:
    """The model with its tokenizer and the way it reads texts.

    `model`: a causal LM, or an encoder, with LoRA layers inside where training wants them. `pooling`: the one that it was
    trained for, whatever a recipe says. `has_output_layer`: whether its checkpoint brought one; a fresh one predicts noise.
    """

    model: Any  # transformers and peft build their classes while they run
    tokenizer: Any
    reading: Reading = field(default_factory=Reading)
    is_encoder: bool = False
    pooling: str | None = None
    has_output_layer: bool = True

    def __post_init__(self) -> None:
        """Attention as it is fastest here."""
        if not self.is_encoder:
            use_for(self.model)

    def tokens(self, texts: Sequence[str], max_tokens: int) -> list[TextTokens]:
        """Tokens of each text, wrapped as the model is to read it, cut at the end to `max_tokens`."""
        return text_tokens(self.tokenizer, self.reading, texts, self._longest(max_tokens))

    def plain_tokens(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """Token ids without the template, for continued pretraining: first token where there is one, cut at the end."""
        plain = Reading(add_bos=self.reading.add_bos)
        return [row.ids for row in text_tokens(self.tokenizer, plain, texts, self._longest(max_tokens))]

    def windows(self, documents: Iterable[str], max_tokens: int) -> Iterator[list[int]]:
        """Documents cut into consecutive windows of at most `max_tokens`; tails under 8 tokens are left out.

        Every window starts with the first token where the model wants one: it was trained to find it there.
        """
        bos = bos_ids(self.tokenizer, self.reading)
        size = self._longest(max_tokens) - len(bos)
        for some in in_parts(documents, DOCUMENTS):
            for ids in self.tokenizer(some, add_special_tokens=False)["input_ids"]:
                pieces = (ids[start : start + size] for start in range(0, len(ids), size))
                yield from (bos + piece for piece in pieces if len(piece) >= 8)

    @property
    def pad_id(self) -> int:
        """The id that fills rows; it is always masked."""
        return padding_id(self.tokenizer, base_decoder(self.model).get_input_embeddings().num_embeddings)

    def hidden(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """Last hidden states [B, T, D] under bidirectional attention; the mask is 1 for a token, 0 for padding."""
        base = base_decoder(self.model)
        if self.is_encoder:
            with self._lora_precision(weight_dtype(base)):
                return base(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state
        positions_BT = torch.arange(ids_BT.shape[1], device=ids_BT.device).expand_as(ids_BT)
        return self._states(ids_BT, bidirectional_mask(mask_BT, weight_dtype(base)), positions_BT)

    def features(self, texts: Sequence[TextTokens], pooling: str, *, packing: bool = False) -> torch.Tensor:
        """One float32 vector per text [B, D]; with `packing`, decoders read them side by side instead of padded.

        Encoders are padded always: their local attention and positions are not those of a mask.
        """
        device = next(self.model.parameters()).device
        pooling = self.pooling or pooling
        if packing and not self.is_encoder:
            return self._packed_features(texts, pooling, device)
        ids_BT, mask_BT = padded([text.ids for text in texts], device, self.pad_id)
        return pool(self.hidden(ids_BT, mask_BT).float(), pooled_tokens(mask_BT, texts), pooling)

    def save(
        self, folder: Path, *, dtype: torch.dtype = torch.float32, shard_bytes: int | None = None
    ) -> dict[str, str]:
        """Write a plain Hugging Face folder, LoRA layers merged; the model cannot be used afterwards.

        Returns the files by name, as paths relative to the parent of `folder`.
        """
        save_merged(self.model, self.tokenizer, folder, dtype=dtype, shard_bytes=shard_bytes)
        write_reading(folder, self.reading)
        return written_files(folder)

    def _longest(self, max_tokens: int) -> int:
        return min(max_tokens, position_limit(base_decoder(self.model)) or max_tokens)

    def _states(self, ids: torch.Tensor, mask: Any, positions: torch.Tensor) -> torch.Tensor:
        decoder = base_decoder(self.model)
        with self._lora_precision(weight_dtype(decoder)):
            output = decoder(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False)
        return output.last_hidden_state

    def _packed_features(self, texts: Sequence[TextTokens], pooling: str, device: torch.device) -> torch.Tensor:
        total = sum(len(text) for text in texts)
        if pack_of.use_flex(without_lora(self.model), device):
            packed = pack_of.pack(texts, min(total, pack_of.FLEX_ROW), device, self.pad_id, multiple=pack_of.FLEX_BLOCK)
            mask: Any = flex_block_mask(packed.texts_RT)
        else:
            packed = pack_of.pack(texts, min(total, pack_of.DENSE_ROW), device, self.pad_id)
            mask = block_diagonal_mask(packed.texts_RT, weight_dtype(base_decoder(self.model)))
        hidden_RTD = self._states(packed.ids_RT, mask, packed.positions_RT)
        return pack_of.pooling_weights(packed, texts, pooling) @ hidden_RTD.flatten(0, 1).float()

    @contextmanager
    def _lora_precision(self, dtype: torch.dtype) -> Iterator[None]:
        """LoRA weights stay float32 (small updates survive) while their products run in the base model's dtype.

        peft would cast every activation up to float32 instead (`with_lora` turns that off): 1.2 times slower on a CPU with
        bfloat16.
        """
        if not isinstance(self.model, PeftModel) or dtype == torch.float32:
            yield
            return
        device = next(self.model.parameters()).device.type
        with torch.autocast(device, dtype):
            yield
