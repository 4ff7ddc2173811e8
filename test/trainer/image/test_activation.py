"""OpenAI's weights in a model with another activation are an error; their own files are read with the right one."""

import json
import math
import os
import pickle
import zipfile
from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.factory import _MODEL_CONFIG_PATHS, _rescan_model_configs
from open_clip.transformer import QuickGELU
from torch import nn

from support import TINY_VISION
from towers.image.backbone import create_backbone
from towers.image.checkpoint import read_model

TEXT = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1}


@pytest.mark.parametrize("model", ["ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336", "RN50"])
def test_open_clips_name_without_the_activation_is_refused_with_the_right_spelling(
    model,
):
    with pytest.raises(ValueError, match=rf"QuickGELU.*name it open_clip:{model}-quickgelu@openai$"):
        read_model(f"open_clip:{model}@openai")


@pytest.mark.parametrize("prefix", ["", "hf-hub:timm/"])
@pytest.mark.parametrize("tag", ["openai", "metaclip_400m"])
def test_timms_name_without_the_activation_is_refused_with_the_right_spelling(tag, prefix):
    with pytest.raises(
        ValueError,
        match=rf"QuickGELU.*name it vit_base_patch16_clip_quickgelu_224\.{tag}$",
    ):
        create_backbone(f"{prefix}vit_base_patch16_clip_224.{tag}")


def test_the_activation_is_what_the_name_says():
    with torch.device("meta"):
        quick = create_backbone("open_clip:ViT-B-32-quickgelu@openai", pretrained=False)
        plain = create_backbone("open_clip:ViT-B-32@laion2b_s34b_b79k", pretrained=False)
    assert isinstance(quick.visual.transformer.resblocks[0].mlp.gelu, QuickGELU)
    assert isinstance(plain.visual.transformer.resblocks[0].mlp.gelu, nn.GELU)


class Holder(nn.Module):
    """Parameters under the names of a state dict, as an archive holds them."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        below: dict[str, dict[str, torch.Tensor]] = {}
        for name, value in state.items():
            first, _, rest = name.partition(".")
            if rest:
                below.setdefault(first, {})[rest] = value
            else:
                self.register_buffer(first, value)
        for name, values in below.items():
            self.add_module(name, Holder(values))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_openais_own_archive_is_read_and_needs_the_right_name(tmp_path):
    folder = tmp_path / "configs"
    folder.mkdir()
    config = {"embed_dim": 16, "vision_cfg": TINY_VISION, "text_cfg": TEXT}
    (folder / "tiny.json").write_text(json.dumps(config))
    (folder / "tiny-quickgelu.json").write_text(json.dumps(config | {"quick_gelu": True}))
    open_clip.add_model_config(folder)
    try:
        torch.manual_seed(0)
        reference = open_clip.create_model("tiny-quickgelu", load_weights=False).eval()
        state = {name: value.half() for name, value in reference.state_dict().items()}
        state |= {
            "input_resolution": torch.tensor(64),
            "context_length": torch.tensor(8),
            "vocab_size": torch.tensor(64),
        }
        file = tmp_path / "ViT-tiny.pt"
        torch.jit.script(Holder(state)).save(file)
        with pytest.raises(ValueError, match=r"QuickGELU.*name it open_clip:tiny-quickgelu@"):
            create_backbone(f"open_clip:tiny@{file}")
        backbone = create_backbone(f"open_clip:tiny-quickgelu@{file}")
        pixels = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            expected = reference.half().float().encode_image(pixels)  # pyright: ignore[reportCallIssue]
            torch.testing.assert_close(backbone(pixels), expected, atol=1e-5, rtol=0)
        assert backbone.logit_scale == pytest.approx(math.log(1 / 0.07), abs=1e-3)
    finally:
        _MODEL_CONFIG_PATHS.remove(folder)
        _rescan_model_configs()


class Trap:
    """Leaves a trace where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("extra", [None, "constants.pkl", "code/constants.pkl"])
def test_nothing_that_somebody_put_into_a_file_of_weights_is_run(tmp_path, extra):
    # The second looks like an archive of TorchScript to torch, the third only to who looks at names of files.
    file = tmp_path / "weights.pt"
    torch.save({"w": torch.zeros(2)}, file)
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(
                name,
                pickle.dumps(Trap(tmp_path / "trace"), 2) if name.endswith("data.pkl") else data,
            )
        if extra is not None:
            archive.writestr(f"weights/{extra}", b"x")
    with pytest.raises(ValueError, match=r"holds more than tensors|cannot be read as one"):
        create_backbone(f"open_clip:ViT-B-32-quickgelu@{file}")
    assert not (tmp_path / "trace").exists()
