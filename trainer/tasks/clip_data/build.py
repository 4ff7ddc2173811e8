"""Builds the training of `clip` from what the stages before it wrote, and writes what comes out of it.

What `embed_images` stored says whether train images are cached or streamed.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from contracts.types import ClipConfig
from data.batches import LowResolution, PairLoader, PairOptions
from data.captions.names import DEV_REGION_TEXTS, NEGATIVE_TEXTS, REGION_TEXTS
from data.copies import shards_in
from data.features import FeatureStore
from data.image import CropOptions
from data.manifest import ShardError, are_pairs, has_labels, read_manifest, rows_digest, shards_of
from data.stream import Share, within_shared_memory
from engine.folders.inputs import job_of
from engine.run import Run
from tasks.clip.objective import Objective, Texts
from tasks.clip.task import Clip
from tasks.clip_data.batch import Counts, Pairs, Place, labelled_images
from tasks.clip_data.cached import CachedPairs, Sampler, StoredPairs
from tasks.clip_data.frozen import FrozenTower
from tasks.clip_data.measure import Measure
from tasks.clip_data.regions import DevRegions, StoredRegions, region_options
from tasks.clip_data.streamed import MIXED_IMAGES, Asking, StreamedPairs, Streams, TextInputs, order_options
from tasks.clip_data.wrong import WrongCaptions, most_wrong
from towers.class_targets import load_class_targets
from towers.crops import load_activations, load_whole_images, read_crops
from towers.data import first_pairs, read_pairs
from towers.image.backbone import create_backbone, preprocess_recipe
from towers.image.tower import ImageTower, image_vectors
from towers.items import write_items
from towers.labels import normalised_label
from towers.text_sets import TextSet, text_vectors
from towers.token_batches import padded
from towers.two_towers import (
    ROTATION,
    Adapter,
    ScratchTextTower,
    TowersShape,
    load_adapter,
    read_shape,
    rotate_to_principal_axes,
    save_towers,
)
from towers.wordpiece import WordPiece, train_vocabulary

MOST_WORKERS = 12  # processes of one rank that decode
LEARNED_IMAGES = 200_000  # whose captions the control's vocabulary is trained on, where images are streamed
SEEN_FOR_ROLES = (
    10_000  # images, the first ones, of which one has to have captions with roles where the recipe has shares
)
FROZEN_TERMS = ("softmax_weight", "hypernyms_softmax_weight")
MIXED_TERMS = ("rows_weight", "hypernyms_weight")  # with features of photographs mixed in


class Inputs(NamedTuple):
    """Folders that the stages before it wrote."""

    prepared: Path
    embedded: Path  # by embed_captions
    images: Path  # by embed_images
    inherited: Path


class Training(NamedTuple):
    """The task, and what is needed to write its result."""

    inputs: Inputs
    task: Clip
    measure: Measure
    shape: TowersShape
    texts: dict[str, TextSet]
    vocabulary: WordPiece | None


def build(run: Run[ClipConfig], inputs: Inputs) -> Training:
    """Towers, pairs, objective and task."""
    config, inherited, place = run.config, inputs.inherited, Place(run.world, run.amp_dtype)
    shape, crops = read_shape(inherited), read_crops(inputs.images)
    if crops["backbone"] != shape["backbone"]:
        raise ValueError(f"embed_images ran {crops['backbone']}, inherit {shape['backbone']}")
    is_streamed = "streamed" in crops
    tower = ImageTower(create_backbone(**shape["backbone"]), config["embed_dim"])
    frozen = None
    if is_streamed:
        recipe = preprocess_recipe(tower.backbone, shape["backbone"]["size"])
        frozen = FrozenTower(tower, recipe, crops["first_trainable_block"], place)
    tower.drop_patches(config.get("patch_dropout", 0.0), crops["first_trainable_block"])
    head = load_file(inherited / "head.safetensors")
    with torch.no_grad():
        tower.head.weight.copy_(head["weight"])
        tower.head.bias.copy_(head["bias"])
    tower = tower.to_device(run.device)
    texts, vocabulary = text_sets(run, inputs, is_streamed=is_streamed)
    text_tower = text_tower_of(run, inputs, vocabulary).to(run.device)
    if frozen is None:
        pairs = cached_pairs(run, inputs, texts, tower, place)
    else:
        pairs = streamed_pairs(run, inputs, frozen, vocabulary)
    measure = Measure(inputs.prepared, load_whole_images(inputs.images), texts, dev_regions(inputs, texts, tower))
    learned = Texts(texts["prompts"], texts["hypernyms"], load_class_targets(inherited))
    objective = Objective((tower, text_tower), pairs, learned, config, place)
    task = Clip(run, objective, lambda: measure.metrics(tower, text_tower))
    return Training(inputs, task, measure, shape, texts, vocabulary)


def text_sets(
    run: Run[ClipConfig], inputs: Inputs, *, is_streamed: bool
) -> tuple[dict[str, TextSet], WordPiece | None]:
    """The sets of texts by name, and for the control the vocabulary that is trained on those of training."""
    embedded, config = inputs.embedded, run.config
    names = ["pairs.dev", "prompts", "hypernyms", "labels", *([] if is_streamed else ["pairs.train"])]
    names += [] if is_streamed else beside_captions(config)
    names += [name for name in ("long.dev", DEV_REGION_TEXTS) if (embedded / f"captions.{name}.jsonl").exists()]
    sets = {name: TextSet(embedded, name, run.device) for name in names}
    if not is_streamed:
        sets["pairs.train"].with_shares(cast("Mapping[str, float] | None", config.get("caption_shares")))
    if config["text_tower"] == "llm":
        return {name: texts.with_features() for name, texts in sets.items()}, None
    if is_streamed:
        rows = first_pairs(inputs.prepared, "train", LEARNED_IMAGES)
        captions = [caption for row in rows for caption in row["captions"]]
    else:
        captions = sets["pairs.train"].texts
    vocabulary = train_vocabulary([*captions, *sets["prompts"].texts], config["scratch"]["vocabulary_size"])
    return {name: texts.with_tokens(vocabulary, config["scratch"]) for name, texts in sets.items()}, vocabulary


def beside_captions(config: ClipConfig) -> list[str]:
    """The sets of texts beside the captions of train images that the terms of a recipe read."""
    negatives = [NEGATIVE_TEXTS] if config.get("hard_negatives_weight", 0.0) > 0 else []
    return [*negatives, *([REGION_TEXTS] if "regions" in config else [])]


def text_tower_of(run: Run[ClipConfig], inputs: Inputs, vocabulary: WordPiece | None) -> nn.Module:
    """The adapter that `inherit` has trained, or a new one, or the control's transformer."""
    config = run.config
    torch.manual_seed(run.seed)
    if vocabulary is not None:
        return ScratchTextTower(config["scratch"], config["embed_dim"], config["dropout"])
    width = read_shape(inputs.inherited)["llm_width"]
    adapter = Adapter(width, config["embed_dim"], **config["adapter"], dropout=config["dropout"])
    if config.get("adapter_start", "inherited") == "inherited":
        adapter.load_state_dict(load_adapter(inputs.inherited).state_dict())
    return adapter


