"""Weights under the path of a recipe that is not of this machine: towers and language models find them where the container has them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bench.small_models import write_efficientnet
from engine.folders.weights import know_places, placed
from gpu_check.small import write_language_model
from support import TINY_VISION, tiny_clip
from towers.adaptation.write_model import read_base
from towers.image.backbone import create_backbone
from towers.language.read import read_language_model
from towers.text.checkpoint import checkpoint_vectors, weight_files
from towers.text.published_adapter import read_published_adapter
from warm import ROOT


@pytest.fixture
def fetched(tmp_path):
    """Folders of this machine, of which the recipe knows others: /recipes/tower, models/llm, /recipes/clip."""
    write_efficientnet(tmp_path / "0")
    write_language_model(tmp_path / "1")
    tiny_clip(tmp_path / "2", TINY_VISION, embed_dim=32)
    places = {"/recipes/tower": tmp_path / "0", "models/llm": tmp_path / "1", "/recipes/clip": tmp_path / "2"}
    know_places({path: str(folder) for path, folder in places.items()})
    yield tmp_path
    know_places({})


def same(one, other):
    """Whether two models have equal weights."""
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_a_name_without_a_place_stays_as_it_is(fetched):
    for name in ("vit_base_patch16_224", "open_clip:ViT-B-32@openai", "package:tower", "/recipes/other", "local-dir:x"):
        assert placed(name) == name


def test_a_path_is_replaced_whole_and_only_where_a_name_ends_with_it(fetched):
    know_places({"/weights/b.pt": "/scratch/0/b.pt", "tower": "/scratch/1"})
    assert placed("open_clip:ViT-B-32@/weights/b.pt") == "open_clip:ViT-B-32@/scratch/0/b.pt"
    assert placed("local-dir:tower") == "local-dir:/scratch/1"
    assert placed("tower") == "/scratch/1"
    for name in ("/other/weights/b.pt", "watchtower", "models/tower", "/weights/b.pt/config.json"):
        assert placed(name) == name


@pytest.mark.parametrize(
    ("name", "folder"), [("local-dir:/recipes/tower", "0"), ("open_clip:local-dir:/recipes/clip", "2")]
)
def test_a_tower_is_the_one_in_the_folder_with_weights_and_without(fetched, name, folder):
    prefix = name.rpartition("/recipes")[0]
    here = f"{prefix}{fetched / folder}"
    assert same(create_backbone(name, 64), create_backbone(here, 64))
    bare = create_backbone(name, 64, pretrained=False)
    assert bare.state_dict().keys() == create_backbone(here, 64).state_dict().keys()


def test_a_language_model_and_a_checkpoints_text_tower_are_those_in_the_folders(fetched):
    model = read_language_model({"source": "directory", "name": "models/llm"}, torch.float32).model
    assert same(model, read_language_model({"source": "directory", "name": str(fetched / "1")}, torch.float32).model)
    names = ["open_clip:local-dir:/recipes/clip", f"open_clip:local-dir:{fetched / '2'}"]
    vectors = [checkpoint_vectors(name, ["a dog"], torch.device("cpu")) for name in names]
    torch.testing.assert_close(*vectors)
    assert [file.parent for file in weight_files(names[0])] == [fetched / "2"]


def test_a_published_adapter_is_the_one_in_the_file(fetched):
    shapes = {"0.weight": (6,), "0.bias": (6,), "1.weight": (4, 6), "1.bias": (4,)}  # a norm and a linear layer
    weights = {name: torch.randn(shape) for name, shape in shapes.items()}
    file = fetched / "adapter.safetensors"
    save_file({f"text_adapter.adaptor.{name}": tensor for name, tensor in weights.items()}, file)
    know_places({"/recipes/adapter": str(file)})
    assert torch.equal(
        read_published_adapter(Path("/recipes/adapter")).weights["projection.weight"], weights["1.weight"]
    )


def test_the_model_that_an_adaptation_starts_from_is_the_one_in_the_folder(fetched):
    know_places({"models/base": str(ROOT / "api" / "model")})
    base = read_base(fetched, "models/base")
    assert base.folder == ROOT / "api" / "model"
    assert base.manifest["name"]
