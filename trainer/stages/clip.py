"""Stage `clip`: the image tower learns to meet the text side, by symmetric InfoNCE and a pull towards what it was.

Two arms of one recipe switch: `llm` puts an adapter over cached LLM caption features; `scratch`, the control, trains a
CLIP-style text transformer from nothing on the same images, captions and steps. The frozen part of the image tower runs
once per cached crop; only what lies above `first_trainable_block` trains.
"""

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from towers.crops import CropCache, cached_crops
from towers.data import Row, read_pairs, read_rows
from towers.losses import frozen_tower_regulariser, info_nce
from towers.metrics import retrieval
from towers.optim import adamw, clip_gradients, groups_of, set_rate
from towers.run import Run
from towers.two_towers import (
    MAX_LOGIT_SCALE,
    Adapter,
    ScratchTextTower,
    load_adapter,
    new_logit_scale,
    read_shape,
    save_towers,
    turn_to_principal_axes,
)
from towers.vision import ImageTower, create_backbone
from towers.wordpiece import train_vocabulary

EVALUATE_EVERY = 200  # steps; the figures are logged, the weights of the last step are kept
EMA_DECAY = 0.99


def main() -> None:
    run = Run.start("clip")
    config, schedule = run.config, run.config["schedule"]
    block = config["first_trainable_block"]

    # ---- image side: frozen activations of every crop, a head that starts as the frozen tower's place ------------------
    prepared, inherited = run.input("prepare"), run.input("inherit")
    splits = {split: read_pairs(prepared, split) for split in ("train", "dev")}
    recipe = read_shape(inherited)["preprocess"]
    tower = ImageTower(create_backbone(config["backbone"]["name"]), config["embed_dim"])
    start = load_file(inherited / "head.safetensors")
    with torch.no_grad():
        tower.head.weight.copy_(start["weight"])
        tower.head.bias.copy_(start["bias"])
    crops = cached_crops(run, tower, splits, recipe, config)
    tower = tower.placed(run.device)
    frozen_NE = frozen_vectors(run, tower, crops, block)

    # ---- text side ------------------------------------------------------------------------------------------------------
    captions = {split: TextSide(run, config, split, splits[split]) for split in splits}
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
    optimizer = adamw([*groups, *groups_of(text_tower), {"params": [logit_scale], "weight_decay": 0.0}], schedule)
    average = {name: value.detach().clone() for name, value in named(tower, text_tower)}
    state = run.resume()
    first, history, smooth = 0, [], 0.0
    if state is not None:
        tower.load_state_dict(state["tower"])
        text_tower.load_state_dict(state["text_tower"])
        optimizer.load_state_dict(state["optimizer"])
        logit_scale.data.copy_(state["logit_scale"])
        average, first, history = state["average"], state["step"], state["history"]
        smooth = state["smooth"]

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
        views = rng.integers(0, config["crops"], batch_size)
        x = torch.from_numpy(crops.train[chosen, views]).to(run.device, run.amp_dtype)
        torch.manual_seed(run.seed * 1_000_003 + step)
        with torch.autocast(run.device.type, run.amp_dtype, enabled=run.amp_dtype != torch.float32):
            image_BE = tower.above(x.contiguous(memory_format=torch.channels_last), block, config["dropout"])
        inputs, texts = captions["train"].draw(chosen, rng)
        text_BE = text_tower(inputs)
        loss = info_nce(image_BE, text_BE, logit_scale.exp(), same_texts(texts, run.device))
        pull = frozen_tower_regulariser(image_BE, frozen_NE[chosen].to(run.device))
        optimizer.zero_grad(set_to_none=True)
        (loss + config["regulariser_weight"] * pull).backward()
        clip_gradients(optimizer, schedule["grad_clip"])
        set_rate(optimizer, step, schedule)
        optimizer.step()
        logit_scale.data.clamp_(0, MAX_LOGIT_SCALE)
        decay = min(EMA_DECAY, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in named(tower, text_tower):
                average[name].lerp_(value, 1 - decay)
        smooth = loss.item() if smooth == 0 else 0.95 * smooth + 0.05 * loss.item()
        if (step + 1) % EVALUATE_EVERY == 0:
            figures = on_dev(run, tower, text_tower, crops, block, captions["dev"])[0]
            history.append({"step": step + 1, "mean_recall": figures["mean_recall"]})
            run.log(f"step {step + 1}: dev mean recall {figures['mean_recall']:.4f}")
        run.tick(
            step + 1,
            schedule["steps"],
            lambda step=step, smooth=smooth: {
                "tower": tower.state_dict(),
                "text_tower": text_tower.state_dict(),
                "average": average,
                "optimizer": optimizer.state_dict(),
                "logit_scale": logit_scale.data,
                "step": step + 1,
                "history": history,
                "smooth": smooth,
            },
            loss=smooth,
            pull=pull.item(),
            scale=logit_scale.exp().item(),
            **({"dev": history[-1]["mean_recall"]} if history else {}),
        )

    # ---- the averaged weights are the result ------------------------------------------------------------------------------
    with torch.no_grad():
        for name, value in named(tower, text_tower):
            value.copy_(average[name])
    image_train_IE = above(run, tower, crops.plain, block)
    text_train_IE = text_vectors(text_tower, captions["train"], captions["train"].first_of_I)
    turn_to_principal_axes(tower.head, text_tower.projection, [image_train_IE, text_train_IE])
    figures, image_IE, text_NE = on_dev(run, tower, text_tower, crops, block, captions["dev"])
    save_file({"features": image_IE.contiguous()}, run.output / "dev_images.safetensors")
    save_file({"features": text_NE.contiguous()}, run.output / "dev_captions.safetensors")
    shape = {
        **read_shape(inherited),
        "text_tower": config["text_tower"],
        "scratch": config["scratch"],
        "logit_scale": logit_scale.item(),
    }
    files = save_towers(run.output, tower, text_tower, shape)
    if captions["train"].vocabulary is not None:
        captions["train"].vocabulary.write(run.output / "vocabulary.txt")
        files["vocabulary"] = "vocabulary.txt"
    files |= {"dev_images": "dev_images.safetensors", "dev_captions": "dev_captions.safetensors"}
    run.finish(figures | {"loss.last": smooth}, files)


class TextSide:
    """What the text tower reads for a split: LLM features, or token ids of the same captions for the control."""

    def __init__(self, run: Run, config: dict, split: str, rows: list[Row]) -> None:
        embedded = run.input("embed_captions")
        self.run = run
        self.texts = [row["text"] for row in read_rows(embedded / f"captions.pairs.{split}.jsonl")]
        ids = [row["id"] for row in read_rows(embedded / f"captions.pairs.{split}.jsonl")]
        index = {row["key"]: number for number, row in enumerate(rows)}
        self.image_of_N = torch.tensor([index[key] for key in ids])
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
            return self.features_ND[numbers].float().to(self.run.device)
        assert self.vocabulary is not None
        rows = self.vocabulary.encode([self.texts[n] for n in numbers], self.scratch["context_length"])
        width = max(len(row) for row in rows)
        return torch.tensor([row + [0] * (width - len(row)) for row in rows], device=self.run.device)

    def draw(self, images: np.ndarray, rng: np.random.Generator) -> tuple[torch.Tensor, list[str]]:
        """One caption of every image, at random: inputs of the text tower and the captions."""
        numbers = self.first_of_I[images] + rng.integers(0, self.count_of_I[images])
        return self.inputs(numbers), [self.texts[n] for n in numbers]


def named(*modules: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Every parameter that trains, under a name of its own."""
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
def above(run: Run, tower: ImageTower, activations: np.ndarray, block: int) -> torch.Tensor:
    """Unit vectors of cached activations [N, E], float32 on the CPU."""
    tower.eval()
    out = []
    for start in range(0, len(activations), 128):
        x = torch.from_numpy(np.array(activations[start : start + 128])).to(run.device, torch.float32)
        out.append(tower.above(x.contiguous(memory_format=torch.channels_last), block).cpu())
    return torch.cat(out).clone()


def frozen_vectors(run: Run, tower: ImageTower, crops: CropCache, block: int) -> torch.Tensor:
    """Where the frozen tower puts every train image in the joint space [N, E]; computed before anything trains."""
    return above(run, tower, crops.plain, block)


@torch.inference_mode()
def text_vectors(text_tower: nn.Module, side: TextSide, numbers: np.ndarray) -> torch.Tensor:
    """Unit vectors [N, E] of captions by their row numbers, float32 on the CPU."""
    text_tower.eval()
    parts = np.array_split(numbers, max(1, len(numbers) // 256))
    return torch.cat([F.normalize(text_tower(side.inputs(part)).float(), dim=-1).cpu() for part in parts]).clone()


@torch.inference_mode()
def on_dev(
    run: Run, tower: ImageTower, text_tower: nn.Module, crops: CropCache, block: int, side: TextSide
) -> tuple[dict[str, float], torch.Tensor, torch.Tensor]:
    """Retrieval figures on dev, with the vectors of its images and captions."""
    image_IE = above(run, tower, crops.dev, block)
    text_NE = text_vectors(text_tower, side, np.arange(len(side.texts)))
    return retrieval(image_IE, text_NE, side.image_of_N), image_IE, text_NE


if __name__ == "__main__":
    main()
