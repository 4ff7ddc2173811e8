"""Stage `clip`: trains image and text tower by symmetric InfoNCE with a regulariser towards the frozen image tower.

Two text towers: `llm` trains an adapter over stored LLM features of the captions; `scratch`, the control, trains a
CLIP-style text transformer from scratch on the same images, captions and steps. `embed_images` has run the frozen part of
the image tower; only the blocks from `first_trainable_block` on are trained.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from contracts.types import ClipConfig
from towers.crops import Activations, load_activations
from towers.data import Row, read_pairs, read_rows
from towers.losses import frozen_tower_regulariser, info_nce
from towers.metrics import retrieval
from towers.optim import adamw, clip_gradients, param_groups, set_lr
from towers.run import Run
from towers.token_batches import padded
from towers.two_towers import (
    MAX_LOGIT_SCALE,
    Adapter,
    ScratchTextTower,
    TowersShape,
    load_adapter,
    new_logit_scale,
    read_shape,
    rotate_to_principal_axes,
    save_towers,
)
from towers.vision import ImageTower, create_backbone
from towers.wordpiece import train_vocabulary

EVALUATE_EVERY = 200  # steps; the metrics are logged, the weights of the last step are kept
EMA_DECAY = 0.99


def main() -> None:
    """Run the stage."""
    run = Run.start(ClipConfig)
    config, schedule = run.config, run.config["schedule"]

    # ---- image side: activations of the frozen blocks, a head that reproduces the frozen tower -------------------------
    prepared, inherited = run.input("prepare"), run.input("inherit")
    splits = {split: read_pairs(prepared, split) for split in ("train", "dev")}
    activations = load_activations(run.input("embed_images"))
    inherited_shape = read_shape(inherited)
    if activations.shape["backbone"] != inherited_shape["backbone"]:
        raise ValueError(f"embed_images ran {activations.shape['backbone']}, inherit {inherited_shape['backbone']}")
    block = activations.block
    tower = ImageTower(create_backbone(inherited_shape["backbone"]["name"]), config["embed_dim"])
    head = load_file(inherited / "head.safetensors")
    with torch.no_grad():
        tower.head.weight.copy_(head["weight"])
        tower.head.bias.copy_(head["bias"])
    tower = tower.to_device(run.device)
    frozen_NE = image_vectors(tower, activations.plain, block)  # before anything is trained

    # ---- text side ------------------------------------------------------------------------------------------------------
    embedded = run.input("embed_captions")
    captions = {split: TextSide(embedded, split, splits[split], config, run.device) for split in splits}
    torch.manual_seed(run.seed)
    text_tower: nn.Module
    if config["text_tower"] == "llm":
        text_tower = Adapter(
            captions["train"].width, config["embed_dim"], **config["adapter"], dropout=config["dropout"]
        )
        text_tower.load_state_dict(load_adapter(inherited).state_dict())
    else:
        captions["dev"].vocabulary = captions["train"].vocabulary
        text_tower = ScratchTextTower(config["scratch"], config["embed_dim"], config["dropout"])
    text_tower.to(run.device)
    logit_scale = new_logit_scale()

    # ---- optimiser, resume -----------------------------------------------------------------------------------------------
    groups = tower.trainable_groups(block, config["backbone_lr"], schedule["lr"], config["layer_decay"])
    optimizer = adamw([*groups, *param_groups(text_tower), {"params": [logit_scale], "weight_decay": 0.0}], schedule)
    ema_weights = {name: value.detach().clone() for name, value in trainable_parameters(tower, text_tower)}
    state = run.resume()
    first, history, loss_ema = 0, [], 0.0
    if state is not None:
        tower.load_state_dict(state["tower"])
        text_tower.load_state_dict(state["text_tower"])
        optimizer.load_state_dict(state["optimizer"])
        logit_scale.data.copy_(state["logit_scale"])
        ema_weights, first, history = state["ema_weights"], state["step"], state["history"]
        loss_ema = state["loss_ema"]

    # ---- loop ------------------------------------------------------------------------------------------------------------
    images = len(splits["train"])
    batch_size = min(config["batch_size"], images)
    per_epoch = images // batch_size
    for step in range(first, schedule["steps"]):
        tower.train()
        text_tower.train()
        order = np.random.default_rng((run.seed, step // per_epoch)).permutation(images)
        chosen = np.sort(order[step % per_epoch * batch_size :][:batch_size])
        rng = np.random.default_rng((run.seed, 1, step))
        crops = rng.integers(0, activations.shape["crops"], batch_size)
        x = torch.from_numpy(activations.train[chosen, crops]).to(run.device, run.amp_dtype)
        torch.manual_seed(run.seed * 1_000_003 + step)
        with torch.autocast(run.device.type, run.amp_dtype, enabled=run.amp_dtype != torch.float32):
            image_BE = tower.forward_trainable(
                x.contiguous(memory_format=torch.channels_last), block, config["dropout"]
            )
        inputs, texts = captions["train"].draw(chosen, rng)
        text_BE = text_tower(inputs)
        loss = info_nce(image_BE, text_BE, logit_scale.exp(), same_texts(texts, run.device))
        regulariser = frozen_tower_regulariser(image_BE, frozen_NE[chosen].to(run.device))
        optimizer.zero_grad(set_to_none=True)
        (loss + config["regulariser_weight"] * regulariser).backward()
        clip_gradients(optimizer, schedule["grad_clip"])
        set_lr(optimizer, step, schedule)
        optimizer.step()
        logit_scale.data.clamp_(0, MAX_LOGIT_SCALE)
        decay = min(EMA_DECAY, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in trainable_parameters(tower, text_tower):
                ema_weights[name].lerp_(value, 1 - decay)
        loss_ema = loss.item() if loss_ema == 0 else 0.95 * loss_ema + 0.05 * loss.item()
        if (step + 1) % EVALUATE_EVERY == 0:
            metrics = evaluate_dev(tower, text_tower, activations, captions["dev"])[0]
            history.append({"step": step + 1, "mean_recall": metrics["mean_recall"]})
            run.log(f"step {step + 1}: dev mean recall {metrics['mean_recall']:.4f}")
        run.tick(
            step + 1,
            schedule["steps"],
            lambda step=step, loss_ema=loss_ema: {
                "tower": tower.state_dict(),
                "text_tower": text_tower.state_dict(),
                "ema_weights": ema_weights,
                "optimizer": optimizer.state_dict(),
                "logit_scale": logit_scale.data,
                "step": step + 1,
                "history": history,
                "loss_ema": loss_ema,
            },
            loss=loss_ema,
            regulariser=regulariser.item(),
            scale=logit_scale.exp().item(),
            **({"dev": history[-1]["mean_recall"]} if history else {}),
        )

    # ---- the averaged weights are the result ------------------------------------------------------------------------------
    with torch.no_grad():
        for name, value in trainable_parameters(tower, text_tower):
            value.copy_(ema_weights[name])
    image_train_IE = image_vectors(tower, activations.plain, block)
    text_train_IE = text_vectors(text_tower, captions["train"], captions["train"].first_of_I)
    rotate_to_principal_axes(tower.head, text_tower.projection, [image_train_IE, text_train_IE])
    metrics, image_IE, text_NE = evaluate_dev(tower, text_tower, activations, captions["dev"])
    save_file({"features": image_IE.contiguous()}, run.output / "dev_images.safetensors")
    save_file({"features": text_NE.contiguous()}, run.output / "dev_captions.safetensors")
    shape: TowersShape = {
        **inherited_shape,
        "text_tower": config["text_tower"],
        "scratch": config["scratch"],
        "logit_scale": logit_scale.item(),
    }
    files = save_towers(run.output, tower, text_tower, shape)
    if captions["train"].vocabulary is not None:
        captions["train"].vocabulary.write(run.output / "vocabulary.txt")
        files["vocabulary"] = "vocabulary.txt"
    files |= {"dev_images": "dev_images.safetensors", "dev_captions": "dev_captions.safetensors"}
    run.finish(metrics | {"loss.last": loss_ema}, files)


class TextSide:
    """The text tower's inputs for a split: LLM features, or token ids of the same captions for the control."""

    def __init__(self, embedded: Path, split: str, rows: list[Row], config: ClipConfig, device: torch.device) -> None:
        captions = read_rows(embedded / f"captions.pairs.{split}.jsonl")
        self.device = device
        self.texts = [row["text"] for row in captions]
        index = {row["key"]: number for number, row in enumerate(rows)}
        self.image_of_N = torch.tensor([index[row["id"]] for row in captions])
        counts = torch.bincount(self.image_of_N, minlength=len(rows))
        self.first_of_I = (counts.cumsum(0) - counts).numpy()
        self.count_of_I = counts.numpy()
        self.vocabulary = None
        self.scratch = config["scratch"] if config["text_tower"] == "scratch" else None
        self.width = 0
        if self.scratch is None:
            self.features_ND = load_file(embedded / f"features.pairs.{split}.safetensors")["features"]
            self.width = self.features_ND.shape[1]
        elif split == "train":
            self.vocabulary = train_vocabulary(self.texts, self.scratch["vocabulary_size"])

    def inputs(self, numbers: np.ndarray) -> torch.Tensor:
        """LLM features [B, D] or ids [B, T] of captions by their row numbers."""
        if self.scratch is None:
            return self.features_ND[numbers].float().to(self.device)
        assert self.vocabulary is not None
        rows = self.vocabulary.encode([self.texts[n] for n in numbers], self.scratch["context_length"])
        return padded(rows, self.device)[0]

    def draw(self, images: np.ndarray, rng: np.random.Generator) -> tuple[torch.Tensor, list[str]]:
        """A random caption of every image: inputs of the text tower and the captions."""
        numbers = self.first_of_I[images] + rng.integers(0, self.count_of_I[images])
        return self.inputs(numbers), [self.texts[n] for n in numbers]


