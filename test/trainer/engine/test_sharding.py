"""Compiled blocks, with their activations kept and computed again: graphs are captured, and say what the plain block says."""

import copy
import functools

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters
from torch.autograd.graph import saved_tensors_hooks

from contracts.types import Parallel
from engine.sharding import Blocks, copy_on_cpu, place
from engine.world import ALONE_ON_CPU


class Block(nn.Module):
    """A residual block with dropout, whose draws have to be those of the first time when it is computed again."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down, self.dropout = nn.Linear(8, 64), nn.Linear(64, 8), nn.Dropout(0.3)

    def forward(self, x_BD: torch.Tensor, *, scale: float) -> torch.Tensor:
        return x_BD + scale * self.down(self.dropout(torch.tanh(self.up(x_BD))))


def pass_through(blocks: nn.ModuleList) -> tuple[torch.Tensor, list[torch.Tensor], int]:
    """The output, the gradients of the blocks, and how many numbers autograd kept between the two passes."""
    kept = []
    torch.manual_seed(1)
    y_BD = torch.linspace(-1, 1, 32).view(4, 8).requires_grad_()
    with saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor):
        for block in blocks:
            y_BD = block(y_BD, scale=0.5)
    y_BD.square().sum().backward()
    return y_BD.detach(), [parameter.grad for parameter in blocks.parameters()], sum(kept)  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize("recomputed", [False, True])
def test_compiled_blocks_share_a_graph_and_equal_plain_ones(monkeypatch, recomputed):
    # Everything but the code for this processor, which takes half a minute to make.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    torch._dynamo.reset()
    counters.clear()
    torch.manual_seed(0)
    plain = nn.ModuleList(Block() for _ in range(3))
    compiled = copy.deepcopy(plain)
    parallel: Parallel = {"weights": "replicated", "activation_checkpointing": recomputed, "compile": True}
    place(Blocks(compiled, list(compiled)), parallel, ALONE_ON_CPU)
    expected, gradients, kept_by_plain = pass_through(plain)
    found, ours, kept = pass_through(compiled)
    assert counters["stats"]["unique_graphs"] == 1
    torch.testing.assert_close((found, ours), (expected, gradients), rtol=0, atol=1e-6)
    assert not recomputed or kept < kept_by_plain / 4


def test_a_whole_copy_takes_no_room_where_the_weights_are(monkeypatch):
    def refuse(*_):
        raise AssertionError("weights are copied on their own device")

    torch.manual_seed(0)
    first = nn.Linear(4, 3)
    net = nn.ModuleDict({"a": first, "b": nn.BatchNorm1d(3), "c": nn.Linear(4, 3).requires_grad_(requires_grad=False)})
    net["c"].weight = first.weight  # tied
    for kind in (nn.Parameter, torch.Tensor):
        monkeypatch.setattr(kind, "__deepcopy__", refuse)
    copied = copy_on_cpu(net)
    with torch.no_grad():
        first.weight.add_(1)
    assert copied["c"].weight is copied["a"].weight
    assert [p.requires_grad for p in copied.parameters()] == [p.requires_grad for p in net.parameters()]
    assert torch.equal(copied.get_parameter("a.weight") + 1, first.weight)
    torch.testing.assert_close(copied["b"].state_dict(), net["b"].state_dict())
