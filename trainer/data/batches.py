"""What a worker makes of places in shards: rows; or uint8 crops, one caption of each image, and the caption's features.

Everything random is drawn from (seed, epoch, shard, row): a sample is the same whichever worker or rank makes it.
"""

import json
import mmap
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch

from contracts.types import PreparedShard
from data.captions.drawn_regions import RegionTexts, regions_beside
from data.captions.names import NEGATIVE_TEXTS, REGION_TEXTS
from data.captions.wrong import Right, WrongTexts, wrong_beside
from data.copies import Shards
from data.features import FeatureStore
from data.image import CropOptions, crop_pixels, crop_window_seen, low_pixels, whole_pixels
from data.manifest import ShardError, are_pairs, has_labels
from towers.caption_roles import drawn_caption
from towers.data import Row
from towers.formats.details import REGIONS
from towers.preprocess import UNREADABLE
from towers.regions.seen import NONE_DRAWN, Drawn, RegionOptions, draw_regions, size_of
from towers.text.wrong_captions import wrong_texts

OPEN_SHARDS = 32  # at a time in a worker
CAPTION, LOW, REGION = 1, 2, 3  # what a generator of a sample is for


class Piece(NamedTuple):
    """Which part of which step of the whole run, and of which epoch, a batch is: `part` of `parts` of the rank's share."""

    step: int
    part: int
    parts: int
    epoch: int


@dataclass
class Batch:
    """Samples of one rank: `pixels` uint8 [B, 3, S, S], `features` float32 [B, D] of `texts`, `places` (shard, row) [B, 2].

    `labels`: of every image, empty without one. The images `shrunk` [L] were made as coarse as small pictures are; `sharp`
    uint8 [L, 3, S, S] is what they were before. `wrong`: wrong texts of `texts`, `regions` of the crops, where the loader makes them.
    """

    piece: Piece
    pixels: torch.Tensor
    texts: list[str]
    features: torch.Tensor | None
    places: torch.Tensor
    labels: list[str] = field(default_factory=list)
    shrunk: torch.Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    sharp: torch.Tensor = field(default_factory=lambda: torch.zeros((0, 3, 1, 1), dtype=torch.uint8))
    wrong: WrongTexts | None = None
    regions: RegionTexts | None = None

    def pin_memory(self) -> "Batch":
        """For the loader's thread that pins."""
        self.pixels = self.pixels.pin_memory()
        self.features = self.features.pin_memory() if self.features is not None else None
        self.shrunk, self.sharp = self.shrunk.pin_memory(), self.sharp.pin_memory()
        self.wrong = None if self.wrong is None else self.wrong.pin_memory()
        self.regions = None if self.regions is None else self.regions.pin_memory()
        return self


@dataclass
class RowBatch:
    """Rows of one rank as they are in their shards: what is learned from texts alone."""

    piece: Piece
    rows: list[Row]


class ShardRows:
    """Rows, and where it has some the images, of one shard at any place: rows are mapped, images are read from the tar."""

    def __init__(self, name: str, rows: Path, images: Path | None) -> None:
        self.name = name
        with rows.open("rb") as file:
            self.lines = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        ends = np.flatnonzero(np.frombuffer(self.lines, np.uint8) == ord("\n"))
        self.starts = np.concatenate([[0], ends + 1])
        self.tar: IO[bytes] | None = images.open("rb") if images is not None else None

    def row(self, number: int) -> Row:
        """One row; what is no JSON names its place."""
        try:
            return json.loads(self.lines[self.starts[number] : self.starts[number + 1]])
        except (IndexError, json.JSONDecodeError) as error:
            raise ShardError(f"{self.name}, row {number}: not a row ({error}); run prepare again") from error

    def image(self, row: Row) -> bytes:
        """The bytes of a row's image."""
        assert self.tar is not None
        offset, size = row["place"]
        # Without a position of its own: a forked worker shares that of its parent.
        data = os.pread(self.tar.fileno(), size, offset)
        if len(data) != size:
            raise ShardError(f"shard {row['shard']} ends within the image of {row['key']}: fetch it again")
        return data

    def close(self) -> None:
        """Let go of the tar; the rows go with their last reader."""
        if self.tar is not None:
            self.tar.close()


