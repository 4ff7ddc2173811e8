"""The text towers (the adapter over LLM features, the control's transformer) and how a run is saved and loaded.

Shapes: B rows, D LLM width, E joint dimensions, T tokens.
"""

import json
import math
from pathlib import Path
from typing import Literal, NotRequired, TypedDict, Unpack

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from contracts.types import Adapter as AdapterShape
from contracts.types import Backbone, InheritConfig, PreprocessRecipe
from contracts.types import ScratchTextTower as ScratchShape
from towers.text.published_adapter import read_published_adapter
from towers.token_batches import batches_by_length

MAX_LOGIT_SCALE = math.log(100.0)
BATCH_TOKENS = 1024  # of the control's text transformer on a CPU, padding included
ROTATION = "rotation.safetensors"  # {rotation [E, E]}: what a run turned the space by in the end, from where it trained


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


class AdapterReading(TypedDict, total=False):
    """How an adapter reads features (contracts/src/training/blocks.ts, Adapter)."""

    input_length: Literal["one", "root_width"]
    own_text_share: float


class Adapter(nn.Module):
    """LLM features [B, D] to unit vectors [B, E]: residual MLP blocks, LayerNorm, projection (LLM2CLIP, 2411.04997).

    With `own_text_share` the last E features are a text's vector in the joint space by the checkpoint's own text tower
    (embed_captions' last teacher). It goes past the blocks: the result is the direction of the mean of both, this
    share of it the checkpoint's.
    """

    own_axes_EE: torch.Tensor

    def __init__(
        self,
        width: int,
        embed_dim: int,
        blocks: int,
        expansion: int,
        dropout: float = 0.0,
        **reading: Unpack[AdapterReading],
    ) -> None:
        super().__init__()
        self.own_text_share = reading.get("own_text_share", 0.0)
        if self.own_text_share > 0:
            if width <= embed_dim:
                raise ValueError(
                    f"adapter.own_text_share: of features of {width} numbers the last {embed_dim} would be the checkpoint's own "
                    "vector, and nothing would be left: embed_captions.teachers needs a teacher before clip_text"
                )
            width -= embed_dim
            # The axes of the joint space in the checkpoint's: they turn with the space, and are never trained.
            self.register_buffer("own_axes_EE", torch.eye(embed_dim))
        # Unit length times sqrt(D): entries of order one, so that residual branches start small beside them.
        self.input_length = 1.0 if reading.get("input_length") == "one" else width**0.5
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
        own_BE: torch.Tensor | None = None
        if self.own_text_share > 0:
            features_BD, own_BE = features_BD.tensor_split((-self.projection.out_features,), dim=-1)
        x = F.normalize(features_BD, dim=-1) * self.input_length
        for block in self.blocks:
            x = x + block(x)
        vectors_BE = F.normalize(self.projection(self.norm(x)), dim=-1)
        if own_BE is None:
            return vectors_BE
        own_BE = F.normalize(F.linear(own_BE, self.own_axes_EE), dim=-1)
        return F.normalize(torch.lerp(vectors_BE, own_BE, self.own_text_share), dim=-1)

    def turn(self, rotation_EE: torch.Tensor) -> None:
        """Follow a rotation of the joint space, with which the projection has been turned already."""
        if self.own_text_share > 0:
            self.own_axes_EE.copy_(rotation_EE.to(self.own_axes_EE) @ self.own_axes_EE)


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
        """Unit vectors [B, E]. On a CPU texts of similar length go together, since padding costs as much as words there."""
        if ids_BT.device.type != "cpu":
            return self.vectors(ids_BT)
        lengths_B = (ids_BT != 0).sum(1).tolist()
        batches = batches_by_length(lengths_B, BATCH_TOKENS)
        parts = [self.vectors(ids_BT[batch, : lengths_B[batch[-1]]]) for batch in batches]
        order_B = torch.tensor([row for batch in batches for row in batch])
        return torch.cat(parts)[order_B.argsort()]

    def vectors(self, ids_BT: torch.Tensor) -> torch.Tensor:
        """Unit vectors [B, E] of one padded batch."""
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


def save_towers(folder: Path, image_tower: nn.Module, text_tower: nn.Module, shape: TowersShape) -> dict[str, str]:
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


def new_adapter(config: InheritConfig, width: int) -> Adapter:
    """The adapter that `inherit` trains: new, or as LLM2CLIP has published it. A published one of another shape is refused."""
    adapter = Adapter(width, config["embed_dim"], **config["adapter"])
    if "adapter_from" not in config:
        return adapter
    found = read_published_adapter(Path(config["adapter_from"]))
    for name, wanted, there in (
        ("the width of the features", width, found.width),
        ("embed_dim", config["embed_dim"], found.embed_dim),
        ("adapter.blocks", config["adapter"]["blocks"], found.blocks),
        ("adapter.expansion", config["adapter"]["expansion"], found.expansion if found.blocks else None),
    ):
        if there not in (wanted, None):
            raise ValueError(f"inherit.adapter_from: {name} is {wanted}, that of the published adapter {there}")
    adapter.load_state_dict({name: tensor.float() for name, tensor in found.weights.items()})
    return adapter


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


def load_preprocess(folder: Path) -> PreprocessRecipe:
    """The preprocess recipe that the run's image tower was trained with."""
    return read_shape(folder)["preprocess"]