def trainable_parameters(*modules: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Every trainable parameter under a unique name."""
    return [
        (f"{number}.{name}", parameter)
        for number, module in enumerate(modules)
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    ]


def same_texts(texts: list[str], device: torch.device) -> torch.Tensor:
    """[B, B]: true where two rows of a batch carry the same caption."""
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    ids_B = torch.tensor([numbers[text] for text in texts], device=device)
    return ids_B[:, None] == ids_B[None, :]


@torch.inference_mode()
def image_vectors(tower: ImageTower, activations: np.ndarray, block: int) -> torch.Tensor:
    """Unit vectors of activations [N, E], float32 on the CPU."""
    tower.eval()
    out = []
    for start in range(0, len(activations), 128):
        x = torch.from_numpy(np.array(activations[start : start + 128])).to(tower.head.weight.device, torch.float32)
        out.append(tower.forward_trainable(x.contiguous(memory_format=torch.channels_last), block).cpu())
    return torch.cat(out).clone()


@torch.inference_mode()
def text_vectors(text_tower: nn.Module, side: TextSide, numbers: np.ndarray) -> torch.Tensor:
    """Unit vectors [N, E] of captions by their row numbers, float32 on the CPU."""
    text_tower.eval()
    parts = np.array_split(numbers, max(1, len(numbers) // 256))
    return torch.cat([F.normalize(text_tower(side.inputs(part)).float(), dim=-1).cpu() for part in parts]).clone()


@torch.inference_mode()
def evaluate_dev(
    tower: ImageTower, text_tower: nn.Module, activations: Activations, side: TextSide
) -> tuple[dict[str, float], torch.Tensor, torch.Tensor]:
    """Retrieval metrics on dev, with the vectors of its images and captions."""
    image_IE = image_vectors(tower, activations.dev, activations.block)
    text_NE = text_vectors(text_tower, side, np.arange(len(side.texts)))
    return retrieval(image_IE, text_NE, side.image_of_N), image_IE, text_NE


if __name__ == "__main__":
    main()
