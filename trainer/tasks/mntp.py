"""Masked next-token prediction (LLM2Vec, 2404.05961): a causal LM learns to see both sides of a token.

The hidden state before a masked token predicts it, under bidirectional attention.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch.nn import functional as F

from contracts.types import MntpConfig, MntpConfigMaskedAs
from data.order import epoch_batch
from engine.generators import torch_seed
from engine.run import Run
from engine.sharding import Blocks, equal_parts, shares_of
from engine.task import Figures, Losses, Parts, Task
from towers.data import each_pair, each_text_row
from towers.language.model import LanguageModel
from towers.language.probe import probe_output
from towers.language.structure import base_decoder, blocks_of, model_type, next_token_logits
from towers.token_batches import padded

MASKED_AS: MntpConfigMaskedAs = {"mask_token": 0.8, "random_token": 0.1}  # as in BERT (1810.04805)


class Mntp(Task):
    """Over windows of documents and captions, mixed by `caption_share`."""

    def __init__(
        self,
        run: Run[MntpConfig],
        language_model: LanguageModel,
        windows: Sequence[list[int]],
        captions: Sequence[str],
    ) -> None:
        self.run, self.language_model, self.windows, self.captions = run, language_model, windows, captions
        self.modules = {"language_model": language_model.model}
        self.losses = Losses()
        tokenizer, token = language_model.tokenizer, run.config["mask_token"]
        mask_id = tokenizer.convert_tokens_to_ids(token)
        if mask_id is None or (mask_id == tokenizer.unk_token_id and token != tokenizer.unk_token):
            raise ValueError(f"mask_token {token!r} is not one token of this vocabulary")
        masked_as = run.config.get("masked_as", MASKED_AS)
        self.masking = Masking(
            run.config["mask_share"], mask_id, len(tokenizer), masked_as["mask_token"], masked_as["random_token"]
        )

    def blocks(self) -> Blocks:
        """The layers of the decoder."""
        model = self.language_model.model
        return Blocks(base_decoder(model), [block for _, block in blocks_of(model)])

    def backward(self, step: int) -> Parts:
        """Gradient of the mean over all masked tokens of the batch; this rank's rows, a micro-batch at a time."""
        run, device = self.run, self.run.device
        # Drawn and counted on the CPU: to know which tokens are masked, nothing has to wait for a GPU.
        ids_BT, mask_BT = padded(self.draw(step), torch.device("cpu"), self.language_model.pad_id)
        generator = torch.Generator().manual_seed(torch_seed(run.seed * 1_000_003 + step))
        masked_BT, chosen_BT = mask_tokens(ids_BT, mask_BT, self.masking, generator)
        total = int(chosen_BT.sum())
        of_ranks = shares_of(len(ids_BT), run.world)
        rows = [*run.world.share(range(len(ids_BT)))]
        loss = torch.zeros((), device=device)
        for numbers in equal_parts(rows, run.config.get("micro_batch", of_ranks[1]), of_ranks):
            part = slice(numbers[0], numbers[-1] + 1)
            hidden_BTD = self.language_model.hidden(masked_BT[part].to(device), mask_BT[part].to(device))
            chosen_bT = chosen_BT[part, 1:]
            row_N, before_N = (place.to(device) for place in chosen_bT.nonzero(as_tuple=True))
            logits_NV = next_token_logits(self.language_model.model, hidden_BTD[row_N, before_N])
            mean = F.cross_entropy(logits_NV.float(), ids_BT[part, 1:][chosen_bT].to(device))
            weighted = mean * (len(logits_NV) / total) if len(logits_NV) else logits_NV.sum()
            weighted.backward()
            loss += weighted.detach()
        return {"loss": loss}

    def measure(self, step: int, parts: Parts) -> Figures:
        """The mean loss of the last ten steps."""
        self.losses.add(parts["loss"])
        return {"loss": lambda: self.losses.mean(10)}

    def draw(self, step: int) -> list[list[int]]:
        """Token ids of the batch of all ranks."""
        return self.in_epochs(step) if self.run.config.get("sampling") == "epochs" else self.by_chance(step)

    def by_chance(self, step: int) -> list[list[int]]:
        """Each from all windows or all captions."""
        config = self.run.config
        rng = random.Random(f"{self.run.seed}/{step}")
        rows = []
        for _ in range(config["batch_size"]):
            if not self.windows or (self.captions and rng.random() < config["caption_share"]):
                rows.append(self.language_model.plain_tokens([rng.choice(self.captions)], config["max_tokens"])[0])
            else:
                rows.append(rng.choice(self.windows))
        return rows

    def in_epochs(self, step: int) -> list[list[int]]:
        """The share of captions in every batch, and each text of a kind once before any of it comes twice."""
        config, size = self.run.config, self.run.config["batch_size"]
        captions = size if not self.windows else round(size * config["caption_share"]) if self.captions else 0
        texts = [self.captions[place] for place in self.places(1, step, len(self.captions), captions)]
        windows = [self.windows[place] for place in self.places(2, step, len(self.windows), size - captions)]
        return [*(self.language_model.plain_tokens(texts, config["max_tokens"]) if texts else []), *windows]

    def places(self, kind: int, step: int, count: int, size: int) -> list[int]:
        """Those of a kind in an epoch's order; of fewer texts than that all."""
        return epoch_batch((self.run.seed, kind), step, count, size).tolist() if count and size else []

    def state(self) -> dict[str, list[float]]:
        """The losses so far."""
        return {"losses": self.losses.numbers()}

    def load_state(self, state: dict[str, list[float]]) -> None:
        """Put them back."""
        self.losses.values = [*state["losses"]]


