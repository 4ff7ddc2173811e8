"""Pictures for training: the pixels that serving sees, and crops that are the same however much smaller a JPEG is decoded."""

import io
import struct

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from torch._subclasses import FakeTensorMode

from data.image import CropOptions, crop_pixels, normalised, whole_pixels
from towers.crops import random_crop
from towers.preprocess import decode, resize
from towers.shards import ImageLimits, stored_image

SQUASH = {"resize_mode": "squash", "size": 32, "interpolation": "bicubic", "crop": "none",
          "mean": [0.5] * 3, "std": [0.5] * 3, "color": "rgb"}  # fmt: skip
SHORTEST = {**SQUASH, "resize_mode": "shortest", "crop": "center"}
LONGEST = {**SQUASH, "resize_mode": "longest"}


def waves(width, height):
    """Colours that change slowly, and differently along both sides."""
    y, x = np.mgrid[0:height, 0:width]
    phases = (x / width + 0.3, 0.8 * y / height + x / width, (x / width + y / height) / 2)
    return Image.fromarray(np.stack([127 + 120 * np.sin(2 * phase) for phase in phases], axis=-1).astype(np.uint8))


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def same(one, other):
    return np.array_equal(np.asarray(one), np.asarray(other))


def sideways():
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(waves(500, 320), "JPEG", quality=95, exif=exif)


RESOLUTION_UNIT, DESCRIPTION, X_RESOLUTION, TURN, XMP = 0x0128, 0x010E, 0x011A, 0x0112, 0x02BC
SHORT, RATIONAL, TEXT, FLOAT, BYTES = 3, 5, 2, 11, 7


def tags(*entries):
    """EXIF's block of (tag, type, count, bytes of the value), written here: no library writes what is malformed."""
    table, rest = struct.pack("<H", len(entries)), b""
    for tag, kind, count, value in sorted(entries):
        outside = len(value) > 4
        place = struct.pack("<I", 8 + 2 + 12 * len(entries) + 4 + len(rest)) if outside else value.ljust(4, b"\0")
        table, rest = table + struct.pack("<HHI", tag, kind, count) + place, rest + (value if outside else b"")
    return b"II*\0" + struct.pack("<I", 8) + table + bytes(4) + rest


def turned(kind=SHORT, value=b"\6\0"):
    return TURN, kind, 1, value


def transparent():
    image = waves(90, 70).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return encoded(image, "PNG")


def sixteen_bits():
    samples_HW = (np.linspace(0, 40_000, 60)[None] + np.linspace(0, 20_000, 50)[:, None]).astype(np.uint16)
    return encoded(Image.fromarray(samples_HW), "PNG")


PICTURES = {"jpeg": lambda: encoded(waves(400, 300), "JPEG", quality=95), "sideways": sideways,
            "transparent": transparent, "16 bits": sixteen_bits,
            "grey": lambda: encoded(waves(300, 300).convert("L"), "JPEG", quality=95)}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("recipe", [SQUASH, SHORTEST, LONGEST], ids=["squash", "shortest", "longest"])
def test_whole_images_and_exact_crops_have_the_pixels_of_preprocess(name, recipe):
    data = PICTURES[name]()
    assert np.array_equal(whole_pixels(data, recipe), resize(decode(data), recipe).transpose(2, 0, 1))
    for seed in ("a", "b"):
        crop = random_crop(decode(data), (0.4, 1.0), seed, flip=True)
        made = crop_pixels(data, recipe, CropOptions((0.4, 1.0), flip=True), seed)
        assert made.dtype == np.uint8 and np.array_equal(made, resize(crop, recipe).transpose(2, 0, 1))


@pytest.mark.parametrize("name", PICTURES)
def test_what_preparation_stores_is_the_picture_that_serving_sees(name):
    data = PICTURES[name]()
    served = decode(data)
    stored, reason = stored_image(data, ImageLimits(max_side=1000, min_side=8, max_pixels=10**6))
    assert stored is not None and reason == ""
    assert np.abs(np.asarray(decode(stored)).astype(int) - np.asarray(served)).mean() < 2
    # Shrunk it is the same picture, in fewer pixels.
    stored, _ = stored_image(data, ImageLimits(max_side=48, min_side=8, max_pixels=10**6))
    assert stored is not None and max(decode(stored).size) == 48
    small, expected = (resize(decode(picture), SQUASH).astype(int) for picture in (stored, data))
    assert np.abs(small - expected).mean() < 4


