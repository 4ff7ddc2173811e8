"""The image towers of the systems that this trainer follows: one row each, with figures that the libraries give.

`python -m towers.image.table` prints the rows as Markdown (docs/towers.md), `--measure` builds every tower on the meta device,
which allocates nothing, and prints what is different.
"""

import sys
from typing import Any, NamedTuple

import torch

from towers.image.backbone import create_backbone, origin_of
from towers.image.checkpoint import PREFIX
from towers.image.input_size import patch_size
from towers.image.tower import ImageTower, feature_width


class Row(NamedTuple):
    """A tower: `name` for people, `backbone` for a recipe. Figures are of the tower without projection and classifier.

    `width` of pooled features, `space` dimensions of the checkpoint's joint space (None: it has none), `size` and `patch` in
    pixels (patch 1: any side), `interpolation` with which its publisher resizes pictures, `loss` that it was trained with (None: it never saw texts).
    """

    name: str
    backbone: str
    parameters: int
    blocks: int
    width: int
    space: int | None
    size: int
    patch: int
    resize: str
    loss: str | None
    interpolation: str = "bicubic"

    @property
    def logits(self) -> str:
        """What the checkpoint says of its logits: timm's files hold neither scale nor bias."""
        if not self.backbone.startswith(PREFIX):
            return "-"
        return "scale and bias" if self.loss == "sigmoid" else "scale"


# fmt: off
TOWERS: tuple[Row, ...] = (
    Row("OpenAI CLIP B/32", "open_clip:ViT-B-32-quickgelu@openai", 87_456_000, 12, 768, 512, 224, 32, "shortest", "softmax"),
    Row("OpenAI CLIP B/16", "open_clip:ViT-B-16-quickgelu@openai", 85_799_424, 12, 768, 512, 224, 16, "shortest", "softmax"),
    Row("OpenAI CLIP L/14", "open_clip:ViT-L-14-quickgelu@openai", 303_179_776, 24, 1024, 768, 224, 14, "shortest", "softmax"),
    Row("OpenAI CLIP L/14-336", "open_clip:ViT-L-14-336-quickgelu@openai", 303_507_456, 24, 1024, 768, 336, 14, "shortest", "softmax"),
    Row("EVA02-CLIP B/16", "open_clip:EVA02-B-16@merged2b_s8b_b131k", 85_869_312, 12, 768, 512, 224, 16, "shortest", "softmax"),
    Row("EVA02-CLIP L/14", "open_clip:EVA02-L-14@merged2b_s4b_b131k", 303_317_952, 24, 1024, 768, 224, 14, "shortest", "softmax"),
    Row("EVA02-CLIP L/14-336", "open_clip:EVA02-L-14-336@merged2b_s6b_b61k", 303_645_632, 24, 1024, 768, 336, 14, "shortest", "softmax"),
    Row("EVA02-CLIP E/14", "open_clip:EVA02-E-14@laion2b_s4b_b115k", 4_348_720_896, 64, 1792, 1024, 224, 14, "shortest", "softmax"),
    Row("EVA02-CLIP E/14+", "open_clip:EVA02-E-14-plus@laion2b_s9b_b144k", 4_348_720_896, 64, 1792, 1024, 224, 14, "shortest", "softmax"),
    Row("InternViT-300M", "vit_intern300m_patch14_448.ogvl_dist", 304_012_288, 24, 1024, None, 448, 14, "squash", None),
    Row("SigLIP SO400M/14", "open_clip:ViT-SO400M-14-SigLIP@webli", 427_680_704, 27, 1152, 1152, 224, 14, "squash", "sigmoid"),
    Row("SigLIP SO400M/14-384", "open_clip:ViT-SO400M-14-SigLIP-384@webli", 428_225_600, 27, 1152, 1152, 384, 14, "squash", "sigmoid"),
    Row("SigLIP2 B/16", "open_clip:ViT-B-16-SigLIP2@webli", 92_884_224, 12, 768, 768, 224, 16, "squash", "sigmoid"),
    Row("SigLIP2 SO400M/14", "open_clip:ViT-SO400M-14-SigLIP2@webli", 427_680_704, 27, 1152, 1152, 224, 14, "squash", "sigmoid"),
    Row("SigLIP2 SO400M/16 NaFlex", "naflexvit_so400m_patch16_siglip.v2_webli", 427_888_064, 27, 1152, None, 384, 16, "squash", "sigmoid"),
    Row("PE-Core B/16", "open_clip:PE-Core-B-16@meta", 92_886_528, 12, 768, 1024, 224, 16, "squash", "softmax", "bilinear"),
    Row("PE-Core L/14-336", "open_clip:PE-Core-L-14-336@meta", 316_102_656, 24, 1024, 1024, 336, 14, "squash", "softmax", "bilinear"),
    Row("PE-Core G/14-448", "open_clip:PE-Core-bigG-14-448@meta", 1_880_066_560, 50, 1536, 1280, 448, 14, "squash", "softmax", "bilinear"),
    Row("MobileCLIP2 S0", "open_clip:MobileCLIP2-S0@dfndr2b", 10_882_176, 4, 1024, 512, 256, 1, "shortest", "softmax", "bilinear"),
    Row("MobileCLIP2 S2", "open_clip:MobileCLIP2-S2@dfndr2b", 35_159_360, 4, 1280, 512, 256, 1, "shortest", "softmax", "bilinear"),
    Row("MobileCLIP2 S3", "open_clip:MobileCLIP2-S3@dfndr2b", 122_875_584, 5, 3072, 768, 256, 1, "shortest", "softmax", "bilinear"),
    Row("MobileCLIP2 S4", "open_clip:MobileCLIP2-S4@dfndr2b", 318_638_336, 5, 4096, 768, 256, 1, "shortest", "softmax", "bilinear"),
    Row("MobileCLIP2 B", "open_clip:MobileCLIP2-B@dfndr2b", 85_955_328, 12, 768, 512, 224, 16, "shortest", "softmax", "bilinear"),
    Row("MobileCLIP2 L/14", "open_clip:MobileCLIP2-L-14@dfndr2b", 303_179_776, 24, 1024, 768, 224, 14, "shortest", "softmax"),
)
# fmt: on


