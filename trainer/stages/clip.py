"""Stage `clip`: trains image and text tower by InfoNCE or sigmoid loss with terms that keep what the frozen image tower knows.

Two text towers: `llm` trains an adapter over stored features of the captions; `scratch`, the control, trains a CLIP-style
text transformer from scratch on the same images, texts and steps. `embed_images` has run the frozen image tower; only the
blocks from `first_trainable_block` on are trained, or the head alone. The terms are in tasks/clip_objective.py.
"""

from collections.abc import Mapping
from typing import NamedTuple, cast

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from contracts.types import ClipConfig
from engine.loop import Loop
from engine.run import Run
from tasks.clip import Clip
from tasks.clip_batch import Sampler
from tasks.clip_objective import Objective, Place, Texts
from towers.class_targets import load_class_targets
from towers.crops import Activations, load_activations
from towers.data import Row, read_class_images, read_pairs
from towers.image.backbone import create_backbone
from towers.image.tower import ImageTower
from towers.items import write_items
from towers.labels import normalised_label
from towers.metrics import mean_recall_per_image, retrieval, target_ranks
from towers.text_sets import TextSet, group_vectors, text_vectors
from towers.two_towers import (
    Adapter,
    ScratchTextTower,
    TowersShape,
    load_adapter,
    read_shape,
    rotate_to_principal_axes,
    save_towers,
)
from towers.wordpiece import WordPiece, train_vocabulary


def main() -> None:
    """Run the stage."""
    run = Run.start(ClipConfig)
    config = run.config

    # ---- image side: activations of the frozen blocks, a head that reproduces the frozen tower -------------------------
    inherited = run.input("inherit")
    activations = load_activations(run.input("embed_images"))
    inherited_shape = read_shape(inherited)
    if activations.shape["backbone"] != inherited_shape["backbone"]:
        raise ValueError(f"embed_images ran {activations.shape['backbone']}, inherit {inherited_shape['backbone']}")
    block = activations.block
    tower = ImageTower(create_backbone(**inherited_shape["backbone"]), config["embed_dim"])
    tower.drop_patches(config.get("patch_dropout", 0.0), block)
    head = load_file(inherited / "head.safetensors")
    with torch.no_grad():
        tower.head.weight.copy_(head["weight"])
        tower.head.bias.copy_(head["bias"])
    tower = tower.to_device(run.device)

    # ---- text side ------------------------------------------------------------------------------------------------------
    train = read_pairs(run.input("prepare"), "train")
    texts, vocabulary = text_sets(run)
    torch.manual_seed(run.seed)
    text_tower: nn.Module
    if vocabulary is None:
        text_tower = Adapter(
            inherited_shape["llm_width"], config["embed_dim"], **config["adapter"], dropout=config["dropout"]
        )
        text_tower.load_state_dict(load_adapter(inherited).state_dict())
    else:
        text_tower = ScratchTextTower(config["scratch"], config["embed_dim"], config["dropout"])
    text_tower.to(run.device)
    if texts["pairs.train"].keys != [row["key"] for row in train]:
        raise ValueError("embed_captions and embed_images were run on other images than prepare has now")
    labels = [normalised_label(row.get("label", "")) for row in train]
    objective = Objective(
        (tower, text_tower),
        activations,
        Texts(texts["pairs.train"], texts["prompts"], texts["hypernyms"], labels, load_class_targets(inherited)),
        config,
        Place(run.world, run.amp_dtype),
    )
    measure = Measure(run, activations, texts)

    task = Clip(run, objective, Sampler(train, config, run.seed), lambda: measure.metrics(tower, text_tower))
    Loop(run, task, config["schedule"], config.get("parallel"), config["ema_decay"]).train()
    run.leave_to_first()

    image_train_IE = image_vectors(tower, activations.plain, block)
    text_train_IE = text_vectors(text_tower, texts["pairs.train"], texts["pairs.train"].first_of_G)
    rotate_to_principal_axes(tower.head, text_tower.projection, [image_train_IE, text_train_IE])
    measured = measure.all(tower, text_tower)
    image_IE, text_NE = measured.image_IE, measured.text_NE
    save_file({"features": image_IE.contiguous()}, run.output / "dev_images.safetensors")
    save_file({"features": text_NE.contiguous()}, run.output / "dev_captions.safetensors")
    shape: TowersShape = {
        **inherited_shape,
        "text_tower": config["text_tower"],
        "scratch": config["scratch"],
        "logit_scale": objective.scales.captions.item(),
    }
    if objective.scales.bias is not None:
        shape["logit_bias"] = objective.scales.bias.item()
    files = save_towers(run.output, tower, text_tower, shape)
    if vocabulary is not None:
        vocabulary.write(run.output / "vocabulary.txt")
        files["vocabulary"] = "vocabulary.txt"
    files |= {"dev_images": "dev_images.safetensors", "dev_captions": "dev_captions.safetensors"}
    files |= write_items(run.output, measured.items)
    run.finish(measured.metrics | {"loss.last": float(task.loss_average)}, files)