def captions_of(prepared: Path, *, with_pairs: bool) -> Iterator[str]:
    """Captions of groups of texts, and where the recipe wants them those of the images."""
    rows = each_text_row(prepared, "groups", "train")
    for row in chain(rows, each_pair(prepared, "train")) if with_pairs else rows:
        yield from row["captions"]


def refuse_without_output(language_model: LanguageModel) -> None:
    """Tokens are predicted with the pretrained output layer: an encoder needs no `mntp`, and a fresh layer says nothing."""
    name = model_type(language_model.model)
    instead = "leave the block mntp out and name it in contrastive.language_model"
    if language_model.is_encoder:
        raise ValueError(f"mntp: {name} is an encoder and looks both ways already: {instead}")
    if not language_model.has_output_layer:
        raise ValueError(f"mntp: this {name} is saved without its output layer, as tuned text encoders are: {instead}")
    probe_output(language_model)


@dataclass(frozen=True)
class Masking:
    """How tokens are masked: the fraction of them, the mask token, and the number of tokens to draw random ones from.

    Of those that are masked, `as_mask` become the mask token and `as_random` a random one; the rest stay.
    """

    ratio: float
    mask_id: int
    vocabulary_size: int
    as_mask: float
    as_random: float


def mask_tokens(
    ids_BT: torch.Tensor, mask_BT: torch.Tensor, masking: Masking, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """(masked ids, chosen positions), both [B, T]. Position 0 is never chosen: no position precedes it."""
    shape = tuple(ids_BT.shape)
    chosen = (torch.rand(shape, generator=generator) < masking.ratio).to(ids_BT.device) & mask_BT.bool()
    chosen[:, 0] = False
    if not chosen.any():
        chosen[0, min(1, shape[1] - 1)] = True
    draw = torch.rand(shape, generator=generator).to(ids_BT.device)
    noise = torch.randint(0, masking.vocabulary_size, shape, generator=generator).to(ids_BT.device)
    masked = torch.where(chosen & (draw < masking.as_mask), torch.full_like(ids_BT, masking.mask_id), ids_BT)
    becomes_random = (draw >= masking.as_mask) & (draw < masking.as_mask + masking.as_random)
    return torch.where(chosen & becomes_random, noise, masked), chosen
