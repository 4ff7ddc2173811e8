"""Stage `contrastive`: captions of one image move together, those of different images apart (supervised SimCSE).

Symmetric InfoNCE over two texts of every group in the batch; GradCache makes the batch independent of memory. A group is
the captions of one image, or what is known of one concept: its names, a prompt, its gloss, a hypernym, descriptions.
"""

import random
from collections.abc import Sequence

import torch
from torch.nn import functional as F

from contracts.types import ContrastiveConfig
from towers.data import Row, read_pairs, read_texts
from towers.epochs import epoch_batch
from towers.grad_cache import cached_backward
from towers.labels import normalised_label
from towers.language.lora import load_lora_state, lora_state, with_lora
from towers.language.read import language_model_in, read_language_model
from towers.language.save import save_options
from towers.language.tokens import TextTokens
from towers.optim import adamw, clip_gradients, param_groups, set_lr
from towers.run import Run


def main() -> None:
    """Run the stage."""
    run = Run.start(ContrastiveConfig)
    config, schedule = run.config, run.config["schedule"]

    # ---- groups: images with captions, text-only groups, long descriptions cut in halves, concepts ------------------
    prepared = run.input("prepare")
    pairs = read_pairs(prepared, "train")
    captions = [row["captions"] for row in pairs if "label" not in row and len(row["captions"]) > 1]
    captions += [row["captions"] for row in read_texts(prepared, "groups", "train")]
    captions += [halves(row["captions"][0]) for row in read_texts(prepared, "long", "train")]
    concepts = concept_groups(read_texts(prepared, "concepts", "train"), pairs)
    documents = read_texts(prepared, "plain", "train") if config.get("document_fraction", 0) else []
    passages = [passage for row in documents for passage in passages_of(row["text"], config["max_tokens"])]
    sampler = Sampler(captions, concepts, config, run.seed, passages)
    dev = [row["captions"][:2] for row in read_pairs(prepared, "dev") if len(row["captions"]) > 1][:500]
    source = config.get("language_model") or language_model_in(run.input("mntp") / "model")
    pretrained = read_language_model(source, run.amp_dtype)
    language_model = with_lora(pretrained, config["lora"])
    model = language_model.model
    model.to(run.device).train()
    run.log(f"{len(captions)} groups of captions, {len(concepts)} concepts, {len(dev)} dev pairs, {run.amp_dtype}")

    def encode(rows: list[TextTokens]) -> torch.Tensor:
        packing = config.get("packing", False)
        return F.normalize(language_model.features(rows, config["pooling"], packing=packing), dim=-1)

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
        chosen, names = sampler.draw(step)
        texts = [pair[side] for side in (0, 1) for pair in chosen]
        rows = language_model.tokens(texts, config["max_tokens"])
        # Rows of similar length share a micro-batch: less padding. `order` undoes it before the loss.
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        back = torch.tensor(sorted(range(len(rows)), key=lambda i: order[i]), device=run.device)

        def loss_of(
            sorted_ND: torch.Tensor,
            back: torch.Tensor = back,
            texts: list[str] = texts,
            names: list[str | None] = names,
        ) -> torch.Tensor:
            return pair_loss(sorted_ND[back], texts, config["temperature"], names)

        optimizer.zero_grad(set_to_none=True)
        micro_batches = parts([rows[i] for i in order], config["micro_batch"])
        keep_graphs = not config.get("gradient_cache", True)
        losses.append(cached_backward(encode, micro_batches, loss_of, keep_graphs=keep_graphs))
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

    files = language_model.save(run.output / "model", **save_options(config.get("saved_model")))
    metrics = {"loss.last": losses[-1], "dev_accuracy.first": accuracy[0], "dev_accuracy.last": accuracy[-1]}
    run.finish(metrics, files)


Group = tuple[str | None, list[str]]  # the normalised name of a concept, None for captions; at least two texts


