"""Boxes follow their picture through a crop, its mirror image and every way of resizing: told by the pixels themselves."""

import io

import numpy as np
import pytest
from PIL import Image

from data.image import CropOptions, crop_pixels, crop_window_seen
from towers.crops import CropDraw
from towers.preprocess import decoded_size, upright_size
from towers.regions.boxes import VISIBLE, boxes_seen, window_of
from towers.regions.seen import Drawn, RegionOptions, Regions, draw_regions, region_texts

SIZE = 64
RECIPES = {
    mode: {"resize_mode": mode, "size": SIZE, "interpolation": "bilinear", "crop": "center" if mode == "shortest" else "none",
           "mean": [0.5] * 3, "std": [0.5] * 3, "color": "rgb"}
    for mode in ("squash", "shortest", "longest")
}  # fmt: skip
BOX = np.array([[0.375, 0.3, 0.625, 0.7]])  # in the middle, where most crops show it


def file_with_a_box(width: int, height: int, kind: str = "JPEG", exif: Image.Exif | None = None) -> bytes:
    """Black, with a red box."""
    pixels = np.zeros((height, width, 3), np.uint8)
    left, top, right, bottom = (round(f * s) for f, s in zip(BOX[0], (width, height) * 2, strict=True))
    pixels[top:bottom, left:right, 0] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **({"exif": exif, "quality": 95} if exif else {"quality": 95}))
    return buffer.getvalue()


def red_box(pixels_CHW: np.ndarray) -> list[float]:
    """Where the red box lies in uint8 pixels, in fractions of their sides."""
    ys, xs = np.nonzero(pixels_CHW[0] > 127)
    return [xs.min() / SIZE, ys.min() / SIZE, (xs.max() + 1) / SIZE, (ys.max() + 1) / SIZE]


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("mode", RECIPES)
@pytest.mark.parametrize("size", [(160, 120), (300, 400)])
def test_a_box_is_where_the_crop_shows_it(mode, size, reduced):
    data, recipe = file_with_a_box(*size), RECIPES[mode]
    options, mirrored, seen = CropOptions((0.5, 1.0), flip=True, reduced=reduced), set(), 0
    for seed in map(str, range(16)):
        window = crop_window_seen(size, recipe, options, seed)
        mirrored.add(window.is_mirrored)
        boxes, is_seen = boxes_seen(BOX, window)
        if is_seen[0]:
            seen += 1
            found = red_box(crop_pixels(data, recipe, options, seed))
            # A pixel of the input, and one of the picture where it is decoded smaller.
            assert np.abs(np.array(found) - boxes[0]).max() <= 2 / SIZE, (seed, found, boxes[0])
    assert mirrored == {False, True} and seen > 8


def test_a_picture_that_lies_on_its_side_is_taken_as_it_is_looked_at():
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(io.BytesIO(file_with_a_box(80, 60, exif=exif))) as image:
        assert image.size == (80, 60) and upright_size(image) == (60, 80)
    assert decoded_size((60, 80)) == (60, 80) and decoded_size((5, 3), 14) == (3, 2)


def test_a_box_of_which_less_than_half_is_left_is_not_there_and_others_are_cut():
    window = window_of((100, 100), CropDraw((0, 0, 50, 100), is_mirrored=False), RECIPES["squash"])
    boxes = np.array([[0.4, 0, 0.6, 0.5], [0.41, 0, 0.61, 0.5], [0.1, 0.2, 0.3, 0.4], [0.6, 0, 0.9, 1]])
    found, is_seen = boxes_seen(boxes, window)
    assert VISIBLE == 0.5 and is_seen.tolist() == [True, False, True, False]
    np.testing.assert_allclose(found[[0, 2]], [[0.8, 0, 1, 0.5], [0.2, 0.2, 0.6, 0.4]], atol=1e-6)
    mirrored = window_of((100, 100), CropDraw((0, 0, 50, 100), is_mirrored=True), RECIPES["squash"])
    np.testing.assert_allclose(boxes_seen(boxes, mirrored)[0][2], [0.4, 0.2, 0.8, 0.4], atol=1e-6)


def test_padding_is_no_part_of_a_box():
    # A crop twice as wide as high: the input's first and last quarter are black.
    window = window_of((100, 100), CropDraw((0, 0, 100, 50), is_mirrored=False), RECIPES["longest"])
    found, is_seen = boxes_seen(np.array([[0, 0, 1, 0.6]]), window)
    assert is_seen.all()
    np.testing.assert_allclose(found[0], [0, 0.25, 1, 0.75], atol=1e-6)


# ---- which regions a step has, and their texts ---------------------------------------------------------------------------

ROW = {"regions": [{"box": [0, 0, 0.4, 0.4], "text": "a red ball"}, {"box": [0.6, 0, 1, 0.4], "text": "sky", "negatives": ["a sea", "mud"]},
                   {"box": [0, 0.6, 0.4, 1], "text": "a man"}]}  # fmt: skip
WHOLE = window_of((10, 10), CropDraw((0, 0, 10, 10), is_mirrored=False), RECIPES["squash"])


def test_a_phrase_comes_with_its_own_wrong_texts_and_then_with_made_ones():
    assert region_texts(ROW, 0) == [["a red ball"], ["sky"], ["a man"]]
    texts = region_texts(ROW, 3)
    assert [len(own) for own in texts] == [4, 3, 4] and texts[1] == ["sky", "a sea", "mud"]
    assert all(text != "a red ball" for text in texts[0][1:])


def test_at_most_so_many_regions_are_drawn_whichever_the_generator_says():
    options, drawn = RegionOptions(2, 1), set()
    for seed in range(20):
        found = draw_regions(ROW, WHOLE, options, np.random.default_rng(seed))
        assert len(found.texts) == 2 and found.of == 6
        flat = [text for own in region_texts(ROW, 1) for text in own]
        assert [flat[place] for place in found.places] == [text for own in found.texts for text in own]
        drawn.add(tuple(own[0] for own in found.texts))
    assert len(drawn) == 3


def test_texts_of_a_step_are_told_apart():
    def drawn(*texts: list[str]) -> Drawn:
        boxes = np.tile(np.array([0, 0, 1, 1], np.float32), (len(texts), 1))
        return Drawn(boxes, [*texts], [], 0)

    regions = Regions.of([drawn(["a", "not a"]), drawn(), drawn(["b"], ["c", "not c", "nor c"])], 2).followed_by(1)
    assert regions.is_there.tolist() == [[True, False], [False, False], [True, True], [False, False]]
    assert [regions.texts[n] for n in regions.phrases()] == ["a", "b", "c"]
    assert [regions.texts[n] for n in regions.phrases(slice(1, 4))] == ["b", "c"]
    numbers, is_there = regions.wrong()
    assert [regions.texts[n] for n in numbers] == ["not a", "not c", "nor c"]
    assert is_there.tolist() == [[True, False], [False, False], [True, True]]
    nothing = Regions.of([drawn()], 2)
    assert len(nothing.phrases()) == 0 and nothing.wrong()[1].shape == (0, 0)
