"""LLM2CLIP's published adapters: their function, the names of their files, and what `inherit` makes of one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_clip_checkpoint import embedded_captions, inherit_config
from torch import nn
from torch.nn import functional as F

from support import TINY_VISION, run_stage, schedule, tiny_clip, write_job
from towers.text.published_adapter import read_published_adapter
from towers.two_towers import Adapter, load_adapter

WIDTH, SPACE = 24, 16
PREFIXES = {
    "released folder": "text_adapter.adaptor.",
    "trainer": "text.text_adaptor.",
    "trainer, SigLIP2": "text.text_proj.text_adaptor.",
}


class Block(nn.Module):
    """The published block: x + fn(ln(x))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fn = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(0), nn.Linear(2 * width, width))
        self.ln = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.fn(self.ln(x))


def published(blocks: int) -> Any:
    """An adapter under the published names with random weights."""
    torch.manual_seed(blocks)
    modules = [*(Block(WIDTH) for _ in range(blocks)), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, SPACE)]
    adapter = nn.Sequential(*modules).eval()
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return adapter


def named(adapter: Any, prefix: str) -> dict[str, Any]:
    """As a checkpoint has it, among other weights."""
    weights = {f"{prefix}{name}": value for name, value in adapter.state_dict().items()}
    return weights | {"visual.adaptor_free.weight": torch.ones(2), "logit_scale": torch.tensor(4.6)}


@pytest.mark.parametrize("blocks", [0, 2, 4, 8, 12])
@pytest.mark.parametrize("prefix", PREFIXES.values(), ids=PREFIXES)
def test_a_published_adapter_is_read_bit_for_bit_and_computes_what_it_was_published_for(blocks, prefix, tmp_path):
    theirs = published(blocks)
    save_file(named(theirs, prefix), tmp_path / "model.safetensors")
    found = read_published_adapter(tmp_path)
    expansion = 2 if blocks else 1
    assert (found.width, found.embed_dim, found.blocks, found.expansion) == (WIDTH, SPACE, blocks, expansion)
    ours = Adapter(WIDTH, SPACE, blocks, found.expansion, input_length="one").eval()
    ours.load_state_dict(found.weights)
    for block in range(blocks):
        assert torch.equal(ours.get_parameter(f"blocks.{block}.1.weight"), theirs[block].fn[0].weight)
        assert torch.equal(ours.get_parameter(f"blocks.{block}.0.bias"), theirs[block].ln.bias)
    features = 7 * torch.randn(9, WIDTH, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        # Features come at length one (training/data.py of LLM2CLIP), vectors are compared at length one.
        expected = F.normalize(theirs(F.normalize(features, dim=-1)), dim=-1)
        assert torch.equal(ours(features), expected)
        assert Adapter(WIDTH, SPACE, blocks, 2).input_length == WIDTH**0.5


@pytest.mark.parametrize("wrapping", [None, "state_dict", "module"])
def test_checkpoints_of_trainers_are_read_too(wrapping, tmp_path):
    theirs = published(4)
    weights = named(theirs, "module.text.text_adaptor." if wrapping == "state_dict" else "text.text_adaptor.")
    torch.save(weights if wrapping is None else {wrapping: weights}, tmp_path / "epoch_4.pt")
    found = read_published_adapter(tmp_path / "epoch_4.pt")
    assert torch.equal(found.weights["projection.weight"], theirs[5].weight)
    assert torch.equal(found.weights["norm.bias"], theirs[4].bias)


def test_what_is_no_whole_adapter_is_refused(tmp_path):
    file = tmp_path / "model.safetensors"
    weights = named(published(2), "text_adapter.adaptor.")
    save_file({"logit_scale": torch.ones(())}, file)
    with pytest.raises(ValueError, match=r"holds no whole adapter: layers none; expected are text_adapter\.adaptor"):
        read_published_adapter(tmp_path)
    save_file({name: value for name, value in weights.items() if "adaptor.1.ln.bias" not in name}, file)
    with pytest.raises(ValueError, match=r"layer 1 of the adapter lacks ln\.bias"):
        read_published_adapter(tmp_path)
    save_file(weights | {"text_adapter.adaptor.0.fn.9.weight": torch.ones(1)}, file)
    with pytest.raises(ValueError, match=r"0\.fn\.9\.weight is no part"):
        read_published_adapter(tmp_path)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors"):
        read_published_adapter(tmp_path)


def inherit_from(folder: Path, **changes: Any) -> tuple[Path, Any]:
    """A job of `inherit` that starts from a published adapter."""
    theirs = published(2)
    name = tiny_clip(folder / "clip", TINY_VISION)
    (folder / "released").mkdir()
    save_file(named(theirs, "text_adapter.adaptor."), folder / "released" / "model.safetensors")
    inputs = {"prepare": folder, "embed_captions": embedded_captions(folder / "embedded"), "data": folder}
    config = inherit_config(
        name,
        adapter={"blocks": 2, "expansion": 2, "input_length": "one"},
        adapter_from=str(folder / "released"),
        schedule=schedule(1, lr=0.0),
    )
    return write_job(folder, "inherit", inputs, config | changes), theirs


def test_inherit_starts_from_a_published_adapter(tmp_path):
    job, theirs = inherit_from(tmp_path)
    run_stage(job)
    weights = load_file(job.parent / "text_tower.safetensors")
    assert torch.equal(weights["blocks.1.4.weight"], theirs[1].fn[3].weight)
    features = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():  # clip.json says how features are read: a later stage builds the same function
        expected = F.normalize(theirs(F.normalize(features, dim=-1)), dim=-1)
        assert torch.equal(load_adapter(job.parent)(features), expected)


def test_an_adapter_of_another_shape_is_refused(tmp_path):
    job, _ = inherit_from(tmp_path, adapter={"blocks": 3, "expansion": 2, "input_length": "one"})
    assert run_stage(job, expect=1) == {}