class Sampler:
    """Which groups a step sees, and two texts of each: a pure function of seed and step, no group twice in an epoch."""

    def __init__(
        self,
        captions: list[list[str]],
        concepts: list[Group],
        config: ContrastiveConfig,
        seed: int,
        passages: Sequence[list[str]] = (),
    ) -> None:
        self.seed = seed
        wanted = round(config["batch_size"] * config["concept_fraction"]) if concepts else 0
        plain = round(config["batch_size"] * config.get("document_fraction", 0)) if passages else 0
        self.parts: list[tuple[list[Group], int]] = [
            ([(None, texts) for texts in captions], config["batch_size"] - wanted - plain),
            (concepts, wanted),
            ([(None, texts) for texts in passages], plain),
        ]

    def draw(self, step: int) -> tuple[list[list[str]], list[str | None]]:
        """Two texts of every group, and the name of its concept."""
        rng = random.Random(f"{self.seed}/{step}")
        pairs: list[list[str]] = []
        names: list[str | None] = []
        for place, (groups, size) in enumerate(self.parts):
            for number in epoch_batch((self.seed, place), step, len(groups), size) if groups and size else ():
                name, texts = groups[number]
                pairs.append(rng.sample(texts, 2))
                names.append(name)
        return pairs, names


def concept_groups(concepts: list[Row], pairs: list[Row]) -> list[Group]:
    """The texts of every concept, and the captions that were made of every label of a picture."""
    groups: list[Group] = []
    for row in concepts:
        texts = [*row["names"], f"a photo of a {row['name']}.", *row["descriptions"]]
        texts += [row["gloss"]] if row["gloss"] else []
        texts += [f"{name}, a kind of {row['hypernyms'][0]}" for name in row["names"][:1] if row["hypernyms"]]
        groups.append((normalised_label(row["name"]), list(dict.fromkeys(texts))))
    labels = {normalised_label(row["label"]): row["captions"] for row in pairs if row.get("prompted")}
    return [group for group in [*groups, *labels.items()] if len(group[1]) > 1]


def pair_loss(
    features_ND: torch.Tensor, texts: list[str], temperature: float, names: list[str | None] | None = None
) -> torch.Tensor:
    """Symmetric InfoNCE between the first and the second half of the rows; N is even.

    Groups with an equal text, or with the same name, are not negatives of each other: their scores are left out.
    """
    a_BD, b_BD = features_ND.chunk(2)
    scores_BB = a_BD @ b_BD.T / temperature
    a_N, b_N = (numbered(side, texts, scores_BB.device) for side in (texts[: len(a_BD)], texts[len(a_BD) :]))
    same = (a_N[:, None] == b_N[None, :]) | (a_N[:, None] == a_N[None, :]) | (b_N[:, None] == b_N[None, :])
    if names is not None:
        alone = [f"/{number}" if name is None else name for number, name in enumerate(names)]
        names_N = numbered(alone, alone, scores_BB.device)
        same |= names_N[:, None] == names_N[None, :]
    same.fill_diagonal_(fill_value=False)
    scores_BB = scores_BB.masked_fill(same, float("-inf"))
    target = torch.arange(len(a_BD), device=scores_BB.device)
    return 0.5 * (F.cross_entropy(scores_BB, target) + F.cross_entropy(scores_BB.T, target))


def numbered(texts: list[str], among: list[str], device: torch.device) -> torch.Tensor:
    """A number for every text: equal texts have the same."""
    numbers = {text: number for number, text in enumerate(dict.fromkeys(among))}
    return torch.tensor([numbers[text] for text in texts], device=device)


def halves(text: str) -> list[str]:
    """A long description as two positives: its first and its second half, cut at a sentence where there is one."""
    sentences = text.replace("! ", ". ").replace("? ", ". ").split(". ")
    if len(sentences) > 1:
        middle = len(sentences) // 2
        return [". ".join(sentences[:middle]), ". ".join(sentences[middle:])]
    words = text.split()
    return [" ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])]


def passages_of(text: str, max_tokens: int) -> list[list[str]]:
    """The halves of consecutive passages of a document, each half about as long as what is read of it.

    A word is 1.3 tokens or more, so three words for two tokens in a passage fill both halves. Tails under 16 words go.
    """
    words, size = text.split(), max(16, 3 * max_tokens // 2)
    passages = [words[start : start + size] for start in range(0, len(words), size)]
    return [halves(" ".join(passage)) for passage in passages if len(passage) >= 16]


def parts(items: list, size: int) -> list[list]:
    """Consecutive slices of at most `size` items."""
    return [items[start : start + size] for start in range(0, len(items), size)]


if __name__ == "__main__":
    main()
