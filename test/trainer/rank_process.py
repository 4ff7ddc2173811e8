"""One of four processes that share a batch: computes every loss in groups of 4, 2 and 1 of them and writes what came out.

`python rank_process.py RANK FOLDER` writes FOLDER/RANK.pt.
"""

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from engine.grad_cache import cached_backward
from losses.contrastive import global_info_nce, global_multi_positive_nce, global_sigmoid, pair_loss
from losses.keys import Keys, text_keys
from losses.ranks import Ranks
from losses.regularise import Pairs, frozen_tower_regulariser, inherit_loss, structure_loss

ROWS, COLUMNS, TILE = 24, 16, 4
TEXTS = [f"text {number % 17}" for number in range(2 * ROWS)]
LABELS = [f"label {number % 5}" if number % 4 else None for number in range(ROWS)]
Results = dict[str, list[torch.Tensor]]


class Towers(nn.Module):
    """Two small towers, each a matrix in front of a normalisation."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.image, self.text = (nn.Parameter(torch.randn(6, 5, generator=generator)) for _ in range(2))

    def forward(self, xy):
        x, y = xy
        return F.normalize(x @ self.image, dim=-1), F.normalize(y @ self.text, dim=-1)


def results(ranks: Ranks, *, even: bool) -> Results:
    """Every loss with its gradients, put together over ranks."""
    generator = torch.Generator().manual_seed(0)
    x, y, frozen = (torch.randn(ROWS, 6, generator=generator) for _ in range(3))
    old = F.normalize(frozen[:, :5], dim=-1)
    rows, columns = part(ROWS, ranks, even=even), part(COLUMNS, ranks, even=even)
    texts = [*TEXTS[:ROWS][rows], *TEXTS[ROWS:][rows]]
    labels = text_keys(LABELS)
    own, positive = Keys.of(labels[rows]), Keys(labels[None, rows], labels[None, columns])

    def info(a, b, scale):
        return global_info_nce(a, b, scale, own, ranks=ranks)

    losses = {
        "info_nce": lambda a, b, s, t: info(a, b, s),
        "several": lambda a, b, s, t: global_multi_positive_nce(a, b, s, positive, ranks=ranks),
        "sigmoid": lambda a, b, s, t: global_sigmoid(a, b, (s, t), own, ranks=ranks),
        "pairs": lambda a, b, s, t: pair_loss(torch.cat([a, b]), texts, 0.2, LABELS[rows], ranks=ranks),
        "regulariser": lambda a, b, s, t: frozen_tower_regulariser(a, old[rows], ranks=ranks),
        "inherit": lambda a, b, s, t: inherit_loss(b, old[rows], 0.5, ranks=ranks),
        "sampled": lambda a, b, s, t: structure_loss(
            a, old[rows], F.smooth_l1_loss, Pairs((3, 1), 10, ROWS * 5), ranks
        ),
    }
    found = {}
    for name, loss in losses.items():
        towers, scale, bias = Towers(), torch.tensor(3.0, requires_grad=True), torch.tensor(-1.0, requires_grad=True)
        inputs = (x[rows], y[columns] if name == "several" else y[rows])
        image, text = towers(inputs)
        value = loss(image, text, scale, bias)
        value.backward()
        found[name] = [value.detach(), *together([*towers.parameters(), scale, bias], ranks)]
    found["cached"] = cached(Towers(), (x[rows], y[rows]), info, ranks)
    return found


def cached(towers: nn.Module, inputs, info, ranks: Ranks) -> list[torch.Tensor]:
    """InfoNCE of micro-batches of 4 rows."""
    scale = torch.tensor(3.0, requires_grad=True)
    micro_batches = list(zip(*(side.split(4) for side in inputs), strict=True))
    value = cached_backward(towers, micro_batches, lambda a, b: info(a, b, scale))
    return [value, *together([*towers.parameters(), scale], ranks)]


def averaged(group) -> list[torch.Tensor]:
    """The same where torch's DDP takes the mean of gradients, in the last of the micro-batches."""
    ranks = Ranks(group, gradients="averaged", tile=TILE)
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(ROWS, 6, generator=generator)[part(ROWS, ranks, even=True)] for _ in range(2))
    keys = Keys.of(text_keys(LABELS)[part(ROWS, ranks, even=True)])
    towers, scale = DistributedDataParallel(Towers(), process_group=group), torch.tensor(3.0, requires_grad=True)

    def synchronise(is_last: bool) -> None:  # noqa: FBT001 - as it is called
        towers.require_backward_grad_sync = is_last

    value = cached_backward(
        towers,
        list(zip(x.split(4), y.split(4), strict=True)),
        lambda a, b: global_info_nce(a, b, scale, keys, ranks=ranks),
        synchronise=synchronise,
    )
    # DDP has averaged those of the towers already.
    gradients = [parameter.grad for parameter in towers.parameters() if parameter.grad is not None]
    return [value, *gradients, together([scale], ranks)[0] / ranks.size]


def part(length: int, ranks: Ranks, *, even: bool) -> slice:
    """This rank's part of a length: equal ones, or ones that differ."""
    edges = [length * number // ranks.size - (not even) * (number % ranks.size > 0) for number in range(ranks.size + 1)]
    return slice(edges[ranks.rank], edges[ranks.rank + 1])


def together(tensors: list[torch.Tensor], ranks: Ranks) -> list[torch.Tensor]:
    """Gradients added up over ranks."""
    return [ranks.add(torch.zeros_like(x) if x.grad is None else x.grad.clone()) for x in tensors]


def main(rank: int, folder: Path) -> None:
    """Compute and write."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, world_size=4, rank=rank, timeout=timedelta(seconds=60))
    groups: list[Any] = [dist.new_group(members) for members in ([0, 1], [2, 3], [0], [1], [2], [3])]
    found = {}
    for size, group in ((4, None), (2, groups[rank // 2]), (1, groups[2 + rank])):
        found[f"{size}"] = results(Ranks(group, tile=TILE), even=True)
        found[f"{size}, uneven"] = results(Ranks(group, even=False, tile=TILE), even=False)
    found["4, averaged"] = {"cached": averaged(dist.group.WORLD)}
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