def dev_regions(inputs: Inputs, texts: dict[str, TextSet], tower: ImageTower) -> DevRegions | None:
    """What regions of dev are measured by, None where there are none."""
    if DEV_REGION_TEXTS not in texts:
        return None
    negatives = job_of(inputs.embedded)["config"]["regions"]["negatives"]
    recipe = preprocess_recipe(tower.backbone, read_crops(inputs.images)["backbone"]["size"])
    return DevRegions(texts[DEV_REGION_TEXTS], read_pairs(inputs.prepared, "dev"), negatives, recipe)


def cached_pairs(
    run: Run[ClipConfig], inputs: Inputs, texts: dict[str, TextSet], tower: ImageTower, place: Place
) -> Pairs:
    """Every image with its stored activations."""
    train, captions = read_pairs(inputs.prepared, "train"), texts["pairs.train"]
    if captions.keys != [row["key"] for row in train]:
        raise ValueError("embed_captions and embed_images were run on other images than prepare has now")
    labels = [normalised_label(row.get("label", "")) for row in train]
    wrong = WrongCaptions(texts[NEGATIVE_TEXTS], len(captions.texts)) if NEGATIVE_TEXTS in texts else None
    options, activations = region_options(run.config, inputs.embedded), load_activations(inputs.images)
    regions = None
    if options is not None:
        recipe = preprocess_recipe(tower.backbone, activations.shape["backbone"]["size"])
        regions = StoredRegions(texts[REGION_TEXTS], train, options, inputs.images, recipe)
    stored = StoredPairs(activations, captions, labels, wrong, regions)
    return CachedPairs(stored, Sampler(train, run.config, run.seed, run.world), place)


