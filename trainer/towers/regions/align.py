"""RoIAlign (Mask R-CNN, 1703.06870) with one cell per box: the mean of a grid of features over the box, with a gradient.

As torchvision's `roi_align` with output size 1, `sampling_ratio=-1` and `aligned=True`, which FG-CLIP calls: bilinear samples at
equal distances, one for each cell that the box reaches over, begun or not. Bilinear weights are a product of one weight a column and one a row,
so that the whole is two matrix products and no operator of torchvision is needed.

Shapes: B pictures, P boxes of each, F features, H x W cells.
"""

import torch


def box_means(grid_BFHW: torch.Tensor, boxes_BP4: torch.Tensor) -> torch.Tensor:
    """The mean over each box [B, P, F]; boxes are [left, top, right, bottom] in fractions of the grid's sides."""
    left, top, right, bottom = boxes_BP4.unbind(-1)
    columns_BPW = cell_weights(left, right, grid_BFHW.shape[3])
    rows_BPH = cell_weights(top, bottom, grid_BFHW.shape[2])
    over_rows_BPFW = torch.einsum("bfhw,bph->bpfw", grid_BFHW, rows_BPH)
    return torch.einsum("bpfw,bpw->bpf", over_rows_BPFW, columns_BPW)


def cell_weights(start: torch.Tensor, end: torch.Tensor, cells: int) -> torch.Tensor:
    """The weight of each of `cells` [..., cells] in the mean along one side from `start` to `end`, in fractions of it; they sum to 1.

    ceil(length in cells) samples, each linear between the centres of the two cells about it; beyond the outer centres the outer cell.
    """
    start, length = start[..., None] * cells, (end - start)[..., None] * cells
    samples = length.ceil().clamp(1, cells)
    number_S = torch.arange(cells, device=start.device, dtype=start.dtype)
    # Counted from the centre of the first cell, so that the centre of cell n is at n.
    at_S = (start + (number_S + 0.5) * length / samples - 0.5).clamp(0, cells - 1)
    near_SC = (1 - (at_S[..., None] - number_S).abs()).clamp_min(0)
    taken_S1 = (number_S < samples).to(start.dtype)[..., None]
    return (near_SC * taken_S1).sum(-2) / samples
