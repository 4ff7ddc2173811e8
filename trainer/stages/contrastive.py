"""Stage `contrastive`: captions of one image move together, those of different images apart (supervised SimCSE).

Symmetric InfoNCE over two captions of every group in the batch; GradCache makes the batch independent of memory.
"""

import random

import torch
from torch.nn import functional as F

from contracts.types import ContrastiveConfig
from towers.data import read_pairs, read_texts
from towers.grad_cache import cached_backward
from towers.llm import language_model_in, load_lora_state, lora_state, read_language_model, with_lora
from towers.optim import adamw, clip_gradients, param_groups, set_lr
from towers.run import Run
from towers.token_batches import padded


def main() -> None:
    """Run the stage."""
    run = Run.start(ContrastiveConfig)
    config, schedule = run.config, run.config["schedule"]

    # ---- groups: images with captions, text-only groups, long descriptions cut in halves ----------------------------
    prepared = run.input("prepare")
    groups = [row["captions"] for row in read_pairs(prepared, "train") if len(row["captions"]) > 1]
    groups += [row["captions"] for row in read_texts(prepared, "groups", "train")]
    groups += [halves(row["captions"][0]) for row in read_texts(prepared, "long", "train")]
    dev = [row["captions"][:2] for row in read_pairs(prepared, "dev") if len(row["captions"]) > 1][:500]
    pretrained = read_language_model(language_model_in(run.input("mntp") / "model"), run.amp_dtype)
    language_model = with_lora(pretrained, config["lora"])
    model, tokenizer = language_model.model, language_model.tokenizer
    model.to(run.device).train()
    run.log(f"{len(groups)} groups, {len(dev)} dev pairs, {run.amp_dtype}")

    def encode(rows: list[list[int]]) -> torch.Tensor:
        ids_BT, mask_BT = padded(rows, run.device, tokenizer.pad_token_id)
        return F.normalize(language_model.pooled(ids_BT, mask_BT, config["pooling"]), dim=-1)

    def dev_accuracy() -> float:
        """Fraction of dev captions whose nearest other caption is the second one of the same image."""
        model.eval()
        with torch.no_grad():
            sides = [
                torch.cat(
                    [
                        encode(language_model.tokens([pair[side] for pair in part], config["max_tokens"]))
                        for part in parts(dev, 64)
                    ]
                )
                for side in (0, 1)
            ]
        model.train()
        return (sides[0] @ sides[1].T).argmax(1).eq(torch.arange(len(dev), device=run.device)).float().mean().item()

    # ---- loop --------------------------------------------------------------------------------------------------------
    optimizer = adamw(param_groups(model), schedule)
    state = run.resume()
    if state is not None:
        load_lora_state(language_model, state["lora"])
        optimizer.load_state_dict(state["optimizer"])
        first, losses, accuracy = state["step"], state["losses"], state["accuracy"]
    else:
        first, losses, accuracy = 0, [], [dev_accuracy()]
        run.log(f"dev caption retrieval before training: {accuracy[0]:.3f}")
    for step in range(first, schedule["steps"]):
        rng = random.Random(f"{run.seed}/{step}")
        chosen = [rng.sample(group, 2) for group in rng.sample(groups, min(config["batch_size"], len(groups)))]
        rows = language_model.tokens([pair[side] for side in (0, 1) for pair in chosen], config["max_tokens"])
        # Rows of similar length share a micro-batch: less padding. `order` undoes it before the loss.
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        back = torch.tensor(sorted(range(len(rows)), key=lambda i: order[i]), device=run.device)
        texts = [pair[side] for side in (0, 1) for pair in chosen]

        def loss_of(sorted_ND: torch.Tensor, back: torch.Tensor = back, texts: list[str] = texts) -> torch.Tensor:
            return pair_loss(sorted_ND[back], texts, config["temperature"])

        optimizer.zero_grad(set_to_none=True)
        micro_batches = parts([rows[i] for i in order], config["micro_batch"])
        losses.append(cached_backward(encode, micro_batches, loss_of))
        clip_gradients(optimizer, schedule["grad_clip"])
        set_lr(optimizer, step, schedule)
        optimizer.step()
        if (step + 1) % 20 == 0 or step + 1 == schedule["steps"]:
            accuracy.append(dev_accuracy())
        run.tick(
            step + 1,
            schedule["steps"],
            lambda step=step: {
                "step": step + 1,
                "losses": losses,
                "accuracy": accuracy,
                "lora": lora_state(language_model),
                "optimizer": optimizer.state_dict(),
            },
            loss=sum(losses[-5:]) / len(losses[-5:]),
            dev_accuracy=accuracy[-1],
        )

    language_model.save(run.output / "model")
    metrics = {"loss.last": losses[-1], "dev_accuracy.first": accuracy[0], "dev_accuracy.last": accuracy[-1]}
    run.finish(metrics, {"weights": "model/model.safetensors", "config": "model/config.json"})


def pair_loss(features_ND: torch.Tensor, texts: list[str], temperature: float) -> torch.Tensor:
    """Symmetric InfoNCE between the first and the second half of the rows; N is even.

    Equal texts in different groups are not negatives of each other: their scores are left out.
    """
    a_BD, b_BD = features_ND.chunk(2)
    a_texts, b_texts = texts[: len(a_BD)], texts[len(a_BD) :]
    scores_BB = a_BD @ b_BD.T / temperature
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    a_N = torch.tensor([numbers[text] for text in a_texts], device=scores_BB.device)
    b_N = torch.tensor([numbers[text] for text in b_texts], device=scores_BB.device)
    same = (a_N[:, None] == b_N[None, :]) | (a_N[:, None] == a_N[None, :]) | (b_N[:, None] == b_N[None, :])
    same.fill_diagonal_(fill_value=False)
    scores_BB = scores_BB.masked_fill(same, float("-inf"))
    target = torch.arange(len(a_BD), device=scores_BB.device)
    return 0.5 * (F.cross_entropy(scores_BB, target) + F.cross_entropy(scores_BB.T, target))


def halves(text: str) -> list[str]:
    """A long description as two positives: its first and its second half, cut at a sentence where there is one."""
    sentences = text.replace("! ", ". ").replace("? ", ". ").split(". ")
    if len(sentences) > 1:
        middle = len(sentences) // 2
        return [". ".join(sentences[:middle]), ". ".join(sentences[middle:])]
    words = text.split()
    return [" ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])]


def parts(items: list, size: int) -> list[list]:
    """Consecutive slices of at most `size` items."""
    return [items[start : start + size] for start in range(0, len(items), size)]


if __name__ == "__main__":
    main()
