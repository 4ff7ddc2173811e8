"""Places and boxes in towers of every family: of a picture that is alike everywhere they make what they make of all of it."""

import pytest
import torch

from small_towers import FAMILIES, SPACE, backbone_of, pixels_for
from towers.image.tower import ImageTower
from towers.regions.grid import grid_of

# Convolutional networks that pool by a mean and do no more than linear things after it.
MEANS = ["EfficientNet", "FastViT", "ResNet", "ByobNet"]
UNKNOWN = "CLIP ResNet"  # its attention is made for a grid of one size
WHOLE = torch.tensor([[[0.0, 0, 1, 1]], [[0, 0, 1, 1]]])


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in [*MEANS, UNKNOWN]])
def test_places_of_an_even_picture_have_the_features_of_the_picture(family):
    tower = ImageTower(backbone_of(family), SPACE).eval()
    with torch.no_grad():
        last = tower.last_output(pixels_for(family), 0)
        place = last[:, -1:] if last.ndim == 3 else last[:, :, :1, :1]
        even = place.expand_as(last).contiguous()
        assert tower.layout is not None
        grid, pooled = grid_of(tower.layout, even), tower.layout.pooled(even)
    assert grid.shape[:2] == pooled.shape
    for row in range(grid.shape[2]):
        torch.testing.assert_close(grid[:, :, row, -1], pooled, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(pooled[0], pooled[1], atol=1e-4)


@pytest.mark.parametrize("family", MEANS)
def test_a_box_that_is_the_whole_picture_has_the_vector_of_the_picture(family):
    tower, pixels = ImageTower(backbone_of(family), SPACE).eval(), pixels_for(family)
    with torch.no_grad():
        image, regions = tower.forward_regions(pixels, 0, WHOLE)
        torch.testing.assert_close(image, tower(pixels), atol=1e-5, rtol=0)
        torch.testing.assert_close(regions[:, 0], image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != UNKNOWN])
def test_pictures_have_the_vectors_that_they_have_without_regions_and_parts_learn(family):
    tower, pixels = ImageTower(backbone_of(family), SPACE).eval(), pixels_for(family)
    block = tower.block_count - 1
    boxes = torch.tensor([[[0.0, 0, 0.5, 0.5], [0.5, 0, 1, 1]], [[0.2, 0.2, 0.4, 0.9], [0, 0, 0, 0]]])
    with torch.no_grad():
        frozen = tower.forward_frozen(pixels, block)
        expected = tower.forward_trainable(frozen, block)
    image, regions = tower.forward_regions(frozen, block, boxes)
    torch.testing.assert_close(image, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(regions.norm(dim=-1), torch.ones(2, 2))
    assert not torch.allclose(regions[0, 0], regions[0, 1], atol=1e-4)
    regions.sum().backward()
    moved = [parameter.grad for parameter in tower.blocks()[block].parameters() if parameter.grad is not None]
    assert any(gradient.abs().max() > 0 for gradient in moved)


def test_towers_without_a_grid_say_so():
    tower = ImageTower(backbone_of(UNKNOWN), SPACE).eval()
    with pytest.raises(ValueError, match="what ModifiedResNet makes of a part of a picture is not known"):
        tower.forward_regions(pixels_for(UNKNOWN), 0, WHOLE)
    with pytest.raises(ValueError, match="not null"):
        tower.forward_regions(torch.zeros(2, 32), None, WHOLE)
