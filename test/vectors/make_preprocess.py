"""Makes the preprocessing vectors from drawn images: `python test/vectors/make_preprocess.py` (needs the trainer's Pillow).

cases.json: image file, recipe, the sha256 of the uint8 [height, width, 3] result, its PNG, some normalised values, and
`tolerance` in levels: 0 where every decoder must agree (lossless files), 2 where decoders may differ (JPEG and AVIF).
resize.json: sizes, and the sha256 of Pillow's filters (rows before columns) on noise from a generator that both languages have.
"""

import hashlib
import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "contracts/vectors/preprocess"
sys.path[:0] = [str(ROOT / "trainer"), str(ROOT / "contracts" / "python")]
from towers.preprocess import FILTERS, decode, normalise, preprocess, resampled, resize  # noqa: E402 - found by the line above

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
SHARED = {"interpolation": "bicubic", "color": "rgb", "mean": MEAN, "std": STD}
RECIPES = {
    "squash": {"resize_mode": "squash", "size": 32, "crop": "none", **SHARED},
    "shortest": {"resize_mode": "shortest", "size": 33, "crop": "center", **SHARED},
    "longest": {"resize_mode": "longest", "size": 32, "crop": "none", **SHARED},
    "bilinear": {"resize_mode": "shortest", "size": 33, "crop": "center", **SHARED, "interpolation": "bilinear"},
    "patches": {
        "resize_mode": "patches",
        "size": 32,
        "patch": 4,
        "crop": "none",
        **SHARED,
        "interpolation": "bilinear",
    },
}