def text_sets(run: Run[ClipConfig]) -> tuple[dict[str, TextSet], WordPiece | None]:
    """The sets of texts by name, and for the control the vocabulary that is trained on those of training."""
    embedded, config = run.input("embed_captions"), run.config
    sets = {name: TextSet(embedded, name, run.device) for name in SETS}
    sets["pairs.train"].with_shares(cast("Mapping[str, float] | None", config.get("caption_shares")))
    if config["text_tower"] == "llm":
        return {name: texts.with_features() for name, texts in sets.items()}, None
    learned = [*sets["pairs.train"].texts, *sets["prompts"].texts]
    vocabulary = train_vocabulary(learned, config["scratch"]["vocabulary_size"])
    return {name: texts.with_tokens(vocabulary, config["scratch"]) for name, texts in sets.items()}, vocabulary


SETS = ("pairs.train", "pairs.dev", "prompts", "hypernyms", "labels")


class Measured(NamedTuple):
    """Metrics by name, what every image contributes to some of them, and the vectors of the dev images and captions."""

    metrics: dict[str, float]
    items: dict[str, np.ndarray]
    image_IE: torch.Tensor
    text_NE: torch.Tensor


class Measure:
    """Metrics on what is not trained on: dev, class images, pictures of held-out labels among all labels."""

    def __init__(self, run: Run[ClipConfig], activations: Activations, texts: dict[str, TextSet]) -> None:
        self.activations, self.texts = activations, texts
        prepared = run.input("prepare")
        self.classes = self.targets(read_class_images(prepared), "prompts", lambda row: str(row["index"]))
        self.unseen = self.targets(read_pairs(prepared, "unseen"), "labels", lambda row: normalised_label(row["label"]))

    def targets(self, rows: list[Row], name: str, key_of) -> torch.Tensor:
        """The group of every row in a set of texts."""
        group = {key: number for number, key in enumerate(self.texts[name].keys)}
        return torch.tensor([group[key_of(row)] for row in rows], dtype=torch.long)

    def metrics(self, tower: ImageTower, text_tower: nn.Module) -> dict[str, float]:
        """All metrics by name."""
        return self.all(tower, text_tower).metrics

    def all(self, tower: ImageTower, text_tower: nn.Module) -> Measured:
        """All that is measured."""
        activations, block, dev = self.activations, self.activations.block, self.texts["pairs.dev"]
        image_IE = image_vectors(tower, activations.dev, block)
        text_NE = text_vectors(text_tower, dev, np.arange(len(dev.texts)))
        metrics = retrieval(image_IE, text_NE, dev.group_of_N)
        hits: dict[str, np.ndarray] = {}
        if activations.classes is not None and self.texts["prompts"].keys:
            vectors_KE = group_vectors(text_tower, self.texts["prompts"])
            hits |= hits_at("zero_shot", image_vectors(tower, activations.classes, block), vectors_KE, self.classes)
        if activations.unseen is not None:
            vectors_GE = group_vectors(text_tower, self.texts["labels"])
            hits |= hits_at("unseen", image_vectors(tower, activations.unseen, block), vectors_GE, self.unseen)
        metrics |= {name: float(values.mean()) for name, values in hits.items()}
        recalls_I = mean_recall_per_image(image_IE @ text_NE.T, dev.group_of_N)
        return Measured(metrics, {"mean_recall": recalls_I} | hits, image_IE, text_NE)


def hits_at(
    name: str, images_IE: torch.Tensor, classes_CE: torch.Tensor, class_of_I: torch.Tensor
) -> dict[str, np.ndarray]:
    """1 for every image [I] whose own class is the nearest, or among the nearest five, by metric; else 0."""
    rank_I = target_ranks(images_IE @ classes_CE.T, class_of_I)
    return {f"{name}_top{k}": (rank_I < k).double().numpy() for k in (1, 5)}


@torch.inference_mode()
def image_vectors(tower: ImageTower, activations: np.ndarray, block: int | None) -> torch.Tensor:
    """Unit vectors of activations [N, E], float32 on the CPU."""
    tower.eval()
    out = []
    for start in range(0, len(activations), 128):
        x = torch.from_numpy(np.array(activations[start : start + 128])).to(tower.head.weight.device, torch.float32)
        x = x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
        out.append(tower.forward_trainable(x, block).cpu())
    return torch.cat(out).clone()


if __name__ == "__main__":
    main()
