"""The text towers (the adapter over LLM features, the control's transformer) and how a run is saved and loaded.

Shapes: B rows, D LLM width, E joint dimensions, T tokens.
"""

import json
import math
from pathlib import Path
from typing import Literal, NotRequired, TypedDict

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from contracts.types import Adapter as AdapterShape
from contracts.types import Backbone, PreprocessRecipe
from contracts.types import ScratchTextTower as ScratchShape
from towers.image.backbone import create_backbone
from towers.image.tower import ImageTower

MAX_LOGIT_SCALE = math.log(100.0)


class TowersShape(TypedDict):
    """`clip.json`: how to build both towers again, and how images are prepared for them."""

    text_tower: Literal["llm", "scratch"]
    llm_width: int
    embed_dim: int
    adapter: AdapterShape
    backbone: Backbone
    preprocess: PreprocessRecipe
    scratch: NotRequired[ScratchShape]
    logit_scale: NotRequired[float]
    logit_bias: NotRequired[float]


class Adapter(nn.Module):
    """LLM features [B, D] to unit vectors [B, E]: residual MLP blocks, LayerNorm, projection (LLM2CLIP, 2411.04997)."""

    def __init__(self, width: int, embed_dim: int, blocks: int, expansion: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width),
                nn.Linear(width, expansion * width),
                nn.GELU(),
                nn.Dropout(dropout),
                nn.Linear(expansion * width, width),
            )
            for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, embed_dim)

    def forward(self, features_BD: torch.Tensor) -> torch.Tensor:
        """Unit vectors [B, E]."""
        # Unit length times sqrt(D): entries of order one, so that residual branches start small beside them.
        x = F.normalize(features_BD, dim=-1) * features_BD.shape[-1] ** 0.5
        for block in self.blocks:
            x = x + block(x)
        return F.normalize(self.projection(self.norm(x)), dim=-1)


class ScratchTextTower(nn.Module):
    """The control: a CLIP-style pre-norm text transformer with mean pooling, trained from scratch. Id 0 is padding."""

    def __init__(self, shape: ScratchShape, embed_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        width = shape["width"]
        self.tokens = nn.Embedding(shape["vocabulary_size"], width, padding_idx=0)
        self.positions = nn.Parameter(torch.randn(shape["context_length"], width) * 0.01)
        nn.init.normal_(self.tokens.weight, std=0.02)
        layer = nn.TransformerEncoderLayer(
            width, shape["heads"], 4 * width, dropout, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, shape["layers"], enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, embed_dim)

    def forward(self, ids_BT: torch.Tensor) -> torch.Tensor:
        """Unit vectors [B, E]."""
        mask_BT = ids_BT != 0
        x = self.tokens(ids_BT) + self.positions[: ids_BT.shape[1]]
        x = self.norm(self.layers(x, src_key_padding_mask=~mask_BT))
        pooled = (x * mask_BT[..., None]).sum(1) / mask_BT.sum(1, keepdim=True)
        return F.normalize(self.projection(pooled).float(), dim=-1)


@torch.no_grad()
def rotate_to_principal_axes(image_head: nn.Linear, text_head: nn.Linear, vectors: list[torch.Tensor]) -> torch.Tensor:
    """Rotate the joint space so that its first dimensions carry most: every cosine stays, prefixes become useful.

    `vectors` are unit vectors [N, E] of each modality, which weigh the same. The axes are the eigenvectors of their mean
    second moment, strongest first: the rotation whose prefixes keep most of the inner products. Both heads are linear
    maps in front of a normalisation, so they absorb the rotation [E, E]; it is returned for vectors computed before.
    """
    moment_EE = sum(rows_NE.double().T @ rows_NE.double() / len(rows_NE) for rows_NE in vectors)
    rotation_EE = torch.linalg.eigh(moment_EE).eigenvectors.flip(1).T.float()
    for head in (image_head, text_head):
        rotation = rotation_EE.to(head.weight.device)
        head.weight.copy_(rotation @ head.weight)
        head.bias.copy_(rotation @ head.bias)
    return rotation_EE


def new_logit_scale() -> nn.Parameter:
    """CLIP's initial value: the logarithm of 1 / 0.07."""
    return nn.Parameter(torch.tensor(math.log(1 / 0.07)))


def save_towers(folder: Path, image_tower: ImageTower, text_tower: nn.Module, shape: TowersShape) -> dict[str, str]:
    """Write the weights of both towers and `clip.json`, which says how to build them again."""
    save_file(
        {k: v.detach().contiguous().cpu() for k, v in image_tower.state_dict().items()},
        folder / "image_tower.safetensors",
    )
    save_file(
        {k: v.detach().contiguous().cpu() for k, v in text_tower.state_dict().items()},
        folder / "text_tower.safetensors",
    )
    (folder / "clip.json").write_text(json.dumps(shape, indent=2))
    return {"image_tower": "image_tower.safetensors", "text_tower": "text_tower.safetensors", "clip": "clip.json"}


def read_shape(folder: Path) -> TowersShape:
    """The shape that `save_towers` wrote beside the weights."""
    return json.loads((folder / "clip.json").read_text())


def load_adapter(folder: Path) -> Adapter:
    """The text adapter of a `clip` or `inherit` run, in eval mode: LLM features [B, D] to unit vectors [B, E]."""
    shape = read_shape(folder)
    if shape["text_tower"] != "llm":
        raise ValueError(f"{folder.name} was trained with text tower '{shape['text_tower']}': it has no adapter")
    adapter = Adapter(shape["llm_width"], shape["embed_dim"], **shape["adapter"])
    adapter.load_state_dict(load_file(folder / "text_tower.safetensors"))
    return adapter.eval()


def load_scratch_tower(folder: Path) -> tuple[ScratchTextTower, int]:
    """The control's text tower of a `clip` run, in eval mode, and how many tokens it reads."""
    shape = read_shape(folder)
    if "scratch" not in shape or shape["text_tower"] != "scratch":
        raise ValueError(f"{folder.name} was trained with text tower '{shape['text_tower']}': it has no control")
    tower = ScratchTextTower(shape["scratch"], shape["embed_dim"])
    tower.load_state_dict(load_file(folder / "text_tower.safetensors"))
    return tower.eval(), shape["scratch"]["context_length"]


def load_image_tower(folder: Path) -> ImageTower:
    """The image tower of a run, in eval mode: pixels [B, 3, S, S] to unit vectors [B, E]."""
    shape = read_shape(folder)
    tower = ImageTower(create_backbone(**shape["backbone"], pretrained=False), shape["embed_dim"])
    tower.load_state_dict(load_file(folder / "image_tower.safetensors"))
    return tower.eval()


def load_preprocess(folder: Path) -> PreprocessRecipe:
    """The preprocess recipe that the run's image tower was trained with."""
    return read_shape(folder)["preprocess"]
