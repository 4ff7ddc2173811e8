"""Inputs of another size than the native one, against the library that loads the same weights at that size; how towers were
trained, and how their pictures are prepared."""

from typing import Any

import open_clip
import pytest
import timm
import torch
from safetensors.torch import load_file
from timm.models.eva import checkpoint_filter_fn as eva_filter
from timm.models.vision_transformer import checkpoint_filter_fn as vit_filter

from small_towers import CHECKPOINTS, CODES, SPACE, backbone_of
from support import TINY_VISION, tiny_clip
from towers.image.backbone import create_backbone, origin_of, preprocess_recipe
from towers.image.checkpoint import ClipBackbone
from towers.image.input_size import set_input_size
from towers.image.tower import ImageTower


def noise(size: int) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "filtered", "sizes"),
    [
        ("vit_base_patch16_siglip_224", vit_filter, (64, 96)),
        ("vit_intern300m_patch14_448", vit_filter, (70, 42)),
        ("eva02_base_patch16_clip_224", eva_filter, (64, 96)),
        ("vit_pe_core_base_patch16_224", eva_filter, (64, 48)),
    ],
)
def test_timms_towers_read_another_size_as_timm_loads_them_for_it(name, filtered, sizes):
    torch.manual_seed(0)
    options: dict[str, Any] = CODES | {"attn_pool_num_heads": 2} if "pe_core" in name else CODES
    backbone = timm.create_model(name, img_size=sizes[0], **options).eval()
    other: Any = timm.create_model(name, img_size=sizes[1], **options).eval()
    other.load_state_dict(filtered(dict(backbone.state_dict()), other))
    set_input_size(backbone, sizes[1])
    pixels = noise(sizes[1])
    tower = ImageTower(backbone, SPACE).eval()
    with torch.no_grad():
        expected = other.forward_head(other.forward_features(pixels), pre_logits=True)
        torch.testing.assert_close(tower.pooled_features(pixels, 0), expected, atol=1e-5, rtol=0)
        cut = tower.pooled_features(tower.forward_frozen(pixels, 2), 2)
        torch.testing.assert_close(cut, expected, atol=1e-5, rtol=0)
    assert preprocess_recipe(backbone, sizes[1])["size"] == sizes[1]


def test_a_naflex_tower_resizes_its_positions_once_to_what_it_would_at_every_step():
    torch.manual_seed(0)
    backbone: Any = timm.create_model("naflexvit_base_patch16_siglip", **CODES).eval()
    with torch.no_grad():
        expected = backbone(noise(96))
        set_input_size(backbone, 96)
        assert backbone.embeds.pos_embed.shape == (1, 6, 6, 32)
        torch.testing.assert_close(backbone(noise(96)), expected, atol=1e-5, rtol=0)


def test_a_checkpoint_reads_another_size_as_open_clip_loads_it_for_it(tmp_path):
    name = tiny_clip(tmp_path, TINY_VISION)
    reference: Any = open_clip.create_model(name.removeprefix("open_clip:"), force_image_size=96).eval()
    backbone = create_backbone(name, 96)
    with torch.no_grad():
        expected = reference.encode_image(noise(96))
        torch.testing.assert_close(backbone(noise(96)), expected, atol=1e-5, rtol=0)
    # What was trained at that size is read again at that size.
    tower = ImageTower(backbone, SPACE)
    again = ImageTower(create_backbone(name, 96, pretrained=False), SPACE)
    again.load_state_dict(tower.state_dict())
    assert backbone.native_size == 64 and preprocess_recipe(backbone, 96)["size"] == 96


def test_a_size_that_a_tower_cannot_be_made_to_read_is_refused_with_those_that_it_can():
    with pytest.raises(ValueError, match=r"backbone\.size 100: this tower reads multiples of 16 pixels: 96 or 112"):
        set_input_size(backbone_of("EVA02"), 100)
    with pytest.raises(ValueError, match=r"multiples of 16 pixels: 16 or 32"):
        set_input_size(backbone_of("open_clip ViT"), 8)
    with pytest.raises(ValueError, match=r"multiples of 16 pixels: 96 or 112"):
        set_input_size(backbone_of("SigLIP2 NaFlex"), 100)
    with pytest.raises(ValueError, match=r"ModifiedResNet has position embeddings.*set backbone\.size to 64"):
        set_input_size(backbone_of("CLIP ResNet"), 96)
    set_input_size(backbone_of("EfficientNet"), 100)
    with pytest.raises(ValueError, match=r"64 x 64 pixels: set backbone\.size to 64, not 80"):
        preprocess_recipe(backbone_of("ViT"), 80)


