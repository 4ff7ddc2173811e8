"""Preprocessing against the golden vectors that the image encoder's TypeScript runs too."""

import hashlib
import io
import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from damaged_pictures import DAMAGED
from PIL import Image

from towers.preprocess import check_recipe, decode, normalise, patch_grid, preprocess, resampled, resize

FOLDER = Path(__file__).parents[2] / "contracts" / "vectors" / "preprocess"
CASES = json.loads((FOLDER / "cases.json").read_text())
RESIZES = json.loads((FOLDER / "resize.json").read_text())["vectors"]


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda c: f"{c['image']}-{c['recipe']}")
def test_an_image_file_becomes_the_pixels_that_the_encoder_sees(case: dict) -> None:
    recipe = CASES["recipes"][case["recipe"]]
    data = (FOLDER / case["image"]).read_bytes()
    pixels_HWC = resize(decode(data), recipe)
    expected_HWC = np.asarray(Image.open(FOLDER / case["expected"]).convert("RGB"))
    difference = np.abs(pixels_HWC.astype(int) - expected_HWC.astype(int)).max()
    assert difference <= case["tolerance"]
    if case["tolerance"] == 0:
        assert "sha256:" + hashlib.sha256(pixels_HWC.tobytes()).hexdigest() == case["digest"]
    tensor_CHW = preprocess(data, recipe)
    slack = 1e-6 + case["tolerance"] / 255 / 0.224
    for place, value in case["values"]:
        assert abs(tensor_CHW.flat[place] - value) < slack


@pytest.mark.parametrize("vector", RESIZES, ids=lambda v: f"{v['from']}-{v['to']}-{v['interpolation']}")
def test_resizing_takes_rows_before_columns_whatever_pillow_prefers(vector: dict) -> None:
    width, height = vector["from"]
    state, samples = 1, bytearray()
    for _ in range(width * height * 3):
        state = (1664525 * state + 1013904223) % 2**32
        samples.append(state >> 24)
    noise, (to_width, to_height) = Image.frombytes("RGB", (width, height), bytes(samples)), vector["to"]
    resized = resampled(noise, to_width, to_height, vector["interpolation"])
    assert "sha256:" + hashlib.sha256(resized.tobytes()).hexdigest() == vector["digest"]


def test_normalising_follows_the_closed_form() -> None:
    recipe = CASES["recipes"]["squash"]
    pixels_HWC = np.array([[[0, 128, 255]]], np.uint8)
    expected = [-0.485 / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    assert normalise(pixels_HWC, recipe).ravel().tolist() == pytest.approx(expected, abs=1e-6)


def test_a_picture_that_keeps_its_shape_has_the_grid_of_transformers() -> None:
    from transformers.models.siglip2.image_processing_siglip2 import get_image_size_for_max_num_patches as theirs

    sides = [1, 2, 7, 63, 64, 65, 97, 224, 375, 500, 641, 1023, 4000, 65535]
    for width, height, (patch, most) in product(sides, sides, [(16, 256), (14, 729), (16, 1024), (32, 9), (16, 1)]):
        rows, columns = theirs(height, width, patch, most)
        assert patch_grid(width, height, patch, most) == (columns // patch, rows // patch)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"gamma": 2.2}, "gamma"), ({"interpolation": "nearest"}, "bicubic"), ({"crop": "none"}, "crop")],
)
def test_a_recipe_that_says_something_else_is_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_recipe({**CASES["recipes"]["shortest"], **change})


def test_too_many_pixels_are_refused_before_decoding() -> None:
    with pytest.raises(ValueError, match="97 x 61 pixels; at most 100 are allowed"):
        decode((FOLDER / "images" / "wide.png").read_bytes(), max_pixels=100)
    with pytest.raises(ValueError, match="97 x 61 pixels; at most 200 are allowed"):
        decode((FOLDER / "images" / "wide.jpg").read_bytes(), max_pixels=100, max_photo_pixels=200)


@pytest.mark.parametrize("name", ["wide.jpg", "exif-6.jpg", "lossless.webp"])
def test_a_photo_of_more_pixels_is_halved_and_shows_the_same(name: str) -> None:
    data = (FOLDER / "images" / name).read_bytes()
    whole, half = decode(data), decode(data, max_pixels=100)
    assert half.size == ((whole.width + 1) // 2, (whole.height + 1) // 2)
    again = half.resize(whole.size, Image.Resampling.BICUBIC)
    difference = np.abs(np.asarray(again).astype(int) - np.asarray(whole).astype(int)).mean()
    assert difference < 6


@pytest.mark.parametrize("raised", DAMAGED)
def test_a_damaged_file_is_an_error_of_the_file_whatever_its_decoder_raises(raised: str) -> None:
    with pytest.raises(Exception) as pillows, Image.open(io.BytesIO(DAMAGED[raised])) as image:
        image.load()
    assert type(pillows.value).__name__ == raised
    with pytest.raises(ValueError, match="the file is damaged") as found:
        decode(DAMAGED[raised])
    assert str(pillows.value) in str(found.value)


def test_a_damaged_file_that_pillow_has_opened_is_an_error_of_the_file() -> None:
    opened = Image.open(io.BytesIO(DAMAGED["TypeError"]))
    with pytest.raises(ValueError, match="the file is damaged"):
        preprocess(opened, CASES["recipes"]["squash"])
