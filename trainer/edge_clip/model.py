"""A loaded model: vectors of texts and images, in batches, on the device that it was loaded for.

N texts, M images, E dimensions of the joint space, L the length that vectors are cut to.
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from contracts.types import PreprocessRecipe, Tier
from edge_clip.locate import find_model
from edge_clip.on_device import ImageOnDevice, texts_on_device
from towers.exported_files import read_manifest
from towers.onnx_export import session
from towers.preprocess import UNREADABLE, by_shape, preprocess
from towers.served_text import served_tiers, tokenizer_in

Engine = Literal["onnxruntime", "torch"]
ImageInput = str | Path | bytes | Image.Image
BATCH = 32
SHOWN = 200  # characters of what was taken for a path, in a refusal
IMAGE_URI = re.compile(r"\s*data:image/[^,]{1,100};\s*base64\s*,", re.IGNORECASE)  # as api/core/items/read.ts has it


class Vectors(NamedTuple):
    """Unit vectors, float32: of texts [N, L] and of images [M, L]. Their cosines are `texts @ images.T`."""

    texts: np.ndarray
    images: np.ndarray


def load(
    name: str | Path | None = None,
    *,
    registry: str | Path | None = None,
    device: str | torch.device | None = None,
    engine: Engine | None = None,
) -> "Model":
    """Open a model.

    `name`: a folder with `manifest.json`, or a name in the registry; None: the embedded model. `registry`: a folder or its
    file:// URI; None: $MODEL_REGISTRY, else `registry/` of the repository. `device`: "cuda", "cpu" and so on; None: a GPU where
    torch sees one. `engine`: "onnxruntime" runs the served graphs, on the CPU; "torch" computes the same with the same rounding
    on any device, many texts at a time; None: torch on a GPU, onnxruntime elsewhere.
    """
    place = torch.device(device) if device is not None else torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if engine not in (None, *get_args(Engine)):
        raise ValueError(f"engine may be {' or '.join(get_args(Engine))}, not {engine!r}")
    chosen: Engine = engine or ("onnxruntime" if place.type == "cpu" else "torch")
    if chosen == "onnxruntime" and place.type != "cpu":
        raise ValueError(
            f"engine onnxruntime computes on the CPU here, not on {place}: leave the engine out, or set device to cpu"
        )
    return Model(find_model(name, registry), place, chosen)


class Model:
    """What `load` returns. `folder` holds its files, `manifest` says what they are, `dims` which lengths were trained for."""

    def __init__(self, folder: Path, device: torch.device, engine: Engine) -> None:
        self.folder, self.device, self.engine = folder, device, engine
        self.manifest = read_manifest(folder)
        self.name, self.version = self.manifest["name"], self.manifest["version"]
        self.embed_dim, self.dims = self.manifest["embed_dim"], self.manifest["matryoshka_dims"]
        served = served_tiers(folder, self.manifest)
        if engine == "torch":
            served = texts_on_device(folder, self.manifest, device, served)
        self._texts = served
        self._images: Callable[[np.ndarray], np.ndarray] | None = None  # opened by the first image

    @property
    def tiers(self) -> list[str]:
        """Text tiers of this model, the most exact first."""
        return list(self._texts)

    def embed(
        self,
        texts: Sequence[str] = (),
        images: Sequence[ImageInput] = (),
        *,
        tier: str = "student",
        dimensions: int | None = None,
        batch: int = BATCH,
    ) -> Vectors:
        """Unit vectors of texts and images in one space, as the API gives them.

        An image is a path, the bytes of an image file, or a Pillow image. A text longer than the model reads is cut at its end.
        `tier` chooses the text encoder. `dimensions`: vectors are cut to that length; None: whole. `batch`: how many are
        computed at once. What cannot be embedded raises an error with its place: TypeError, ValueError, or OSError where there is no
        file. Texts, types and paths are looked at before anything is computed.
        """
        length = self.embed_dim if dimensions is None else dimensions
        if not 1 <= length <= self.embed_dim:
            raise ValueError(f"dimensions may be 1 to {self.embed_dim}, not {dimensions}; trained for are {self.dims}")
        if batch < 1:
            raise ValueError(f"batch may be 1 or more, not {batch}")
        if isinstance(texts, str) or isinstance(images, str | bytes | Path | Image.Image):
            raise TypeError("texts and images are lists: write [text] for a single one")
        all_texts, all_images = list(texts), list(images)
        look_at(all_texts, all_images)
        self._refuse_unread(all_texts)
        return Vectors(
            cut(self._embed_texts(all_texts, tier, batch), length),
            cut(self._embed_images(all_images, batch), length),
        )

    def _refuse_unread(self, texts: list[str]) -> None:
        """Refuses the first text of which the tokenizer leaves nothing: invisible characters, or marks alone."""
        # No tokenizer takes all letters and digits away.
        suspects = [number for number, text in enumerate(texts) if not any(map(str.isalnum, text))]
        if not suspects:
            return
        tokens = tokenizer_in(self.folder, self.manifest).tokens([texts[number] for number in suspects])
        for number, ids in zip(suspects, tokens, strict=True):
            if not ids:
                raise ValueError(
                    f"texts[{number}] holds nothing to read (the model reads none of its characters): {texts[number][:SHOWN]!r}"
                )

    def _embed_texts(self, texts: list[str], tier: str, batch: int) -> np.ndarray:
        """Unit vectors [N, E]."""
        if tier not in self._texts:
            raise ValueError(f"{self.name} has no text tier {tier}, but {', '.join(self._texts)}")
        parts = [np.zeros((0, self.embed_dim), np.float32)]
        for start in range(0, len(texts), batch):
            some = texts[start : start + batch]
            vectors_NE = self._texts[cast(Tier, tier)](some)
            # The static tier sums rows of known tokens: of none there is no direction.
            blank = np.flatnonzero(np.abs(vectors_NE).max(1) == 0)
            if len(blank):
                raise ValueError(f"texts[{start + blank[0]}]: the tier {tier} knows no part of {some[blank[0]]!r}")
            parts.append(vectors_NE.astype(np.float32))
        return np.concatenate(parts)

    def _embed_images(self, images: list[ImageInput], batch: int) -> np.ndarray:
        """Unit vectors [M, E]."""
        recipe = self.manifest["image"]["preprocess"]
        parts = [np.zeros((0, self.embed_dim), np.float32)]
        for start in range(0, len(images), batch):
            if self._images is None:
                self._images = self._open_images()
            some = enumerate(images[start : start + batch], start)
            parts.append(by_shape([pixels(number, image, recipe) for number, image in some], self._images))
        return np.concatenate(parts)

    def _open_images(self) -> Callable[[np.ndarray], np.ndarray]:
        """The image tower: pixels [B, 3, H, W] to unit vectors [B, E]."""
        graph = self.folder / self.manifest["image"]["graph"]["file"]["path"]
        if self.engine == "torch":
            return ImageOnDevice(graph, self.device)
        opened = session(graph)
        return lambda pixels_B3HW: np.asarray(opened.run(["embedding"], {"pixels": pixels_B3HW})[0])


def look_at(texts: Sequence[object], images: Sequence[object]) -> None:
    """Refuses, by its place, what can be told without computing anything."""
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{number}] is no text but {text!r}"[:200])
        if not text.strip():
            raise ValueError(f"texts[{number}] holds nothing to read (it is empty or white space)")
        if IMAGE_URI.match(text[:SHOWN]):
            raise ValueError(
                f"texts[{number}] is the data URI of an image: give the bytes in it as an image (base64.b64decode of what follows "
                "the comma)"
            )
    for number, image in enumerate(images):
        if not isinstance(image, str | Path | bytes | Image.Image):
            raise TypeError(
                f"images[{number}] is a {type(image).__name__}: give a path, the bytes of an image file or a Pillow image "
                "(Image.fromarray makes one of an array)"
            )
        if isinstance(image, str) and "://" in image:
            raise ValueError(f"images[{number}]: {image} is a web address: download the image and name the file")
        if isinstance(image, str) and image.startswith("data:"):
            raise ValueError(
                f"images[{number}] is a data URI: give the bytes in it (base64.b64decode of what follows the comma)"
            )
        # Unlike the path's own, no error for a long text.
        if isinstance(image, str | Path) and not os.path.isfile(image):
            shown = str(image) if len(str(image)) <= SHOWN else f"{str(image)[:SHOWN]}…"
            raise FileNotFoundError(f"images[{number}]: there is no file {shown}")


def pixels(number: int, image: ImageInput, recipe: PreprocessRecipe) -> np.ndarray:
    """The image as the tower reads it, [3, H, W]; one that cannot be decoded is an error that names its place."""
    name = f" ({image})" if isinstance(image, str | Path) else ""
    try:
        return preprocess(Path(image).read_bytes() if isinstance(image, str | Path) else image, recipe)
    except UnidentifiedImageError as error:
        raise ValueError(f"images[{number}]{name} is no image, or in a format that cannot be read") from error
    except UNREADABLE as error:
        raise ValueError(f"images[{number}]{name} cannot be decoded: {error}") from error


def cut(vectors_NE: np.ndarray, length: int) -> np.ndarray:
    """The first numbers at unit length, [N, L]."""
    if length == vectors_NE.shape[1]:
        return vectors_NE
    first_NL = vectors_NE[:, :length].astype(np.float64)
    return (first_NL / np.linalg.norm(first_NL, axis=1, keepdims=True)).astype(np.float32)