# What the API makes of each (sharp 0.35): turned as a sound tag says, or as it is.
ODD_TAGS = {
    "a unit that is a fraction": (tags(turned(), (RESOLUTION_UNIT, RATIONAL, 1, struct.pack("<II", 2, 1))), 6),
    "a description that is a number": (tags(turned(), (DESCRIPTION, FLOAT, 1, struct.pack("<f", 1.5))), 6),
    "a resolution that is text": (tags(turned(), (X_RESOLUTION, TEXT, 3, b"72\0")), 6),
    "a turn that is a fraction": (tags(turned(RATIONAL, struct.pack("<II", 6, 1))), 6),
    "a turn that is text": (tags(turned(TEXT, b"6\0"), (RESOLUTION_UNIT, RATIONAL, 1, struct.pack("<II", 2, 1))), 1),
    "a turn that is bytes": (tags(turned(BYTES, b"\6")), 1),
    "a turn with a point": (tags(turned(FLOAT, struct.pack("<f", 6))), 1),
    "no ninth turn": (tags(turned(SHORT, struct.pack("<H", 9))), 1),
    "tags that are cut off": (b"II*\0\x08", 1),
    "no tags at all": (b"junk of somebody", 1),
}


@pytest.mark.parametrize("name", ODD_TAGS)
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_a_malformed_tag_costs_no_picture(kind, name):
    block, turn = ODD_TAGS[name]
    data = encoded(waves(500, 320), kind, exif=b"Exif\0\0" + block)
    sound = encoded(waves(500, 320), kind, exif=b"Exif\0\0" + tags(turned(value=struct.pack("<H", turn))))
    assert same(decode(data), decode(sound))
    assert decode(data).size == ((320, 500) if turn == 6 else (500, 320))
    for side in (1000, 100):
        stored, expected = (stored_image(picture, ImageLimits(side, 8, 10**6))[0] for picture in (data, sound))
        assert stored is not None and expected is not None and same(decode(stored), decode(expected))
    for options in (CropOptions((0.4, 1.0)), CropOptions((0.4, 1.0), reduced=True)):
        made, expected = (crop_pixels(picture, SQUASH, options, "seed") for picture in (data, sound))
        assert np.array_equal(made, expected)


@pytest.mark.parametrize("turn", range(10))
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG", "TIFF"])
def test_every_turn_is_that_of_pillow(kind, turn):
    exif = Image.Exif()
    exif[TURN] = turn
    data = encoded(waves(50, 32), kind, exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        assert same(decode(data), ImageOps.exif_transpose(image))


def test_a_picture_at_which_a_decoder_fails_in_its_own_way_is_left_out():
    avif, limits = bytearray(encoded(waves(64, 48), "AVIF")), ImageLimits(32, 8, 10**6)
    assert stored_image(bytes(avif), limits)[1] == ""
    avif[avif.index(b"mdat") + 4 :] = bytes(len(avif) - avif.index(b"mdat") - 4)
    info = ImageFileDirectory_v2()
    info[XMP], info.tagtype[XMP] = 6, SHORT
    for broken in (bytes(avif), encoded(waves(64, 48), "TIFF", tiffinfo=info)):
        stored, reason = stored_image(broken, limits)
        assert stored is None and reason.startswith("broken image: ")


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("recipe", [SQUASH, SHORTEST], ids=["squash", "shortest"])
def test_a_crop_of_a_jpeg_that_is_decoded_smaller_shows_the_same_part(name, recipe):
    data = PICTURES[name]()
    for seed in map(str, range(8)):
        exact, reduced = (
            crop_pixels(data, recipe, CropOptions((0.3, 1.0), flip=True, reduced=reduced), seed).astype(int)
            for reduced in (False, True)
        )
        # Half a pixel's way is about two levels here, the mirror image more than five.
        assert np.abs(exact - reduced).mean() < 2.5
        assert np.abs(exact - exact[:, :, ::-1]).mean() > 5


@pytest.mark.parametrize(("side", "decoded"), [(32, 32), (63, 63), (128, 64), (256, 64), (400, 50)])
def test_a_jpeg_is_decoded_smaller_as_long_as_the_crop_stays_larger_than_the_input(monkeypatch, side, decoded):
    sizes = []
    monkeypatch.setattr("data.image.to_rgb", lambda image: sizes.append(image.size) or image.convert("RGB"))
    # The whole image, cut to 3:4 at most: the shorter side is between 0.86 and 1 of it, and the input has 32 pixels.
    crop_pixels(encoded(waves(side, side), "JPEG"), SQUASH, CropOptions((1.0, 1.0), reduced=True), "seed")
    assert sizes == [(decoded, decoded)]


def test_bytes_are_normalised_on_the_device_they_are_meant_for():
    with FakeTensorMode():
        pixels = torch.empty(4, 3, 32, 32, dtype=torch.uint8)
        found = normalised(pixels, SQUASH, torch.device("cuda", 0), torch.bfloat16)
    assert (found.device.type, found.dtype, found.shape) == ("cuda", torch.bfloat16, (4, 3, 32, 32))
    # Every level of a byte, against the closed form in float64.
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    recipe = {**SQUASH, "mean": [0.48, 0.45, 0.4], "std": [0.27, 0.26, 0.28]}
    for channel in range(3):
        expected = (np.arange(256) / 255 - recipe["mean"][channel]) / recipe["std"][channel]
        made = normalised(levels, recipe, torch.device("cpu"))[0, channel].flatten().double().numpy()
        assert np.abs(made - expected).max() < 5e-7