# ---- how it was trained ---------------------------------------------------------------------------

CLIP_MEAN, HALF = (0.48145466, 0.4578275, 0.40821073), (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("name", "size", "resize", "trained"),
    [
        # CLIP's publishers: the shorter side to 224, then the square in the middle; SigLIP's and PE's squash.
        ("vit_base_patch16_clip_quickgelu_224.openai", 224, "shortest", (CLIP_MEAN, "softmax", 512)),
        ("eva02_base_patch16_clip_224.merged2b", 224, "shortest", (CLIP_MEAN, "softmax", 512)),
        ("vit_base_patch16_siglip_256.v2_webli", 256, "squash", (HALF, "sigmoid", None)),
        ("vit_pe_core_base_patch16_224.fb", 224, "squash", (HALF, "softmax", 1024)),
        # Everything else sees the whole picture, as it always has here.
        ("vit_intern300m_patch14_448.ogvl_dist", 448, "squash", ((0.485, 0.456, 0.406), None, None)),
        ("vit_base_patch16_clip_224.openai_ft_in1k", 224, "squash", (CLIP_MEAN, None, None)),
        ("vit_tiny_patch16_224.augreg_in21k_ft_in1k", 224, "squash", (HALF, None, None)),
        ("tf_efficientnet_lite0.in1k", 224, "squash", (HALF, None, None)),
    ],
)
def test_pictures_of_timms_towers_are_prepared_as_their_publishers_say(name, size, resize, trained):
    mean, loss, space = trained
    with torch.device("meta"):
        backbone = create_backbone(name, pretrained=False)
    origin = origin_of(backbone)
    assert (origin.size, origin.resize, origin.loss) == (size, resize, loss)
    assert origin.mean == pytest.approx(mean) and (origin.logit_scale, origin.logit_bias) == (None, None)
    assert (None if origin.projection is None else len(origin.projection[0])) == space
    recipe = preprocess_recipe(backbone, size)
    assert recipe["resize_mode"] == resize and recipe["crop"] == ("center" if resize == "shortest" else "none")


def test_scale_and_bias_are_the_checkpoints():
    sigmoid = origin_of(ClipBackbone(CHECKPOINTS["sigmoid loss"]()))
    assert (sigmoid.loss, sigmoid.logit_scale, sigmoid.logit_bias) == ("sigmoid", pytest.approx(4.5), -12.0)
    softmax = origin_of(ClipBackbone(CHECKPOINTS["open_clip ViT"]()))
    assert (softmax.loss, softmax.logit_bias) == ("softmax", None)
    assert softmax.logit_scale == pytest.approx(2.6593, abs=1e-4)  # ln(1 / 0.07)


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_the_projection_after_the_tower_gives_the_checkpoints_own_vectors(kind):
    model = CHECKPOINTS[kind]()
    size = 160 if kind == "sigmoid loss" else 64
    with torch.no_grad():
        expected = model.encode_image(noise(size), normalize=False)
        backbone = ClipBackbone(model).eval()
        weight, bias = backbone.projection
        found = ImageTower(backbone, SPACE).eval().pooled_features(noise(size), 0) @ weight.T + bias
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert weight.shape == (SPACE, backbone.num_features) and expected.std() > 1e-3


@pytest.mark.parametrize(
    ("name", "interpolation"),
    [
        ("open_clip:PE-Core-B-16@meta", "bilinear"),
        ("open_clip:MobileCLIP2-S0@dfndr2b", "bilinear"),
        ("open_clip:ViT-B-16-SigLIP2@webli", "bicubic"),
        ("vit_pe_core_base_patch16_224.fb", "bilinear"),
        ("fastvit_mci0.apple_mclip", "bilinear"),
        ("vit_base_patch16_clip_quickgelu_224.openai", "bicubic"),
    ],
)
def test_pictures_are_resized_with_the_publishers_interpolation(name, interpolation):
    with torch.device("meta"):
        backbone = create_backbone(name, pretrained=False)
    recipe = preprocess_recipe(backbone, origin_of(backbone).size)
    assert recipe["interpolation"] == interpolation


def test_an_interpolation_that_is_not_served_is_refused(tmp_path):
    name = tiny_clip(tmp_path, TINY_VISION)
    backbone = create_backbone(name)
    backbone.visual.preprocess_cfg["interpolation"] = "random"
    with pytest.raises(ValueError, match="with random interpolation: bicubic and bilinear are served"):
        preprocess_recipe(backbone, 64)
    assert load_file(tmp_path / "open_clip_model.safetensors")["logit_scale"].item() == pytest.approx(
        backbone.logit_scale
    )
