"""The image tower of a run of `clip`. Apart from the text towers, which do not take the second and a half that importing timm takes."""

from pathlib import Path

from safetensors.torch import load_file

from towers.image.backbone import create_backbone
from towers.image.tower import ImageTower
from towers.two_towers import read_shape


def load_image_tower(folder: Path) -> ImageTower:
    """The image tower of a run, in eval mode: pixels [B, 3, S, S] to unit vectors [B, E]."""
    shape = read_shape(folder)
    tower = ImageTower(create_backbone(**shape["backbone"], pretrained=False), shape["embed_dim"])
    tower.load_state_dict(load_file(folder / "image_tower.safetensors"))
    return tower.eval()
