"""Makes the playground's sample photos from what scientific Python packages carry; sources and terms: CREDITS.txt.

Run: pip download --no-deps -d wheels scikit-image==0.26.0 scikit-learn==1.7.2 scipy==1.9.3, then python make.py wheels
(needs NumPy and Pillow; the photos are committed).
"""

import bz2
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

LONGEST_SIDE = 360
HERE = Path(__file__).parent
PHOTOS = {
    "astronaut": "skimage/data/astronaut.png",
    "cat": "skimage/data/chelsea.png",
    "coffee": "skimage/data/coffee.png",
    "flower": "sklearn/datasets/images/flower.jpg",
    "galaxies": "skimage/data/hubble_deep_field.jpg",
    "rocket": "skimage/data/rocket.jpg",
    "temple": "sklearn/datasets/images/china.jpg",
}
RACCOON = "scipy/misc/face.dat"  # 768 x 1024 RGB, bzip2


def main() -> None:
    """Write the samples."""
    files = {}
    for wheel in Path(sys.argv[1]).glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            wanted = {*PHOTOS.values(), RACCOON} & set(archive.namelist())
            files |= {name: archive.read(name) for name in wanted}
    images = {name: Image.open(io.BytesIO(files[path])) for name, path in PHOTOS.items()}
    raccoon = np.frombuffer(bz2.decompress(files[RACCOON]), np.uint8)
    images["raccoon"] = Image.fromarray(raccoon.reshape(768, 1024, 3))
    for name, image in images.items():
        small = image.convert("RGB")
        small.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
        small.save(HERE / f"{name}.jpg", quality=82, optimize=True)


if __name__ == "__main__":
    main()
