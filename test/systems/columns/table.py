"""The table of systems: one row each, in the order of docs/systems.md."""

from typing import Any

from columns import backbones as towers
from columns import teachers
from columns.languages import MAX_TOKENS
from columns.pipeline import LONG_PAIRS
from columns.system import Changes, Import, Language, System, Tower

# The adapter and the joint space as LLM2CLIP has them, in small: four blocks, each twice as wide inside.
FOUR_BLOCKS: dict[str, Any] = {stage: {"adapter": {"blocks": 4, "expansion": 2}} for stage in ("inherit", "clip")}
WHOLE_TOWER: dict[str, Any] = {
    "embed_images": {"first_trainable_block": 0},
    "clip": {"parallel": {"weights": "replicated", "activation_checkpointing": True, "compile": False}},
}
LLM2CLIP: dict[str, Any] = FOUR_BLOCKS | WHOLE_TOWER | {"clip": FOUR_BLOCKS["clip"] | WHOLE_TOWER["clip"]}


def of_tower(tower: Tower, about: str, **changes: Any) -> System:
    """A system that is known for its image tower, taught by a small language model."""
    return System(tower.name, about, tower, teachers.SMOLLM2, ("tower",), WHOLE_TOWER | changes)


def of_teacher(language: Language, about: str, **changes: Any) -> System:
    """A system that is known for its text teacher, over a small image tower."""
    return System(language.name, about, towers.EFFICIENTNET, language, ("language",), changes)


def llm2clip(name: str, tower: Tower, language: Language) -> System:
    """A published variant of LLM2CLIP: a released teacher as it is, four blocks, all of the tower trained."""
    return System(f"LLM2CLIP {name}", language.name, tower, language, ("tower", "language"), LLM2CLIP)


LIT = WHOLE_TOWER | {"embed_images": {"first_trainable_block": None}, "clip": {"image_head": "locked"}}
FLIP = WHOLE_TOWER | {"clip": WHOLE_TOWER["clip"] | {"patch_dropout": 0.5}}
# Distances between texts count in both stages, and the regulariser has its published weight.
PROCLIP = LLM2CLIP | {"clip": LLM2CLIP["clip"] | {"regulariser_weight": 4e-4, "regulariser_ema": 0.999}}
# Three long captions to a short one, and texts of 248 tokens from the teacher to the served student.
LONG = WHOLE_TOWER | {
    "prepare": {"pairs": LONG_PAIRS, "max_caption_chars": 4000},
    "embed_captions": {"max_tokens": 248},
    "clip": WHOLE_TOWER["clip"] | {"caption_shares": {"raw": 0, "short": 1, "long": 3}},
    "distill": {"context_length": 248},
}

FG_CLIP2 = LONG | {
    "embed_captions": LONG["embed_captions"] | {"hard_negatives": 2, "regions": {"negatives": 2}},
    "clip": LONG["clip"]
    | {
        "hard_negatives_weight": 0.5,
        "text_contrast_weight": 0.1,
        "regions": {"per_picture": 4, "weight": 0.2, "negatives_weight": 0.5, "text_contrast_weight": 0.1},
    },
}


# Whole texts in their wrapper, so that features are those of the reference. AVERAGED: half of a vector is the checkpoint's own.
CONCATENATED = LLM2CLIP | {"embed_captions": {"max_tokens": MAX_TOKENS}}
OWN_SHARE = {"adapter": FOUR_BLOCKS["clip"]["adapter"] | {"own_text_share": 0.5}}
AVERAGED = CONCATENATED | {"inherit": OWN_SHARE, "clip": LLM2CLIP["clip"] | OWN_SHARE}


def of_recipe(name: str, about: str, tower: Tower, language: Language, changes: Changes, **more: Any) -> System:
    """A system that is a way of training."""
    return System(name, about, tower, language, ("tower", "language"), changes, **more)


def absent(name: str, about: str, reason: str) -> System:
    """A system that nothing here trains yet, and why."""
    return System(name, about, towers.CLIP_B16, teachers.SMOLLM2, (), {}, reason)