def measured(name: str, backbone_name: str) -> Row:
    """The row of a tower, by building it on the meta device."""
    with torch.device("meta"):
        backbone: Any = create_backbone(backbone_name, pretrained=False)
        tower = ImageTower(backbone, 1)
    origin, layout = origin_of(backbone), tower.layout
    assert layout is not None, f"the blocks of {backbone_name} are not known"
    parameters = [*layout.stem_parameters(), *layout.end_parameters()]
    parameters += [parameter for block in layout.blocks for parameter in block.parameters()]
    return Row(
        name,
        backbone_name,
        sum(parameter.numel() for parameter in parameters),
        tower.block_count,
        feature_width(backbone),
        None if origin.projection is None else len(origin.projection[0]),
        origin.size,
        patch_size(backbone),
        origin.resize,
        origin.loss,
        origin.interpolation,
    )


def markdown() -> str:
    """The rows as a table."""
    head = [
        "Tower",
        "`backbone.name`",
        "Parameters",
        "Blocks",
        "Features",
        "Space",
        "Size",
        "Patch",
        "Pictures",
        "Loss",
        "Logits",
    ]
    rows = [head, ["---"] * len(head)]
    for row in TOWERS:
        rows.append(
            [
                row.name,
                f"`{row.backbone}`",
                f"{row.parameters / 1e6:,.1f} M",
                str(row.blocks),
                str(row.width),
                "-" if row.space is None else str(row.space),
                str(row.size),
                "any" if row.patch == 1 else str(row.patch),
                row.resize if row.interpolation == "bicubic" else f"{row.resize}, {row.interpolation}",
                row.loss or "-",
                row.logits,
            ]
        )
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def main() -> None:
    """Print the table, or what the libraries say otherwise."""
    if sys.argv[1:] != ["--measure"]:
        print(markdown(), end="")
        return
    for row in TOWERS:
        found = measured(row.name, row.backbone)
        print(found if found != row else f"{row.name}: as the table says", flush=True)


if __name__ == "__main__":
    main()
