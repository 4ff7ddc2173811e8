"""Blocks that are split between eight ranks, of which none is started: what each holds, and in which type they hand on what they made."""

import pytest
import torch
from torch import distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor

from contracts.types import Parallel
from engine import sharding
from engine.sharding import Blocks, place
from engine.world import World
from towers.image.backbone import create_backbone
from towers.image.tower import ImageTower

RANKS = 8


@pytest.fixture
def ranks():
    """Process groups of eight ranks of which this process is the first, and no other is there."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=RANKS)
    yield World(rank=0, size=RANKS, local_rank=0, device=torch.device("cpu"), local_size=RANKS)
    dist.destroy_process_group()


def test_a_rank_holds_an_eighth_of_vit_es_blocks_and_all_of_the_rest(ranks):
    with torch.device("meta"):
        tower = ImageTower(create_backbone("open_clip:EVA02-E-14@laion2b_s4b_b115k", pretrained=False), 1024)
    assert len(tower.blocks()) == 64
    of_blocks = sum(parameter.numel() for block in tower.blocks() for parameter in block.parameters())
    everything = sum(parameter.numel() for parameter in tower.parameters())
    assert of_blocks > 0.995 * everything  # 4.35 billion numbers, all but patches, positions and head
    parallel: Parallel = {"weights": "sharded", "activation_checkpointing": True, "compile": False}
    place(Blocks(tower, list(tower.blocks()), ("forward_trainable",)), parallel, ranks)
    held = 0
    for block in tower.blocks():
        parameters = list(block.parameters())
        assert all(isinstance(parameter, DTensor) for parameter in parameters)
        held += sum(parameter.to_local().numel() for parameter in parameters if isinstance(parameter, DTensor))
    assert held == pytest.approx(of_blocks / RANKS, rel=1e-3)  # a row of a matrix belongs to one rank
    others = [parameter for parameter in tower.parameters() if not isinstance(parameter, DTensor)]
    assert sum(parameter.numel() for parameter in others) == everything - of_blocks
    # Weights, gradients and two moments of AdamW in float32: 70 GB before any activation, and 9 on each of eight ranks.
    assert 16 * everything / 1e9 == pytest.approx(69.6, abs=0.5)
    assert 16 * (held + everything - of_blocks) / 1e9 < 9.5


class Tower(nn.Module):
    """Blocks, and behind them a layer that stays on every rank, as the norm of a vision transformer does."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks, self.end = nn.ModuleList(nn.Linear(8, 8) for _ in range(3)), nn.Linear(8, 2)

    def forward(self, x_BD: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x_BD = block(x_BD)
        return self.end(x_BD)


def test_what_follows_split_blocks_of_bfloat16_reads_float32_outside_of_autocast_too(ranks, monkeypatch):
    # Dev figures are computed without autocast; only a GPU splits in bfloat16, whose kernels take no two types at once.
    monkeypatch.setattr(sharding, "NARROWED", ("cpu",))
    tower, types = Tower(), []
    tower.blocks[1].register_forward_pre_hook(lambda _, given: types.append(given[0].dtype))
    place(
        Blocks(tower, list(tower.blocks)),
        {"weights": "sharded", "activation_checkpointing": False, "compile": False},
        ranks,
    )
    with torch.inference_mode():
        assert tower(torch.zeros(4, 8)).dtype == torch.float32
    assert types == [torch.bfloat16]
