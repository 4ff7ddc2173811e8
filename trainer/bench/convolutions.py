"""What each part of a convolutional tower computes and keeps: the figures of `--plan`, counted on the tower itself.

`python -m bench.convolutions --write` counts all of them and writes control/plan/forms/convolutions.json. A transformer
needs no such table: its blocks are alike, and a closed form over their width and tokens says the same.
"""

import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from towers.image.backbone import PACKAGES, create_backbone, origin_of
from towers.image.table import TOWERS
from towers.image.tower import ImageTower

FILE = Path(__file__).parents[1] / "control" / "plan" / "forms" / "convolutions.json"
BATCHES = (2, 3)  # what they differ in is what one picture takes: weights and their casts are in both


class Convolutions(NamedTuple):
    """A tower in parts: stem, blocks, end. Per part: parameters; FLOP of one picture of `size` pixels a side; bytes that
    autocast to bfloat16 keeps of it for the way back; and numbers that the next part reads.
    """

    backbone: str
    size: int
    parameters: list[int]
    flop: list[int]
    kept: list[int]
    states: list[int]


def convolutional() -> list[str]:
    """Names of the towers that are not cut into patches: those of packages, and the rows of the table without a patch."""
    return [*PACKAGES, *(row.backbone for row in TOWERS if row.patch == 1)]


def counted(backbone_name: str) -> Convolutions:
    """Counts one tower; its weights are random. The loops run over parts, on pictures of noise."""
    with torch.device("meta"):
        tower = ImageTower(create_backbone(backbone_name, pretrained=False), 1)
        size = origin_of(tower.backbone).size
        flop, states = computed(tower.eval(), torch.randn(1, 3, size, size))
    layout: Any = tower.layout
    parts = [layout.stem_parameters(), *(list(block.parameters()) for block in layout.blocks), layout.end_parameters()]
    trained = ImageTower(create_backbone(backbone_name, pretrained=False), 1).train()
    few, more = ([*kept_after(trained, torch.randn(batch, 3, size, size))] for batch in BATCHES)
    sums = [0, *(b - a for a, b in zip(few, more, strict=True))]
    return Convolutions(
        backbone_name,
        size,
        [sum(parameter.numel() for parameter in part) for part in parts],
        flop,
        [after - before for before, after in pairwise(sums)],
        states,
    )


def parts_of(tower: ImageTower, pixels_BCSS: torch.Tensor) -> Iterator[torch.Tensor]:
    """The output of every part, one after the other."""
    layout: Any = tower.layout
    x, context = layout.stem(pixels_BCSS)
    yield x
    for number in range(tower.block_count):
        x = layout.block(number, x, context)
        yield x
    yield layout.pooled(x)


def computed(tower: ImageTower, pixels_BCSS: torch.Tensor) -> tuple[list[int], list[int]]:
    """FLOP of every part, an addition and a multiplication each being one, and the numbers of its output."""
    flop, states, before = [], [], 0
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        for x in parts_of(tower, pixels_BCSS):
            flop.append(counter.get_total_flops() - before)
            before = counter.get_total_flops()
            states.append(x.numel())
    return flop, states


def kept_after(tower: ImageTower, pixels_BCSS: torch.Tensor) -> Iterator[int]:
    """Bytes kept for the way back so far, after every part: each storage once, weights not."""
    known = {parameter.untyped_storage().data_ptr() for parameter in tower.parameters()}
    held: list[torch.Tensor] = []  # a storage that is let go would lend its address to another one

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in known:
            known.add(address)
            held.append(tensor)
        return tensor

    with (
        torch.autocast("cpu", torch.bfloat16),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        for _ in parts_of(tower, pixels_BCSS):
            yield sum(tensor.untyped_storage().nbytes() for tensor in held)


def main() -> None:
    """Print every tower's counts, or write them: `npm run check -- --fix` then lays the file out."""
    rows = [counted(name)._asdict() for name in convolutional()]
    text = json.dumps(rows, indent=2)
    if sys.argv[1:] == ["--write"]:
        FILE.write_text(text + "\n", encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