class RowLoader:
    """Reads rows of shards of any kind; every worker has its own. Images are not touched."""

    def __init__(self, files: Shards, shards: Sequence[PreparedShard]) -> None:
        self.files, self.shards = files, list(shards)
        self.open: OrderedDict[int, ShardRows] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        """A worker opens the files itself."""
        return self.__dict__ | {"open": OrderedDict()}

    def batch(self, piece: Piece, places_B2: np.ndarray) -> Any:
        """The rows at places (shard, row), in their order."""
        return RowBatch(piece, [self.shard(shard).row(row) for shard, row in places_B2.tolist()])

    def announce(self, numbers: Sequence[int], stream: str = "") -> None:
        """The shards that a stream reads from now on, the soonest first."""
        self.files.announce([self.shards[number]["rows"] for number in numbers], stream)

    def shard(self, number: int) -> ShardRows:
        """An open shard; a missing or cut-off one is refused by its name."""
        if number not in self.open:
            self.open[number] = self.opened(self.shards[number])
            if len(self.open) > OPEN_SHARDS:
                self.open.popitem(last=False)[1].close()
        self.open.move_to_end(number)
        return self.open[number]

    def opened(self, shard: PreparedShard) -> ShardRows:
        """The files of a shard that are read, open."""
        with self.files.held(shard["rows"]) as rows:
            return ShardRows(shard["rows"]["path"], rows, None)


class LowResolution(NamedTuple):
    """`share` of the crops are shrunk to a shorter side of a random length between `sides`, in pixels."""

    share: float
    sides: tuple[int, int]


@dataclass(frozen=True)
class PairOptions:
    """How samples are made. `crop` None: whole images. `caption_shares` by role; None: any caption of an image alike.

    `wrong`: wrong texts of a caption that `embed_captions` made at most, and the loader makes again; 0: none are read. `regions`
    of crops with captions; None: none are read.
    """

    seed: int
    recipe: Mapping[str, Any]
    crop: CropOptions | None
    caption_shares: Mapping[str, float] | None = None
    low: LowResolution | None = None
    wrong: int = 0
    regions: RegionOptions | None = None


