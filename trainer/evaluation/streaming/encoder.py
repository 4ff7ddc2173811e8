"""One tier of a model over sets of any size: pictures are read by threads while the batch before is computed.

Shapes: B images, S pixels a side, N texts, E dimensions.
"""

from collections.abc import Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np

from engine.world import ALONE_ON_CPU, World
from evaluation.bench import Model, TextTier
from evaluation.layouts.files import WrongLayout
from evaluation.layouts.items import Picture
from evaluation.progress import Progress
from evaluation.streaming.ranks import Place
from evaluation.streaming.rows import Rows, Source, digest_of, numbered, stored_rows
from towers.preprocess import UNREADABLE, by_shape

DTYPES: dict[str, type[np.floating]] = {"float16": np.float16, "float32": np.float32}


@dataclass(frozen=True)
class Settings:
    """Where vectors are kept, as what, and how many items are computed at once."""

    folder: Path
    dtype: str = "float16"
    images_at_once: int = 64
    texts_at_once: int = 64
    threads: int = 4
    world: World = ALONE_ON_CPU
    progress: Progress = field(default_factory=Progress)
    sample: int | None = None  # so many pictures and texts are ranked, each among all; None: all of them

    @property
    def place(self) -> Place:
        """Where ranks are computed."""
        return Place(self.world, self.progress)


@dataclass(frozen=True)
class Encoder:
    """A model with one of its tiers; vectors computed before are not computed again."""

    model: Model
    tier: TextTier
    settings: Settings
    label: str = ""

    def begin(self, part: str) -> None:
        """A part of the suite, of several that its row counts, begins."""
        self.settings.progress.begin(f"{self.label}, {part}")

    def pictures(self, pictures: Sequence[Picture]) -> Rows:
        """Unit vectors [I, E]."""
        identities = (picture.identity() for picture in pictures)
        return self._stored(self.model.space, identities, Seeing(self.model, self.settings, pictures))

    def texts(self, texts: Sequence[str]) -> Rows:
        """Unit vectors [N, E]; equal texts are computed once."""
        different, index = numbered(texts)
        rows = self._stored(self.tier.key, different, Reading(self.tier, self.settings, different))
        return Rows(rows.folder, rows.count, index)

    def _stored(self, by: str, items: Iterable[str], source: "Counting") -> Rows:
        folder, dtype = self.settings.folder, self.settings.dtype
        name = digest_of(chain([dtype, by], items))
        return stored_rows(folder / name, len(source), DTYPES[dtype], source, self.settings.world)


class Counting(Source, Sized, Protocol):
    """A source that knows how many rows it has."""


class Counted:
    """Tells how much of this process's work is done."""

    what = ""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.total = self.done = 0

    def begin(self, count: int) -> None:
        """So many are to be computed here."""
        self.total = count

    def tick(self, count: int) -> None:
        """So many more are done."""
        self.done += count
        self.settings.progress.tick(self.done, self.total, self.what)


class Reading(Counted):
    """Vectors of texts."""

    what = "texts"

    def __init__(self, tier: TextTier, settings: Settings, texts: Sequence[str]) -> None:
        super().__init__(settings)
        self.tier, self.texts = tier, texts

    def __len__(self) -> int:
        """How many there are."""
        return len(self.texts)

    def compute(self, start: int, end: int) -> np.ndarray:
        """[end - start, E]."""
        parts, step = [], self.settings.texts_at_once
        for at in range(start, end, step):
            parts.append(self.tier.embed(self.texts[at : min(at + step, end)]))
            self.tick(len(parts[-1]))
        return np.concatenate(parts)


class Seeing(Counted):
    """Vectors of pictures; the next batch is read and brought to size by threads while one is computed."""

    what = "pictures"

    def __init__(self, model: Model, settings: Settings, pictures: Sequence[Picture]) -> None:
        super().__init__(settings)
        self.model, self.all = model, pictures

    def __len__(self) -> int:
        """How many there are."""
        return len(self.all)

    def compute(self, start: int, end: int) -> np.ndarray:
        """[end - start, E]."""
        parts = []
        with ThreadPoolExecutor(self.settings.threads) as threads:
            for some in self._batches(self.all[start:end], threads):
                parts.append(by_shape(some, self.model.embed_pixels))
                self.tick(len(parts[-1]))
        return np.concatenate(parts)

    def _batches(self, pictures: Sequence[Picture], threads: ThreadPoolExecutor) -> Iterator[list[np.ndarray]]:
        """float32 [3, H, W] of each picture."""
        step = self.settings.images_at_once
        waiting: list[Future[np.ndarray]] = [threads.submit(self._pixels, picture) for picture in pictures[:step]]
        for start in range(step, len(pictures) + step, step):
            following = [threads.submit(self._pixels, picture) for picture in pictures[start : start + step]]
            yield [future.result() for future in waiting]
            waiting = following

    def _pixels(self, picture: Picture) -> np.ndarray:
        """float32 [3, H, W]."""
        try:
            return self.model.pixels(picture.read())
        except UNREADABLE as error:
            raise WrongLayout(f"{picture.file} is no picture that can be read: {error}") from None
