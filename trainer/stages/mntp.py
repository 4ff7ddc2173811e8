"""Stage `mntp`: masked next-token prediction makes a causal language model bidirectional (LLM2Vec, 2404.05961).

A fraction of the tokens is masked (80 % the mask token, 10 % a random one, 10 % unchanged); each is predicted from the
hidden state of the position before it, as in pretraining. LoRA layers are trained, then merged into the weights.
"""

import random
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from contracts.types import MntpConfig
from towers.data import read_pairs, read_texts
from towers.language.lora import load_lora_state, lora_state, with_lora
from towers.language.model import LanguageModel
from towers.language.probe import probe_output
from towers.language.read import read_language_model
from towers.language.save import save_options
from towers.language.structure import model_type, next_token_logits
from towers.optim import adamw, descend, param_groups
from towers.run import Run
from towers.token_batches import padded


def main() -> None:
    """Run the stage."""
    run = Run.start(MntpConfig)
    config, schedule = run.config, run.config["schedule"]

    # ---- texts: windows of plain documents and captions --------------------------------------------------------------
    prepared = run.input("prepare")
    documents = [row["text"] for row in read_texts(prepared, "plain", "train")]
    captions = [text for row in read_texts(prepared, "groups", "train") for text in row["captions"]]
    if config.get("pair_captions", False):
        captions += [text for row in read_pairs(prepared, "train") for text in row["captions"]]
    language_model = read_language_model(config["language_model"], run.amp_dtype)
    refuse_without_output(language_model)
    language_model = with_lora(language_model, config["lora"])
    model, tokenizer = language_model.model, language_model.tokenizer
    model.to(run.device).train()
    windows = language_model.windows(documents, config["max_tokens"])
    run.log(f"{len(windows)} windows of documents, {len(captions)} captions, {run.amp_dtype}")

    # ---- loop --------------------------------------------------------------------------------------------------------
    optimizer = adamw(param_groups(model), schedule)
    state = run.resume()
    first, losses = 0, []
    if state is not None:
        load_lora_state(language_model, state["lora"])
        optimizer.load_state_dict(state["optimizer"])
        first, losses = state["step"], state["losses"]
    mask_id = tokenizer.convert_tokens_to_ids(config["mask_token"])
    if mask_id is None or (mask_id == tokenizer.unk_token_id and config["mask_token"] != tokenizer.unk_token):
        raise ValueError(f"mask_token {config['mask_token']!r} is not one token of this vocabulary")
    for step in range(first, schedule["steps"]):
        rng = random.Random(f"{run.seed}/{step}")
        rows = []
        for _ in range(config["batch_size"]):
            if not windows or (captions and rng.random() < config["caption_share"]):
                rows.append(language_model.plain_tokens([rng.choice(captions)], config["max_tokens"])[0])
            else:
                rows.append(rng.choice(windows))
        ids_BT, mask_BT = padded(rows, run.device, language_model.pad_id)
        generator = torch.Generator().manual_seed(run.seed * 1_000_003 + step)
        masking = Masking(config["mask_share"], mask_id, len(tokenizer))
        masked_BT, chosen_BT = mask_tokens(ids_BT, mask_BT, masking, generator)
        hidden_BTD = language_model.hidden(masked_BT, mask_BT)
        logits_NV = next_token_logits(model, hidden_BTD[:, :-1][chosen_BT[:, 1:]])
        loss = F.cross_entropy(logits_NV.float(), ids_BT[:, 1:][chosen_BT[:, 1:]])
        descend(optimizer, loss, step, schedule)
        losses.append(loss.item())
        run.tick(
            step + 1,
            schedule["steps"],
            lambda step=step: {
                "step": step + 1,
                "losses": losses,
                "lora": lora_state(language_model),
                "optimizer": optimizer.state_dict(),
            },
            loss=sum(losses[-10:]) / len(losses[-10:]),
        )

    # ---- merge -------------------------------------------------------------------------------------------------------
    files = language_model.save(run.output / "model", **save_options(config.get("saved_model")))
    tail = max(1, len(losses) // 10)
    metrics = {"loss.first": sum(losses[:tail]) / tail, "loss.last": sum(losses[-tail:]) / tail}
    run.finish(metrics, files)


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
    """How tokens are masked: the fraction of them, the mask token, and the number of tokens to draw random ones from."""

    ratio: float
    mask_id: int
    vocabulary_size: int


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
    masked = torch.where(chosen & (draw < 0.8), torch.full_like(ids_BT, masking.mask_id), ids_BT)
    return torch.where(chosen & (draw >= 0.8) & (draw < 0.9), noise, masked), chosen


if __name__ == "__main__":
    main()
