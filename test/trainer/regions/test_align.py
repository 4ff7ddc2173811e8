"""Means of a grid over boxes against what they are by hand: whole cells, a ramp, RoIAlign's own definition point by point."""

import math

import pytest
import torch

from towers.regions.align import box_means, cell_weights


def test_a_box_of_whole_cells_has_their_mean_and_its_gradient():
    grid = torch.randn(2, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[[1 / 6, 0.25, 4 / 6, 0.75]], [[0, 0, 1, 1]]], dtype=torch.float64)
    means = box_means(grid, boxes)
    torch.testing.assert_close(means[0, 0], grid[0, :, 1:3, 1:4].mean((1, 2)))
    torch.testing.assert_close(means[1, 0], grid[1].mean((1, 2)))
    means[0].sum().backward()
    expected = torch.zeros(2, 3, 4, 6, dtype=torch.float64)
    expected[0, :, 1:3, 1:4] = 1 / 6
    torch.testing.assert_close(grid.grad, expected)


def test_of_a_ramp_it_is_the_value_in_the_middle_of_the_box():
    # Between the centres of the outer cells bilinear interpolation of a plane is the plane itself.
    y, x = torch.meshgrid(torch.arange(8) + 0.5, torch.arange(8) + 0.5, indexing="ij")
    boxes = torch.tensor([[[0.1, 0.2, 0.45, 0.9], [0.31, 0.31, 0.33, 0.32]]])
    means = box_means(torch.stack([x, y])[None] / 8, boxes)
    middles = torch.stack([boxes[..., [0, 2]].mean(-1), boxes[..., [1, 3]].mean(-1)], -1)
    torch.testing.assert_close(means, middles)


def sampled(plane: torch.Tensor, box: list[float]) -> float:
    """The mean of the bilinear samples of one box, as Mask R-CNN's authors and torchvision define them."""
    height, width = plane.shape
    left, top, right, bottom = box[0] * width - 0.5, box[1] * height - 0.5, box[2] * width - 0.5, box[3] * height - 0.5
    rows, columns = max(1, math.ceil(bottom - top)), max(1, math.ceil(right - left))
    total = 0.0
    for i in range(rows):
        for j in range(columns):
            y = min(max(top + (i + 0.5) * (bottom - top) / rows, 0.0), height - 1.0)
            x = min(max(left + (j + 0.5) * (right - left) / columns, 0.0), width - 1.0)
            y0, x0 = min(int(y), height - 2), min(int(x), width - 2)
            corners = plane[y0 : y0 + 2, x0 : x0 + 2]
            weights = torch.tensor([[(1 - y + y0) * (1 - x + x0), (1 - y + y0) * (x - x0)],
                                    [(y - y0) * (1 - x + x0), (y - y0) * (x - x0)]])  # fmt: skip
            total += float((corners * weights).sum())
    return total / (rows * columns)


def test_any_box_has_the_mean_of_its_bilinear_samples():
    generator = torch.Generator().manual_seed(0)
    plane = torch.randn(5, 7, generator=generator)
    corners = torch.rand(20, 2, 2, generator=generator).sort(1).values
    boxes = torch.cat([corners[:, 0], corners[:, 1]], 1)
    expected = [sampled(plane, box) for box in boxes.tolist()]
    found = box_means(plane[None, None], boxes[None])[0, :, 0]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("ends", [(0.0, 1.0), (0.2, 0.21), (0.97, 1.0), (0.4, 0.4), (0.0, 0.0)])
def test_weights_of_a_side_sum_to_one(ends):
    weights = cell_weights(torch.tensor(ends[0]), torch.tensor(ends[1]), 9)
    assert weights.sum().item() == pytest.approx(1) and weights.min() >= 0