def drawing(width: int, height: int) -> Image.Image:
    """Gradients, a disc, bars and a line: every orientation of it looks different."""
    y_HW, x_HW = np.mgrid[0:height, 0:width]
    red_HW = 255 * x_HW / max(1, width - 1)
    green_HW = 255 * y_HW / max(1, height - 1)
    blue_HW = 128 + 100 * np.sin(x_HW / 7 + y_HW / 11)
    image = Image.fromarray(np.dstack([red_HW, green_HW, blue_HW]).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.ellipse((width * 0.1, height * 0.15, width * 0.4, height * 0.6), fill=(250, 240, 20))
    draw.rectangle((width * 0.6, height * 0.7, width * 0.95, height * 0.8), fill=(10, 20, 200))
    draw.line((0, height - 1, width * 0.5, height * 0.5), fill=(0, 0, 0), width=2)
    return image


def png_16_bit(samples_HWC: np.ndarray, color_type: int) -> bytes:
    """Pillow writes no 16-bit colour, so the file is put together here."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width = samples_HWC.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples_HWC)
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def write_images(folder: Path) -> list[str]:
    wide, tall = drawing(97, 61), drawing(43, 89)
    alpha_HW = np.linspace(0, 255, 97 * 61).reshape(61, 97).astype(np.uint8)
    see_through = Image.fromarray(np.dstack([np.asarray(wide), alpha_HW]))
    palette = wide.convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
    noise_HWC = np.random.default_rng(5).integers(0, 65536, (19, 23, 4))
    files = {
        "wide.png": (wide, {}), "tall.png": (tall, {}), "tiny.png": (drawing(5, 3), {}),
        "column.png": (drawing(1, 57), {}), "row.png": (drawing(71, 1), {}), "dot.png": (drawing(1, 1), {}),
        "grey.png": (wide.convert("L"), {}), "black-and-white.png": (wide.convert("1"), {}),
        "alpha.png": (see_through, {}), "grey-alpha.png": (see_through.convert("LA"), {}),
        "palette.png": (palette, {}), "palette-transparent.png": (palette, {"transparency": 3}),
        "wide.gif": (palette, {}), "transparent.gif": (palette, {"transparency": 3}),
        "lossless.webp": (wide, {"lossless": True}), "alpha.webp": (see_through, {"lossless": True}),
        "lossy.webp": (wide, {"quality": 80}),
        "wide.jpg": (wide, {"quality": 90}), "tall.jpg": (tall, {"quality": 90, "subsampling": 0}),
        "progressive.jpg": (wide, {"progressive": True}), "grey.jpg": (wide.convert("L"), {}),
        "column.jpg": (drawing(1, 57), {}), "cmyk.jpg": (wide.convert("CMYK"), {"quality": 95}),
        "wide.avif": (wide, {"quality": 90, "subsampling": "4:4:4"}),
    }  # fmt: skip
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        files[f"exif-{orientation}.png"] = (wide, {"exif": exif})
        files[f"exif-{orientation}.jpg"] = (wide, {"exif": exif, "quality": 85})
    files["exif-6.webp"] = (wide, {"lossless": True, "exif": files["exif-6.png"][1]["exif"]})
    for name, (image, options) in files.items():
        image.save(folder / name, optimize=True, **options)
    frames = [palette, palette.transpose(Image.Transpose.ROTATE_180)]
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
    (folder / "deep-grey.png").write_bytes(png_16_bit(noise_HWC[..., :1], 0))
    (folder / "deep-rgb.png").write_bytes(png_16_bit(noise_HWC[..., :3], 2))
    (folder / "deep-alpha.png").write_bytes(png_16_bit(noise_HWC, 6))
    return sorted(path.name for path in folder.iterdir())


def case(image: str, recipe: str) -> dict:
    data = (VECTORS / "images" / image).read_bytes()
    pixels_HWC = resize(decode(data), RECIPES[recipe])
    expected = f"expected/{image.replace('.', '-')}-{recipe}.png"
    Image.fromarray(pixels_HWC).save(VECTORS / expected, optimize=True)
    tensor_CHW = normalise(pixels_HWC, RECIPES[recipe])
    assert np.array_equal(tensor_CHW, preprocess(data, RECIPES[recipe]))
    places = np.linspace(0, tensor_CHW.size - 1, 7).astype(int)
    return {
        "image": f"images/{image}",
        "recipe": recipe,
        "tolerance": 2 if image.endswith((".jpg", ".avif")) or image == "lossy.webp" else 0,
        "expected": expected,
        "digest": "sha256:" + hashlib.sha256(pixels_HWC.tobytes()).hexdigest(),
        "values": [[int(place), float(tensor_CHW.flat[place])] for place in places],
    }


def noise(width: int, height: int) -> Image.Image:
    """The upper bytes of the generator s = 1664525 s + 1013904223 mod 2^32, from s = 1."""
    state, samples = 1, bytearray()
    for _ in range(width * height * 3):
        state = (1664525 * state + 1013904223) % 2**32
        samples.append(state >> 24)
    return Image.frombytes("RGB", (width, height), bytes(samples))


SIDES = [(1, 1), (1, 17), (17, 1), (2, 3), (13, 7), (31, 53), (97, 61), (128, 64), (211, 5)]
# From and to: as long as a file may be, many rows, much smaller and much larger, and the sizes of photographs and towers.
LONG_WAYS = [
    ((65535, 1), (7, 3)),
    ((1, 65535), (3, 7)),
    ((1, 4001), (224, 224)),
    ((4001, 1), (224, 224)),
    ((3, 2), (384, 257)),
    ((500, 375), (224, 224)),
    ((333, 501), (256, 385)),
    ((641, 427), (1, 1)),
]


def resize_vectors() -> list[dict]:
    ways = [
        ((width, height), to)
        for width, height in SIDES
        for to in [(1, 1), (1, 9), (16, 16), (17, 31), (61, 97), (224, 3), (width, 8), (40, height)]
    ]
    vectors = []
    for size, to in ways + LONG_WAYS:
        source = noise(*size)
        for interpolation in FILTERS:
            digest = "sha256:" + hashlib.sha256(resampled(source, *to, interpolation).tobytes()).hexdigest()
            vectors.append({"from": [*size], "to": [*to], "interpolation": interpolation, "digest": digest})
    return vectors


def main() -> None:
    for folder in ("images", "expected"):
        (VECTORS / folder).mkdir(exist_ok=True)
        for old in (VECTORS / folder).iterdir():
            old.unlink()
    images = write_images(VECTORS / "images")
    chosen = {
        "wide.png",
        "tall.png",
        "tiny.png",
        "column.png",
        "row.png",
        "dot.png",
        "exif-6.png",
        "alpha.png",
        "wide.jpg",
    }
    cases = [case(image, recipe) for image in images for recipe in RECIPES if recipe == "shortest" or image in chosen]
    documents = {
        "cases.json": {"recipes": RECIPES, "cases": cases},
        "resize.json": {"vectors": resize_vectors()},
    }
    for name, document in documents.items():
        (VECTORS / name).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
