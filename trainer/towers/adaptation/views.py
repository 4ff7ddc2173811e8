"""What the frozen part of the image tower says of every image and of some crops, kept so that it runs once.

V views of an image: the whole, prepared as it is served, then random crops.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

from contracts.types import PreprocessRecipe
from towers.adaptation.own_data import Picture
from towers.from_model import INPUT
from towers.preprocess import decode, preprocess

AT_ONCE = 4  # images in one run of the graph
ASPECTS = (3 / 4, 4 / 3)  # of a crop, as in Inception's random resized crop


class Views:
    """A file of float16 [N, V, *shape of the tensor at the cut]; `done` images are written."""

    def __init__(self, file: Path, images: int, views: int, shape: Sequence[int], done: int = 0) -> None:
        self.file, self.done = file, done
        size = (images, views, *shape)
        if done and file.exists():
            self.rows = np.lib.format.open_memmap(file, "r+")
            if self.rows.shape != size:
                raise ValueError(f"{file} holds {self.rows.shape}, not {size}")
        else:
            self.done = 0
            self.rows = np.lib.format.open_memmap(file, "w+", np.float16, size)

    def fill(self, pictures: Sequence[Picture], camera: "Camera", seed: int, on_images: Callable[[int], None]) -> None:
        """Write what is missing; equal seeds give equal crops, wherever it was interrupted."""
        for start in range(self.done, len(pictures), AT_ONCE):
            several = pictures[start : start + AT_ONCE]
            pixels = [
                view
                for number, picture in enumerate(several, start)
                for view in camera.views(picture, self.rows.shape[1], np.random.default_rng((seed, number)))
            ]
            values = camera.look(np.stack(pixels))
            self.rows[start : start + len(several)] = values.reshape(len(several), *self.rows.shape[1:])
            self.done = start + len(several)
            on_images(self.done)

    def close(self) -> None:
        """Remove the file: it is large and can be made again."""
        del self.rows
        self.file.unlink(missing_ok=True)


@dataclass(frozen=True)
class Camera:
    """Makes views of an image and runs the frozen part of the tower on them."""

    session: onnxruntime.InferenceSession
    recipe: PreprocessRecipe
    crop_scale: Sequence[float]

    def views(self, picture: Picture, count: int, rng: np.random.Generator) -> list[np.ndarray]:
        """The whole image, then random crops: pixels [3, S, S] each."""
        data = picture.load()
        pixels = [preprocess(data, self.recipe)]
        if count > 1:
            image = decode(data)
            pixels += [preprocess(random_crop(image, rng, self.crop_scale), self.recipe) for _ in range(count - 1)]
        return pixels

    def look(self, pixels_BCSS: np.ndarray) -> np.ndarray:
        """The tensor at the cut."""
        return np.asarray(self.session.run(None, {INPUT: pixels_BCSS})[0])


def random_crop(image: Image.Image, rng: np.random.Generator, scale: Sequence[float]) -> Image.Image:
    """A part of the area within `scale`, of a random aspect, mirrored half of the time."""
    area, crop = image.width * image.height, (0, 0, image.width, image.height)
    for _ in range(10):
        size = area * rng.uniform(scale[0], scale[1])
        aspect = float(np.exp(rng.uniform(np.log(ASPECTS[0]), np.log(ASPECTS[1]))))
        width, height = round((size * aspect) ** 0.5), round((size / aspect) ** 0.5)
        if 0 < width <= image.width and 0 < height <= image.height:
            left, top = (int(rng.integers(0, n + 1)) for n in (image.width - width, image.height - height))
            crop = (left, top, left + width, top + height)
            break
    part = image.crop(crop)
    return ImageOps.mirror(part) if rng.random() < 0.5 else part
