"""Small twins of the families as ONNX graphs: what is served is what was trained."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from small_towers import SPACE, backbone_of, pixels_for, size_of
from towers.image.tower import ImageTower
from towers.onnx_export import export_image_tower, session

EXPORTED = ["FastViT", "InternViT", "EVA02", "EVA02-E", "PE-Core", "SigLIP", "SigLIP2 NaFlex", "CoCa", "CLIP ResNet"]


@pytest.mark.parametrize("family", EXPORTED)
def test_a_served_graph_gives_the_towers_vectors(family, tmp_path):
    torch.manual_seed(0)
    tower, pixels = ImageTower(backbone_of(family), SPACE).eval(), pixels_for(family, 3)
    with torch.no_grad():
        expected = tower(pixels)
    export_image_tower(tower, size_of(family), tmp_path / "image.onnx", 18, "float16")
    served = session(tmp_path / "image.onnx", 1).run(None, {"pixels": pixels.numpy()})[0]
    assert F.cosine_similarity(torch.from_numpy(np.asarray(served)), expected).min() >= 0.9999
