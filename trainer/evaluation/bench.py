"""What a dev set is given: rows of the data folder, and vectors of texts and photos by one tier of a model.

Shapes: N texts, C classes, I images, E dimensions, S pixels a side.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from contracts.types import ModelManifestQuantisation
from engine.folders.files import digest_of_file
from evaluation.cache import VectorCache
from evaluation.progress import Progress
from towers.data import Row, read_images, read_rows
from towers.preprocess import by_shape, pixels_of

Figures = dict[str, float]
TEXTS_AT_ONCE = 64
TEXTS_KEPT = 512  # whose features are kept together: what a stop loses, at most
IMAGES_AT_ONCE = 16


class TextTier(Protocol):
    """One way to embed texts."""

    @property
    def key(self) -> str:
        """Digest of everything that decides a text's vector."""
        ...

    def embed(self, texts: Sequence[str], /) -> np.ndarray:
        """Unit vectors [N, E], or zeros where a text has no meaning to it."""
        ...


@runtime_checkable
class OverFeatures(Protocol):
    """A tier whose vectors are a quick function of slow features, which other models share: runs of other seeds, for instance."""

    @property
    def features_key(self) -> str:
        """Digest of everything that decides a text's features."""
        ...

    def features(self, texts: Sequence[str], /) -> np.ndarray:
        """float32 [N, D]."""
        ...

    def of_features(self, features_ND: np.ndarray, /) -> np.ndarray:
        """Unit vectors [N, E]."""
        ...


@runtime_checkable
class Judging(Protocol):
    """A tier that may say of a search of images that nothing matches."""

    def called_absent(self, texts: Sequence[str], top_N: np.ndarray, count: int, /) -> np.ndarray | None:
        """Of every text by the cosine of its best hit among `count` images; None where the model has no verdict."""
        ...


class Model(Protocol):
    """A space of images, and tiers that embed texts into it."""

    @property
    def title(self) -> str:
        """What people call it."""
        ...

    @property
    def space(self) -> str:
        """Digest of everything that decides an image's vector."""
        ...

    @property
    def dims(self) -> Sequence[int]:
        """Lengths that vectors may be cut to, the full one first."""
        ...

    @property
    def quantisation(self) -> ModelManifestQuantisation:
        """How its vectors are written as int8 and bits."""
        ...

    @property
    def tiers(self) -> Mapping[str, TextTier]:
        """By name, the main one first."""
        ...

    def pixels(self, image: bytes | Image.Image, /) -> np.ndarray:
        """float32 [3, H, W] of an image file's bytes, or of a Pillow image."""
        ...

    def embed_pixels(self, pixels_B3HW: np.ndarray, /) -> np.ndarray:
        """Unit vectors [B, E]."""
        ...


@dataclass
class Place:
    """Where a measurement happens: the data folder, vectors computed before, and who is told how far it is."""

    data: Path
    cache: VectorCache = field(default_factory=VectorCache)
    progress: Progress = field(default_factory=Progress)
    digests: dict[Path, str] = field(default_factory=dict)

    def digest(self, file: Path) -> str:
        """Of a file of the data folder; computed once, though many sets and tiers read the same photos."""
        if file not in self.digests:
            self.digests[file] = digest_of_file(file)
        return self.digests[file]


@dataclass
class Bench:
    """One tier of a model at a place."""

    model: Model
    tier: TextTier
    place: Place

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.place.data

    def rows(self, path: str) -> list[Row]:
        """All rows of a `.jsonl` or `.jsonl.gz` file of the data folder."""
        return read_rows(self.data / path)

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Unit vectors [N, E]; equal texts are computed once."""
        different = list(dict.fromkeys(texts))
        vectors_NE = self.place.cache.vectors([self.tier.key, *different], lambda: self._embed(different))
        row_of = {text: number for number, text in enumerate(different)}
        return torch.from_numpy(vectors_NE[[row_of[text] for text in texts]])

    def classes(self, prompts: Sequence[Sequence[str]]) -> torch.Tensor:
        """Unit vectors [C, E]: the mean of each class's prompts."""
        flat = [prompt for of_class in prompts for prompt in of_class]
        ends = np.cumsum([len(of_class) for of_class in prompts])

        def compute() -> np.ndarray:
            vectors_NE = self._embed(flat)
            return np.stack([part.mean(0) for part in np.split(vectors_NE, ends[:-1])])

        parts = [self.tier.key, "classes", *(str(end) for end in ends), *flat]
        return F.normalize(torch.from_numpy(self.place.cache.vectors(parts, compute)), dim=-1)

    def photos(self, shard: str, rows: Sequence[Row]) -> torch.Tensor:
        """Unit vectors [I, E] of `KEY.jpg` of every row, all in one tar file of the data folder."""
        file = self.data / shard
        placed = [{"key": row["key"], "shard": file.name} for row in rows]
        parts = [self.model.space, self.place.digest(file), *(row["key"] for row in placed)]
        return torch.from_numpy(self.place.cache.vectors(parts, lambda: self._see(file.parent, placed)))

    def _embed(self, texts: Sequence[str]) -> np.ndarray:
        tier = self.tier
        if not isinstance(tier, OverFeatures):
            return self._in_parts(texts, tier.embed)
        kept = []
        for start in range(0, len(texts), TEXTS_KEPT):
            some = texts[start : start + TEXTS_KEPT]
            compute = partial(self._in_parts, some, tier.features, before=start, of=len(texts))
            kept.append(self.place.cache.vectors([tier.features_key, "features", *some], compute))
        return tier.of_features(np.concatenate(kept))

    def _in_parts(
        self, texts: Sequence[str], embed: Callable[[Sequence[str]], np.ndarray], before: int = 0, of: int | None = None
    ) -> np.ndarray:
        parts = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            parts.append(embed(texts[start : start + TEXTS_AT_ONCE]))
            done = before + min(start + TEXTS_AT_ONCE, len(texts))
            self.place.progress.tick(done, of or len(texts), "texts")
        return np.concatenate(parts).astype(np.float32)

    def _see(self, folder: Path, rows: list[Row]) -> np.ndarray:
        parts, done = [], 0
        images = iter(read_images(folder, rows))
        while batch := list(islice(images, IMAGES_AT_ONCE)):
            pictures = [pixels_of(key, data, self.model.pixels) for key, data in batch]
            parts.append(by_shape(pictures, self.model.embed_pixels))
            done += len(batch)
            self.place.progress.tick(done, len(rows), "photos")
        return np.concatenate(parts).astype(np.float32)