def streamed_pairs(run: Run[ClipConfig], inputs: Inputs, frozen: FrozenTower, vocabulary: WordPiece | None) -> Pairs:
    """Images from their shards, features of captions from the store beside them."""
    config, prepared, streamed = run.config, inputs.prepared, read_crops(inputs.images).get("streamed")
    manifest = read_manifest(prepared)
    assert streamed is not None
    if manifest is None:
        raise ShardError(f"{prepared} has no manifest of shards to stream from: run prepare again")
    shards = shards_of(manifest, "pairs", "train")
    wrong = most_wrong(inputs.embedded) if config.get("hard_negatives_weight", 0.0) > 0 else 0
    regions = region_options(config, inputs.embedded)
    stores = {
        name: FeatureStore(
            inputs.embedded / name,
            rows_digest(shards),
            shards_in(inputs.embedded, run.remote_input("embed_captions"), name),
        )
        for name in ([] if vocabulary is not None else ["pairs.train", *beside_captions(config)])
    }
    captions = stores.pop("pairs.train", None)
    shares = cast("Mapping[str, float] | None", config.get("caption_shares"))
    if shares is not None and not any("roles" in row for row in first_pairs(prepared, "train", SEEN_FOR_ROLES)):
        raise ValueError("clip.caption_shares: no caption has a role; name them in prepare's caption_fields")
    labelled = [has_labels(shard) for shard in shards]
    total = sum(shard["count"] for shard, is_pair in zip(shards, are_pairs(labelled), strict=True) if not is_pair)
    count = labelled_images(config, total, run.world)
    counts = Counts.of(config["batch_size"] - count, count, run.world)
    low = LowResolution(streamed["low_resolution"], streamed["low_resolution_side"])
    crop = CropOptions(streamed["crop_scale"], streamed["flip"], reduced=True)
    files = shards_in(prepared, run.remote_input("prepare"))
    options = PairOptions(run.seed, frozen.recipe, crop, shares, low if low.share > 0 else None, wrong, regions)
    whole = replace(options, crop=None, low=None, wrong=0, regions=None)
    loaders = [PairLoader(files, shards, options, captions, stores), PairLoader(files, shards, whole, captions)]
    workers = max(1, min(MOST_WORKERS, (os.cpu_count() or 1) // run.world.local_size - 1))
    share = Share(run.world.rank, run.world.size, workers, pin=run.device.type == "cuda")
    share = within_shared_memory(share, counts.own * loaders[0].sample_bytes, run.world.local_size)
    mixed = config.get("mixed_images", MIXED_IMAGES)
    return StreamedPairs(
        Streams(loaders[0], labelled, counts, lambda size: order_options(size, run.seed, mixed), share),
        loaders[1],
        frozen,
        text_inputs(run, vocabulary),
        Asking(config.get("micro_batch", counts.own), asks_the_frozen_tower(config)),
    )


def asks_the_frozen_tower(config: ClipConfig) -> bool:
    """Whether any term of the loss needs its features."""
    weights = cast(Mapping[str, float], config)
    mixes = config["rows_mixin"] > 0 and any(weights[name] > 0 for name in MIXED_TERMS)
    regularises = config["regulariser_weight"] > 0 and "regulariser_ema" not in config
    return mixes or regularises or any(weights.get(name, 0) > 0 for name in FROZEN_TERMS)


def text_inputs(run: Run[ClipConfig], vocabulary: WordPiece | None) -> TextInputs:
    """What the text tower reads: features, or tokens of the control."""
    length = run.config["scratch"]["context_length"]

    def inputs(texts: list[str], features_BD: torch.Tensor | None) -> torch.Tensor:
        if vocabulary is not None:
            return padded(vocabulary.encode(texts, length), run.device)[0]
        assert features_BD is not None
        return features_BD.to(run.device, non_blocking=True)

    return inputs


def write(run: Run[ClipConfig], training: Training) -> tuple[dict[str, float], dict[str, str]]:
    """Turn the joint space to its principal axes, measure, write; metrics and files of the report."""
    config, objective, texts = run.config, training.task.objective, training.texts
    tower, text_tower, pairs = objective.tower, objective.text_tower, objective.pairs
    if isinstance(pairs, StreamedPairs):
        vectors = pairs.first_vectors(tower, text_tower)
    else:
        plain = load_activations(training.inputs.images).plain
        first_I = texts["pairs.train"].first_of_G
        vectors = [image_vectors(tower, plain, pairs.block), text_vectors(text_tower, texts["pairs.train"], first_I)]
    rotation_EE = rotate_to_principal_axes(tower.head, cast(nn.Linear, text_tower.projection), vectors)
    if isinstance(text_tower, Adapter):
        text_tower.turn(rotation_EE)
    measured = training.measure.all(tower, text_tower)
    for name, vectors_NE in (("dev_images", measured.image_IE), ("dev_captions", measured.text_NE)):
        save_file({"features": vectors_NE.contiguous()}, run.output / f"{name}.safetensors")
    shape: TowersShape = {
        **training.shape,
        "text_tower": config["text_tower"],
        "scratch": config["scratch"],
        "logit_scale": objective.scales.captions.item(),
    }
    if objective.scales.bias is not None:
        shape["logit_bias"] = objective.scales.bias.item()
    files = save_towers(run.output, tower, text_tower, shape)
    if training.vocabulary is not None:
        training.vocabulary.write(run.output / "vocabulary.txt")
        files["vocabulary"] = "vocabulary.txt"
    files |= {"dev_images": "dev_images.safetensors", "dev_captions": "dev_captions.safetensors"}
    save_file({"rotation": rotation_EE.contiguous()}, run.output / ROTATION)
    files |= write_items(run.output, measured.items) | {"rotation": ROTATION}
    trained = {} if "soup" in config else {"loss.last": float(training.task.loss_average)}
    return measured.metrics | trained, files
