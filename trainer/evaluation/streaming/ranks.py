"""Exact ranks of retrieval without the whole matrix of similarities: tile by tile, ties against the model.

Shapes: I images, N texts (or candidates and queries of any other kind), E dimensions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from engine.world import World
from evaluation.progress import Progress
from evaluation.streaming.rows import Rows

# A tile of float32 takes 64 MiB; few tall tiles read the other side from the disk's cache less often.
TILE_IMAGES = 8192
TILE_TEXTS = 2048
Asked = Literal["both", "images", "texts"]


@dataclass(frozen=True)
class Ranks:
    """0-based ranks as of `towers.metrics.retrieval_ranks`, and what came first.

    Of each image that of its best text and the best text of all; of each text that of its image and the best image of all.
    """

    of_image_I: np.ndarray
    of_text_N: np.ndarray
    first_text_I: np.ndarray
    first_image_N: np.ndarray


@dataclass(frozen=True)
class Tiling:
    """Both sides, the image of every text [N], and the sizes of a tile. `own`: the images of this process."""

    images: Rows
    texts: Rows
    image_of_N: np.ndarray
    own: range
    device: torch.device
    tile_images: int
    tile_texts: int

    def tiles(self, *, only_pairs: bool, progress: Progress | None = None) -> Iterator["Tile"]:
        """All tiles of this process, or those alone in which a text meets its own image; a tile's scores are there until the next one.

        They lie in one piece of memory: among new ones of their size the allocator leaves gaps, which grew to a gigabyte in a million.
        """
        memory = torch.empty(self.tile_images * self.tile_texts)
        spans = list(spans_of(range(len(self.texts)), self.tile_texts))
        total, done = -(-len(self.own) // self.tile_images) * len(spans), 0
        for rows in spans_of(self.own, self.tile_images):
            images_IE = torch.from_numpy(self.images.part(rows.start, rows.stop)).to(self.device)
            for columns in spans:
                image_of_N = torch.from_numpy(self.image_of_N[columns.start : columns.stop])
                has_pairs = bool(((image_of_N >= rows.start) & (image_of_N < rows.stop)).any())
                if has_pairs or not only_pairs:
                    texts_NE = torch.from_numpy(self.texts.part(columns.start, columns.stop)).to(self.device)
                    scores_IN = memory[: len(rows) * len(columns)].view(len(rows), len(columns))
                    if self.device.type == "cpu":
                        torch.mm(images_IE, texts_NE.T, out=scores_IN)
                    else:
                        scores_IN.copy_(images_IE @ texts_NE.T)
                    yield Tile(rows, columns, scores_IN, image_of_N - rows.start, has_pairs)
                done += 1
                if progress is not None:
                    progress.tick(done, total, "tiles of similarities")


@dataclass(frozen=True)
class Tile:
    """Scores [i, n] of some images and some texts. `image_of_N`: the row of each text's image, also outside of the tile."""

    rows: range
    columns: range
    scores_IN: torch.Tensor
    image_of_N: torch.Tensor
    has_pairs: bool

    def pairs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(rows, columns) in the tile of the texts whose image is in it."""
        inside_N = (self.image_of_N >= 0) & (self.image_of_N < len(self.rows))
        column_P = inside_N.nonzero()[:, 0]
        return self.image_of_N[column_P], column_P


@dataclass(frozen=True)
class Place:
    """Where ranks are computed."""

    world: World
    progress: Progress
    tile_images: int = TILE_IMAGES
    tile_texts: int = TILE_TEXTS


def streamed_ranks(images: Rows, texts: Rows, image_of_N: np.ndarray, place: Place, asked: Asked = "both") -> Ranks:
    """Ranks of `images` (unit vectors [I, E]) and `texts` ([N, E]), of which text n belongs to image `image_of_N[n]`.

    `asked`: whose ranks; those of the other side are empty then, and a text may belong to no image (-1). The
    processes share the images. A right score is read from the tile in which it is compared, so that rounding of one
    multiplication against another never makes a rank.
    """
    world = place.world
    own = world.share(range(len(images)))
    tiling = Tiling(images, texts, image_of_N, own, world.device, place.tile_images, place.tile_texts)
    best_I, own_N = right_scores(tiling)
    of_images, of_texts = asked != "texts", asked != "images"
    if of_texts:
        own_N = np.fmax.reduce(world.gather(own_N))
        own_N[np.isnan(own_N)] = -np.inf
    many_I, many_N = len(own) if of_images else 0, len(texts) if of_texts else 0
    of_image_I, first_text_I = np.zeros(many_I, np.int64), FirstOf(many_I)
    of_text_N, first_image_N = np.zeros(many_N, np.int64), FirstOf(many_N)
    masks = np.empty(place.tile_images * place.tile_texts, np.bool_)
    for tile in tiling.tiles(only_pairs=False, progress=place.progress):
        rows = slice(tile.rows.start - own.start, tile.rows.stop - own.start)
        columns = slice(tile.columns.start, tile.columns.stop)
        scores_IN = tile.scores_IN.numpy()
        pairs = tile.pairs()
        # What is not less is ahead: NaN as well. numpy counts truths several times as fast as torch adds them up.
        behind_IN = masks[: scores_IN.size].reshape(scores_IN.shape)
        if of_texts:
            first_image_N.see(columns, scores_IN, 0, tile.rows.start)
            np.less(scores_IN, own_N[None, columns], out=behind_IN)
            behind_IN[pairs] = True
            of_text_N[columns] += len(tile.rows) - np.count_nonzero(behind_IN, 0)
        if of_images:
            first_text_I.see(rows, scores_IN, 1, tile.columns.start)
            np.less(scores_IN, best_I[rows, None], out=behind_IN)
            behind_IN[pairs] = True
            of_image_I[rows] += len(tile.columns) - np.count_nonzero(behind_IN, 1)
    return Ranks(
        np.concatenate(world.gather(of_image_I)),
        np.sum(world.gather(of_text_N), 0),
        np.concatenate(world.gather(first_text_I.number)),
        first_of_all(world.gather(first_image_N)),
    )


def right_scores(tiling: Tiling) -> tuple[np.ndarray, np.ndarray]:
    """The best score of an own text for each image of this process, and that of each text with its image (NaN: elsewhere)."""
    best_I = torch.full((len(tiling.own),), float("-inf"))
    own_N = np.full(len(tiling.texts), np.nan, np.float32)
    for tile in tiling.tiles(only_pairs=True):
        row_P, column_P = tile.pairs()
        scores_P = tile.scores_IN[row_P, column_P]
        own_N[tile.columns.start + column_P.numpy()] = scores_P.numpy()
        best_I.scatter_reduce_(0, row_P + tile.rows.start - tiling.own.start, scores_P, "amax")
    return best_I.numpy(), own_N


class FirstOf:
    """The number of the best candidate so far of each query, and its score."""

    def __init__(self, count: int) -> None:
        self.score = np.full(count, -np.inf, np.float32)
        self.number = np.zeros(count, np.int64)

    def see(self, queries: slice, scores_IN: np.ndarray, axis: int, start: int) -> None:
        """More candidates along `axis`, whose numbers begin with `start`."""
        best = scores_IN.max(axis)
        if np.isnan(best).any():
            scores_IN = np.where(np.isnan(scores_IN), -np.inf, scores_IN)
            best = scores_IN.max(axis)
        is_better = best > self.score[queries]
        # Where a best one is, is asked for those alone that have a new one: few, after the first tiles.
        place = scores_IN.compress(is_better, 1 - axis).argmax(axis)
        self.number[queries][is_better] = place + start
        self.score[queries][is_better] = best[is_better]


def first_of_all(parts: list[FirstOf]) -> np.ndarray:
    """The best candidates of all processes."""
    winner = np.argmax([part.score for part in parts], 0)
    return np.array([part.number for part in parts])[winner, np.arange(len(winner))]


def spans_of(whole: range, size: int) -> Iterator[range]:
    """Consecutive parts of at most `size`."""
    for start in range(whole.start, whole.stop, size):
        yield range(start, min(start + size, whole.stop))
