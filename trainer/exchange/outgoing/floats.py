"""A served model as float modules: what every layout of another library is written from.

Shapes: V pieces, K width of a token row, D width, E joint dimensions.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from contracts.types import ModelManifest, Tier
from exchange.refusal import CannotExpress
from towers.adaptation.tiers import TextSide
from towers.exported_files import load_tiers, read_manifest, static_weights_in
from towers.image.of_run import load_image_tower
from towers.image.tower import ImageTower
from towers.student.files import load_static
from towers.student.model import StaticStudent, TextStudent
from towers.two_towers import read_shape
from towers.wordpiece import WordPiece

DEQUANTISED = (
    "Text weights are those that servers multiply with: int8 times the scale of its row or column, as float32. Servers also "
    "round activations to 256 levels, which float layers do not: a cosine of about 0.999 to the served vector."
)
TRAINED = "Text weights are the float32 weights of the run of `distill` that the served int8 weights were rounded from."


@dataclass(frozen=True)
class FloatModel:
    """A model of `folder`. `image_tower` is None where no run of `clip` was given: then there is the served graph alone."""

    folder: Path
    manifest: ModelManifest
    wordpiece: WordPiece
    students: dict[Tier, TextStudent]
    static: StaticStudent
    weights: str  # a sentence on where the text weights come from
    image_tower: ImageTower | None
    backbone: str | None

    @property
    def context_length(self) -> int:
        """Tokens of a text that are read, special ones included."""
        return self.manifest["text"]["context_length"]


def read_floats(folder: Path, distill: Path | None = None, clip: Path | None = None) -> FloatModel:
    """The model of a folder with `manifest.json`; float weights of the runs that it was exported from where they are given."""
    manifest = read_manifest(folder)
    side = TextSide(folder, manifest)
    students, static = side.transformers, side.static
    if distill is not None:
        trained, static = load_tiers(distill, static_weights_in(manifest)), load_static(distill)
        for tier, student in students.items():
            if tier not in trained or trained[tier].shape.layers != student.shape.layers:
                raise CannotExpress(
                    f"{distill} is not the run that {folder} was exported from: its {tier} tier is another"
                )
        if (distill / "vocabulary.txt").read_bytes() != (folder / "vocabulary.txt").read_bytes():
            raise CannotExpress(f"{distill} is not the run that {folder} was exported from: its vocabulary is another")
        students = trained
    for student in students.values():
        student.static.clear()
        student.add_static(static)
    tower = None if clip is None else load_image_tower(clip)
    return FloatModel(
        folder,
        manifest,
        side.wordpiece,
        {tier: student.float().eval() for tier, student in students.items()},
        static.eval(),
        DEQUANTISED if distill is None else TRAINED,
        tower,
        None if clip is None else read_shape(clip)["backbone"]["name"],
    )


@torch.no_grad()
def static_rows(static: StaticStudent, special: int) -> torch.Tensor:
    """The static tier's rows in the joint space [V, E]; those of the first `special` tokens are zero: they add nothing."""
    rows = static.rows.weight if static.projection is None else static.rows.weight @ static.projection
    rows = rows.detach().clone().float()
    rows[:special] = 0
    return rows.contiguous()
