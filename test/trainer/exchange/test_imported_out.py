"""One small checkpoint of each layout, imported and exported: the libraries open it and give the vectors that are served."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from opened_exports import opened
from published_layouts import EXPORTS, LAYOUTS

import published_siglip
from edge_clip import load
from exchange.__main__ import main
from exchange.incoming.take_in import ImportOptions, import_into
from exchange.outgoing.imports.vision_names import siglip_to_open_clip, timm_siglip
from published_clip import write_clip
from warm import ROOT

PHOTOS = ROOT / "api" / "playground" / "samples"
TEXTS = ["a dog runs", "Two cats, one of them 3 years old", "naïve café"]
EQUAL = 1e-4  # of every number of a unit vector


@pytest.fixture(scope="module", params=list(LAYOUTS))
def imported(request, tmp_path_factory):
    """(layout, the folder of the imported model)."""
    folder = tmp_path_factory.mktemp("layout")
    LAYOUTS[request.param](folder / "published")
    import_into(folder / "published", folder / "model", ImportOptions("twin", "1", PHOTOS, request.param, "MIT"))
    return request.param, folder / "model"


@pytest.fixture
def export(tmp_path, monkeypatch, capsys):
    """The command, in this process: exit code, the folder, and what it said."""

    def run(model: Path, layout: str) -> tuple[int, Path, str]:
        out = tmp_path / layout
        monkeypatch.setattr(sys, "argv", ["exchange", "export", str(model), "--format", layout, "--to", str(out)])
        code = main()
        said = capsys.readouterr()
        return code, out, said.err if code else said.out

    return run


def test_an_import_goes_out_with_equal_vectors(imported, export):
    layout, model = imported
    picture = PHOTOS / "cat.jpg"
    served = load(model, device="cpu").embed(TEXTS, [str(picture)])
    recipe = json.loads((model / "manifest.json").read_text())["image"]["preprocess"]
    texts: list[np.ndarray] = []
    for library, expected in EXPORTS[layout].items():
        code, out, said = export(model, library)
        if isinstance(expected, str):
            assert (code, out.exists()) == (2, False)
            assert expected in said
            continue
        assert code == 0, said
        for folder in expected:
            found = opened(library, out / folder, TEXTS, picture, recipe)
            if "images" in found:
                np.testing.assert_allclose(found["images"], served.images, atol=EQUAL)
            if "texts" in found:
                texts.append(found["texts"])
                assert (found["texts"] * served.texts).sum(1).min() > 0.99  # servers round activations
        assert ("image" in expected and len(expected) == 1) == ("The text tower is not here" in readme(out))
    if len(texts) == 2:  # two libraries that judge each other
        np.testing.assert_allclose(texts[0], texts[1], atol=EQUAL)


def readme(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("write", [published_siglip.write_siglip, published_siglip.write_siglip2])
def test_siglips_image_towers_of_transformers_are_timms(write, tmp_path):
    from timm.models.vision_transformer import VisionTransformer

    model, _ = write(tmp_path / "siglip")
    vision = model.config.vision_config
    trunk = VisionTransformer(
        img_size=64, patch_size=16, embed_dim=32, depth=2, num_heads=2, mlp_ratio=2, num_classes=0, class_token=False, global_pool="map",
        act_layer="gelu_tanh",
    ).eval()  # fmt: skip
    own = {name: value for name, value in model.state_dict().items() if name.startswith("vision_model.")}
    named = siglip_to_open_clip(own, vision.patch_size)
    trunk.load_state_dict({name.removeprefix("visual.trunk."): value for name, value in named.items()})
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        np.testing.assert_allclose(trunk(pixels), published_siglip.image_features(model, pixels), atol=1e-4)


def test_a_published_siglip_has_a_name_of_timm():
    import timm

    with torch.device("meta"):
        trunk = timm.create_model("vit_base_patch16_siglip_224", num_classes=0)
    tensors = {f"visual.trunk.{name}": value for name, value in trunk.state_dict().items()}
    assert timm_siglip({"num_attention_heads": 12}, 224, tensors) == "vit_base_patch16_siglip_224"
    assert timm_siglip({"num_attention_heads": 6}, 224, tensors) is None


def test_a_model_whose_import_kept_no_names_says_so(tmp_path, export):
    write_clip(tmp_path / "published")
    import_into(tmp_path / "published", tmp_path / "model", ImportOptions("twin", "1", PHOTOS, "clip", "MIT"))
    file = tmp_path / "model" / "manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["image"]["names"]
    file.write_text(json.dumps(manifest))
    code, out, said = export(tmp_path / "model", "open_clip")
    assert (code, out.exists()) == (2, False)
    assert "import the checkpoint again" in said
    code, out, _ = export(tmp_path / "model", "hf")
    assert code == 0
    assert "import the checkpoint again" in readme(out)
    assert set(opened("hf", out / "student", TEXTS, PHOTOS / "cat.jpg", manifest["image"]["preprocess"])) == {"texts"}
    code, out, said = export(tmp_path / "model", "sentence-transformers")
    assert (code, out.exists()) == (2, False)
    assert "no layout of two towers" in said