SYSTEMS: tuple[System | Import, ...] = (
    llm2clip("Openai-B-16", towers.CLIP_B16, teachers.LLAMA3_CC),
    llm2clip("Openai-L-14", towers.CLIP_L14, teachers.LLAMA3_CC),
    llm2clip("EVA02-B-16", towers.EVA02_B16, teachers.LLAMA3_CC),
    llm2clip("EVA02-L-14", towers.EVA02, teachers.LLAMA3_CC),
    llm2clip("Llama3.2-1B-EVA02-L-14", towers.EVA02, teachers.LLAMA32_CC),
    llm2clip("siglip2-so400m", towers.SIGLIP2, teachers.LLAMA3_CC),
    of_tower(towers.CLIP_B32, "ViT-B/32, QuickGELU"),
    of_tower(towers.CLIP_B16, "ViT-B/16, QuickGELU"),
    of_tower(towers.CLIP_L14, "ViT-L/14 and L/14-336, QuickGELU"),
    of_tower(towers.EVA02, "B/16, L/14, L/14-336"),
    of_tower(towers.EVA02_E, "E/14 and E/14+"),
    of_tower(towers.INTERN, "InternViT of InternVL, 448 pixels"),
    of_tower(towers.SIGLIP, "SO400M/14 at 224 and 384 pixels, sigmoid loss"),
    of_tower(towers.SIGLIP2, "B/16 and SO400M/14, sigmoid loss"),
    of_tower(towers.NAFLEX, "SO400M/16, square pictures"),
    of_tower(towers.PE_CORE, "B/16, L/14-336, G/14-448"),
    of_tower(towers.MOBILE_S, "FastViT"),
    of_tower(towers.MOBILE_S4, "FastViT of five stages"),
    of_tower(towers.MOBILE_B, "ViT-B/16"),
    of_tower(towers.MOBILE_L, "ViT-L/14"),
    of_tower(towers.DINO, "ViT of timm without classes and texts"),
    of_tower(towers.CONVNEXT, "convolutions of timm, ImageNet's classes"),
    of_tower(towers.EFFICIENTNET, "convolutions of timm, ImageNet's classes"),
    of_teacher(teachers.LLM2VEC_MISTRAL, "a base and two LoRAs"),
    of_teacher(teachers.LLM2VEC_LLAMA3, "a base and two LoRAs"),
    of_teacher(teachers.LLAMA3_PLAIN, "MNTP, then captions of one picture"),
    of_teacher(teachers.SMOLLM2, "MNTP, then captions of one picture"),
    *(of_teacher(language, "MNTP, then captions of one picture") for language in teachers.DECODER_TEACHERS),
    *(of_teacher(language, "captions of one picture") for language in teachers.ENCODER_TEACHERS),
    of_recipe("LiT", "the image tower is locked", towers.CLIP_B16, teachers.SMOLLM2, LIT),
    of_recipe("FLIP", "half of the patches are left out in training", towers.CLIP_B16, teachers.SMOLLM2, FLIP),
    of_recipe(
        "ProCLIP",
        "adapter onto CLIP's own texts, then a regulariser against the tower's running mean",
        towers.CLIP_L14,
        teachers.LLAMA3_CC,
        PROCLIP,
    ),
    of_recipe(
        "LLM2CLIP concat",
        "CLIP's own text encoder behind the language model, read by one adapter",
        towers.CLIP_B32,
        teachers.LLAMA32_CC,
        CONCATENATED,
        own_texts=True,
    ),
    of_recipe(
        "LLM2CLIP average",
        "the mean of the adapter's vector and that of CLIP's own text encoder",
        towers.CLIP_B32,
        teachers.LLAMA32_CC,
        AVERAGED,
        own_texts=True,
    ),
    of_recipe("Long-CLIP", "long captions and short ones by share", towers.CLIP_L14, teachers.SMOLLM2, LONG),
    of_recipe(
        "FG-CLIP 2",
        "wrong captions, texts apart, regions with wrong phrases",
        towers.SIGLIP2,
        teachers.SMOLLM2,
        FG_CLIP2,
    ),
    # Parameters of open_clip's models are those of its table of profiles, where it has the model. SigLIP 2 has the towers of
    # SigLIP B/16 and 256,000 pieces of text instead of 32,000; NaFlex 256 places of patches instead of 196.
    Import("Import: CLIP", "folder of transformers, both towers as they are", "clip", "CLIPModel", 151.28),
    Import("Import: SigLIP", "folder of transformers, unigram vocabulary", "siglip", "SiglipModel", 203.16),
    Import(
        "Import: SigLIP2 NaFlex",
        "folder of transformers, byte pairs, pictures of their own shape",
        "siglip2",
        "Siglip2Model",
        203.16 + 224_000 * 768 / 1e6 + 60 * 768 / 1e6,
    ),
    Import("Import: open_clip CLIP", "folder of open_clip, QuickGELU", "open-clip", "ViT-B-32-quickgelu", 151.28),
    Import(
        "Import: open_clip SigLIP2",
        "folder of open_clip, timm's tower with attention pooling",
        "open-clip-siglip2",
        "ViT-B-16-SigLIP2",
        203.16 + 224_000 * 768 / 1e6,
    ),
    Import("Import: EVA-CLIP", "folder of open_clip, timm's EVA02", "eva-clip", "EVA02-B-16", 149.69),
    # Its authors' figures: 11.4 of the image tower, 63.4 of the text tower.
    Import(
        "Import: MobileCLIP2",
        "folder of open_clip, FastViT, no causal mask",
        "mobileclip",
        "MobileCLIP2-S0",
        11.4 + 63.4,
    ),
    absent(
        "CDK, AWS Batch",
        "training on machines that are deployed",
        "needs an AWS account: `npm test -- test/journeys/cloud.test.ts` runs it on an emulator",
    ),
)