class PairLoader(RowLoader):
    """Makes batches of image-caption pairs, with features of the captions, of wrong ones and of regions' texts where there are stores."""

    def __init__(
        self,
        files: Shards,
        shards: Sequence[PreparedShard],
        options: PairOptions,
        features: FeatureStore | None = None,
        beside: Mapping[str, FeatureStore] | None = None,
    ) -> None:
        super().__init__(files, shards)
        self.options, self.features, self.beside = options, features, dict(beside or {})
        self.pairs = are_pairs([has_labels(shard) for shard in shards])
        for store in (features, *self.beside.values()):
            if store is not None and len(store.shards) != len(self.shards):
                raise ShardError(
                    f"{store.folder} has {len(store.shards)} shards of features for {len(self.shards)} shards"
                )

    @property
    def sample_bytes(self) -> int:
        """What a sample takes in a batch, about: pixels, and features of its caption, of wrong ones and of regions' texts."""
        options, width = self.options, 0 if self.features is None else self.features.width
        regions = 0 if options.regions is None else options.regions.per_picture * (1 + options.regions.negatives)
        pixels = 3 * int(options.recipe["size"]) ** 2 * (1 + (0 if options.low is None else options.low.share))
        return round(pixels + 4 * width * (1 + options.wrong + regions))

    def announce(self, numbers: Sequence[int], stream: str = "") -> None:
        """Images and features, too."""
        super().announce(numbers, f"{stream}.rows")
        shards = [self.shards[number] for number in numbers]
        self.files.announce([shard["images"] for shard in shards if "images" in shard], f"{stream}.images")
        if self.features is not None:
            files = [self.features.shards[number]["file"] for number in numbers]
            self.features.files.announce(files, f"{stream}.features")
        for name, store in self.beside.items():  # images with labels are learned from without them
            captioned = [number for number in numbers if self.pairs[number]]
            store.files.announce([store.shards[number]["file"] for number in captioned], f"{stream}.{name}")

    def opened(self, shard: PreparedShard) -> ShardRows:
        """Rows and images."""
        assert "images" in shard
        with self.files.held(shard["rows"]) as rows, self.files.held(shard["images"]) as images:
            return ShardRows(shard["rows"]["path"], rows, images)

    def batch(self, piece: Piece, places_B2: np.ndarray) -> Batch:
        """The samples at places (shard, row)."""
        size, rows_B = int(self.options.recipe["size"]), np.zeros(len(places_B2), dtype=np.int64)
        pixels_BCHW = np.empty((len(places_B2), 3, size, size), dtype=np.uint8)
        texts, labels = [""] * len(places_B2), [""] * len(places_B2)
        read: list[Row] = [{}] * len(places_B2)
        sharp: dict[int, np.ndarray] = {}
        epoch, low = piece.epoch, self.options.low
        # Shard by shard, in the order of the rows: reads of one tar lie next to each other.
        order = np.lexsort((places_B2[:, 1], places_B2[:, 0]))
        for number in order.tolist():
            shard, row_number = (int(value) for value in places_B2[number])
            opened = self.shard(shard)
            read[number] = row = opened.row(row_number)
            rng = np.random.default_rng((self.options.seed, epoch, shard, row_number, CAPTION))
            caption = drawn_caption(len(row["captions"]), row.get("roles"), self.options.caption_shares, rng)
            if self.features is not None:
                rows_B[number] = self.feature_row(shard, row_number, row, caption)
            texts[number], labels[number] = row["captions"][caption], row.get("label", "")
            pixels_BCHW[number] = self.pixels(opened, row, epoch, (shard, row_number))
            drawn = (self.options.seed, epoch, shard, row_number, LOW)
            if low is not None and np.random.default_rng(drawn).random() < low.share:
                sharp[number] = pixels_BCHW[number].copy()
                pixels_BCHW[number] = low_pixels(
                    sharp[number], self.options.recipe, low.sides, "/".join(map(str, drawn))
                )
        features = self.features.gather(places_B2[:, 0], rows_B) if self.features is not None else None
        batch = Batch(piece, torch.from_numpy(pixels_BCHW), texts, features, torch.from_numpy(places_B2), labels)
        if sharp:
            batch.shrunk, batch.sharp = torch.tensor([*sharp]), torch.from_numpy(np.stack([*sharp.values()]))
        is_pair = any(self.pairs[shard] for shard in places_B2[:, 0].tolist())
        if self.options.wrong and is_pair:
            right, most = Right(texts, places_B2[:, 0], rows_B, features), self.options.wrong
            wrong = [wrong_texts(row, text, most) for row, text in zip(read, texts, strict=True)]
            batch.wrong = wrong_beside(right, wrong, most, self.beside.get(NEGATIVE_TEXTS))
        if self.options.regions is not None and is_pair:
            placed = zip(read, places_B2.tolist(), strict=True)
            regions = [self.drawn_regions(row, epoch, (shard, number)) for row, (shard, number) in placed]
            most = self.options.regions.per_picture
            batch.regions = regions_beside(regions, places_B2, most, self.beside.get(REGION_TEXTS))
        return batch

    def drawn_regions(self, row: Row, epoch: int, place: tuple[int, int]) -> Drawn:
        """Those of a row that its crop shows."""
        options = self.options
        if options.regions is None or options.crop is None or not row.get(REGIONS):
            return NONE_DRAWN
        window = crop_window_seen(size_of(row), options.recipe, options.crop, self.crop_seed(epoch, place))
        rng = np.random.default_rng((options.seed, epoch, *place, REGION))
        return draw_regions(row, window, options.regions, rng)

    def crop_seed(self, epoch: int, place: tuple[int, int]) -> str:
        """What the crop of an image is drawn from."""
        return f"{self.options.seed}/{epoch}/{place[0]}/{place[1]}"

    def pixels(self, opened: ShardRows, row: Row, epoch: int, place: tuple[int, int]) -> np.ndarray:
        """uint8 [3, S, S] of one image; one that cannot be decoded is an error with its name."""
        options, data = self.options, opened.image(row)
        try:
            if options.crop is None:
                return whole_pixels(data, options.recipe)
            return crop_pixels(data, options.recipe, options.crop, self.crop_seed(epoch, place))
        except UNREADABLE as error:
            raise ShardError(f"shard {row['shard']}, image {row['key']} cannot be decoded: {error}") from error

    def feature_row(self, shard: int, number: int, row: Row, caption: int) -> int:
        """The row of a caption within its shard of features; another number of captions than the row has is refused."""
        assert self.features is not None
        rows = self.features.rows_of(shard, number)
        if len(rows) != len(row["captions"]):
            raise ShardError(
                f"{row['key']} has {len(row['captions'])} captions, but features of {len(rows)}: embed them again"
            )
        return rows[caption]
