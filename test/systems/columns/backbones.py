"""The image towers of the table, with the twins that are trained in their place."""

from collections.abc import Callable
from pathlib import Path

from bench.small_models import COLOURS, SHAPES, byte_level_tokenizer
from columns.system import Tower
from columns.towers import write_trunk, write_two_towers


def two_towers(published: str) -> Callable[[Path], str]:
    """A twin in open_clip's layout, with CLIP's vocabulary."""
    return lambda folder: write_two_towers(folder, published)


def with_own_tokenizer(published: str) -> Callable[[Path], str]:
    """A twin in open_clip's layout with tokenizer files beside it, as SigLIP has them; a small vocabulary."""
    texts = [f"a {colour} {shape} number there is that" for colour in COLOURS for shape in SHAPES]
    return lambda folder: write_two_towers(folder, published, byte_level_tokenizer(texts, 300))


def alone(architecture: str) -> Callable[[Path], str]:
    """A twin in timm's layout."""

    def write(folder: Path) -> str:
        write_trunk(folder, architecture)
        return f"local-dir:{folder}"

    return write


CLIP_B32 = Tower("OpenAI CLIP B/32", two_towers("ViT-B-32-quickgelu@openai"), 160, "clip_text", ("OpenAI CLIP B/32",))
CLIP_B16 = Tower("OpenAI CLIP B/16", two_towers("ViT-B-16-quickgelu@openai"), 80, "clip_text", ("OpenAI CLIP B/16",))
CLIP_L14 = Tower(
    "OpenAI CLIP L/14",
    two_towers("ViT-L-14-quickgelu@openai"),
    70,
    "clip_text",
    ("OpenAI CLIP L/14", "OpenAI CLIP L/14-336"),
)
EVA02 = Tower(
    "EVA02-CLIP", two_towers("EVA02-L-14@merged2b_s4b_b131k"), 70, "clip_text",
    ("EVA02-CLIP B/16", "EVA02-CLIP L/14", "EVA02-CLIP L/14-336")
)  # fmt: skip
EVA02_B16 = Tower("EVA02-CLIP B/16", two_towers("EVA02-B-16@merged2b_s8b_b131k"), 80, "clip_text", ("EVA02-CLIP B/16",))
EVA02_E = Tower(
    "EVA02-CLIP E/14",
    two_towers("EVA02-E-14@laion2b_s4b_b115k"),
    70,
    "clip_text",
    ("EVA02-CLIP E/14", "EVA02-CLIP E/14+"),
)
INTERN = Tower("InternViT-300M", alone("vit_intern300m_patch14_448"), 70, "features", ("InternViT-300M",))
SIGLIP = Tower(
    "SigLIP", with_own_tokenizer("ViT-SO400M-14-SigLIP@webli"), 70, "clip_text",
    ("SigLIP SO400M/14", "SigLIP SO400M/14-384"), loss="sigmoid"
)  # fmt: skip
SIGLIP2 = Tower(
    "SigLIP2", with_own_tokenizer("ViT-SO400M-14-SigLIP2@webli"), 70, "clip_text",
    ("SigLIP2 B/16", "SigLIP2 SO400M/14"), loss="sigmoid"
)  # fmt: skip
NAFLEX = Tower(
    "SigLIP2 NaFlex",
    alone("naflexvit_so400m_patch16_siglip"),
    80,
    "features",
    ("SigLIP2 SO400M/16 NaFlex",),
    loss="sigmoid",
)
PE_CORE = Tower(
    "PE-Core",
    two_towers("PE-Core-L-14-336@meta"),
    70,
    "clip_text",
    ("PE-Core B/16", "PE-Core G/14-448", "PE-Core L/14-336"),
)
MOBILE_S = Tower(
    "MobileCLIP2 S0, S2", two_towers("MobileCLIP2-S0@dfndr2b"), 96, "clip_text", ("MobileCLIP2 S2", "MobileCLIP2 S0")
)
MOBILE_S4 = Tower(
    "MobileCLIP2 S3, S4", two_towers("MobileCLIP2-S4@dfndr2b"), 96, "clip_text", ("MobileCLIP2 S3", "MobileCLIP2 S4")
)
MOBILE_B = Tower("MobileCLIP2 B", two_towers("MobileCLIP2-B@dfndr2b"), 80, "clip_text", ("MobileCLIP2 B",))
MOBILE_L = Tower("MobileCLIP2 L/14", two_towers("MobileCLIP2-L-14@dfndr2b"), 70, "clip_text", ("MobileCLIP2 L/14",))
DINO = Tower("DINOv2", alone("vit_small_patch14_dinov2"), 70, "features", further=("vit_small_patch14_dinov2.lvd142m",))
CONVNEXT = Tower("ConvNeXt", alone("convnext_tiny"), 64, "classifier_rows", further=("convnext_tiny.fb_in1k",))
EFFICIENTNET = Tower(
    "EfficientNet", alone("test_efficientnet"), 64, "classifier_rows", further=("test_efficientnet.r160_in1k",)
)
