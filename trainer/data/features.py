"""Features of captions in files beside the images' shards: memory-mapped, never loaded whole, resumable shard by shard.

A shard is a safetensors file: `features` [R, D] in bfloat16, or int8 with one float32 `scale` [R], and `first` [G + 1], the
row at which each image's captions begin: all captions of an image lie next to each other, in the order of its row. Shard n
belongs to shard n of the images. A caption of 4,096 numbers takes 8,192 bytes in bf16 and 4,100 in int8.
"""

import json
import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from safetensors.torch import save_file

from contracts import ContractError, load
from contracts.constants import FILE_FEATURES, SCHEMA_VERSION
from contracts.types import FeatureManifest, FeatureShard
from data.copies import LocalShards, Shards
from data.manifest import ShardError, verify_file, write_document
from engine.folders.files import artefact

FeatureType = Literal["bf16", "int8"]
LARGEST = 127  # of a quantised row
MAPPED_SHARDS = 64  # at a time: pages of a mapped file count as memory of the process until it is unmapped


def quantised(features_RD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(int8 [R, D], float32 scale [R]): the largest number of a row becomes 127; the error is at most half a scale."""
    scale_R = features_RD.float().abs().amax(dim=-1).clamp_min(torch.finfo(torch.float32).tiny) / LARGEST
    return (features_RD.float() / scale_R[:, None]).round().to(torch.int8), scale_R


class FeatureWriter:
    """Writes a store shard by shard; what an interrupted run finished is not asked for again.

    `width` None: that of the first shard that is written, by this process or an earlier one.
    """

    def __init__(self, folder: Path, *, of: str, dtype: FeatureType, shards: int, width: int | None = None) -> None:
        self.folder, self.of, self.width, self.shards = folder, of, width, shards
        self.dtype: FeatureType = dtype
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def is_finished(self) -> bool:
        """Whether the manifest is written."""
        return (self.folder / FILE_FEATURES).exists()

    def has(self, number: int) -> bool:
        """Whether a shard is whole."""
        return self.is_finished or self.report(number).exists()

    def name(self, number: int) -> str:
        """The file of a shard."""
        return f"features-{number:05d}.safetensors"

    def report(self, number: int) -> Path:
        """The shard's last write: its presence means that the shard is whole."""
        return self.folder / f"features-{number:05d}.json"

    def missing(self) -> list[int]:
        """The shards that are still to be written, in order. A finished one of other settings is refused."""
        left = []
        for number in range(0 if self.is_finished else self.shards):
            try:
                found = json.loads(self.report(number).read_text(encoding="utf-8"))
            except FileNotFoundError:
                left.append(number)
                continue
            if self.width is None:
                self.width = int(found["settings"]["width"])
            if found["settings"] != self.settings():
                raise ShardError(
                    f"{self.report(number)} was written for other texts or settings ({found['settings']}, now "
                    f"{self.settings()}): empty the folder"
                )
        return left

    def settings(self) -> dict[str, Any]:
        """What all shards of a store share."""
        return {"of": self.of, "dtype": self.dtype, "width": self.width}

    def write(self, number: int, features_RD: torch.Tensor, counts: Iterable[int]) -> None:
        """Write a shard: features of all captions, image by image, and the number of captions of each image."""
        first_G1 = torch.tensor([0, *counts], dtype=torch.int64).cumsum(0)
        if self.width is None:
            self.width = features_RD.shape[1]
        if features_RD.shape != (int(first_G1[-1]), self.width):
            raise ValueError(
                f"shard {number}: features {tuple(features_RD.shape)}, but {int(first_G1[-1])} captions of width {self.width}"
            )
        tensors = {"first": first_G1}
        if self.dtype == "int8":
            tensors["features"], tensors["scale"] = quantised(features_RD)
        else:
            tensors["features"] = features_RD.to(torch.bfloat16)
        save_tensors(self.folder / self.name(number), tensors)
        shard: FeatureShard = {
            "file": artefact(self.folder, self.name(number)),
            "groups": len(first_G1) - 1,
            "rows": int(first_G1[-1]),
        }
        temporary = self.report(number).with_suffix(".json.tmp")
        temporary.write_text(json.dumps({"settings": self.settings(), "shard": shard}), encoding="utf-8")
        os.replace(temporary, self.report(number))

    def finish(self) -> None:
        """Write the manifest, the last write; every shard has to be there."""
        left = self.missing()
        if self.is_finished:
            return
        if left:
            raise ShardError(
                f"{self.folder}: {len(left)} of {self.shards} shards of features are missing, first {left[0]}"
            )
        reports = [json.loads(self.report(number).read_text(encoding="utf-8")) for number in range(self.shards)]
        manifest: FeatureManifest = {
            "schema_version": SCHEMA_VERSION,
            "of": self.of,
            "dtype": self.dtype,
            "width": reports[0]["settings"]["width"],
            "shards": [report["shard"] for report in reports],
        }
        write_document(self.folder / FILE_FEATURES, "FeatureManifest", json.dumps(manifest, indent=1))
        for number in range(self.shards):
            self.report(number).unlink()


@dataclass(frozen=True)
class MappedShard:
    """One shard, mapped: `features` [R, D] uint16 (bits of bfloat16) or int8, `first` [G + 1], `scale` [R] of int8."""

    features: np.ndarray
    first: np.ndarray
    scale: np.ndarray | None


class FeatureStore:
    """Reads a store. `of`: the digest of the rows that the features have to belong to (data/manifest.rows_digest).

    `files`: where the shards are, if not beside their manifest.
    """

    def __init__(self, folder: Path, of: str | None = None, files: Shards | None = None) -> None:
        self.folder = folder
        self.files = files if files is not None else LocalShards(folder)
        file = folder / FILE_FEATURES
        try:
            self.manifest = cast(FeatureManifest, load("FeatureManifest", file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise ShardError(f"{folder} has no {FILE_FEATURES}: the features are not finished") from None
        except (ContractError, UnicodeDecodeError) as error:
            raise ShardError(f"{file} is refused: {error}") from error
        if of is not None and self.manifest["of"] != of:
            raise ShardError(f"{folder} holds features of other texts than those that are read now: embed them again")
        self.width = self.manifest["width"]
        self.shards = self.manifest["shards"]
        self.starts = np.cumsum([0, *(shard["rows"] for shard in self.shards)])
        self.mapped: OrderedDict[int, MappedShard] = OrderedDict()

    def __len__(self) -> int:
        """Rows of all shards."""
        return int(self.starts[-1])

    def __getstate__(self) -> dict[str, Any]:
        """A worker maps the files itself."""
        return self.__dict__ | {"mapped": OrderedDict()}

    def verify(self) -> None:
        """Compare every shard with its digest; reads them whole."""
        for shard in self.shards:
            verify_file(self.files.path(shard["file"]), shard["file"])

    def shard(self, number: int) -> MappedShard:
        """A mapped shard; a missing or cut-off file is refused by its name."""
        if number not in self.mapped:
            with self.files.held(self.shards[number]["file"]) as file:
                self.mapped[number] = mapped(file)
            if len(self.mapped) > MAPPED_SHARDS:
                self.mapped.popitem(last=False)
        self.mapped.move_to_end(number)
        return self.mapped[number]

    def rows_of(self, shard: int, group: int) -> range:
        """The rows within a shard that are the captions of an image, by its number in the shard."""
        first = self.shard(shard).first
        return range(int(first[group]), int(first[group + 1]))

    def gather(self, shards_B: np.ndarray, rows_B: np.ndarray) -> torch.Tensor:
        """Float32 features [B, D] of rows within shards. Reads each shard once, in the order of its rows."""
        out_BD = np.empty((len(rows_B), self.width), dtype=np.float32)
        for number in np.unique(shards_B).tolist():
            places = np.flatnonzero(shards_B == number)
            places = places[np.argsort(rows_B[places], kind="stable")]
            shard, rows = self.shard(number), rows_B[places]
            taken = shard.features[rows]
            out_BD[places] = as_float32(taken) if shard.scale is None else taken * shard.scale[rows][:, None]
        return torch.from_numpy(out_BD)

    def gather_numbers(self, numbers_B: np.ndarray) -> torch.Tensor:
        """Float32 features [B, D] of rows by their number among the rows of all shards."""
        shards_B = np.searchsorted(self.starts, numbers_B, side="right") - 1
        return self.gather(shards_B, numbers_B - self.starts[shards_B])


class WholeFeatures:
    """Features of a set that has one safetensors file with `features` [N, D], mapped."""

    def __init__(self, file: Path) -> None:
        self.features_ND = mapped_tensors(file)["features"]
        self.width = self.features_ND.shape[1]

    def __len__(self) -> int:
        """Rows."""
        return len(self.features_ND)

    def gather_numbers(self, numbers_B: np.ndarray) -> torch.Tensor:
        """Float32 features [B, D] of rows by number."""
        return torch.from_numpy(as_float32(self.features_ND[numbers_B]))


def as_float32(features_BD: np.ndarray) -> np.ndarray:
    """The numbers of a mapped tensor; uint16 stands for bfloat16, whose bits are the upper half of a float32's."""
    if features_BD.dtype == np.uint16:
        return (features_BD.astype(np.uint32) << 16).view(np.float32)
    return features_BD.astype(np.float32)


Features = FeatureStore | WholeFeatures


def features_of_set(folder: Path, name: str) -> Features:
    """The features of a set that `embed_captions` wrote: those of images' captions are in a store, others in one file."""
    store = folder / name
    return FeatureStore(store) if store.is_dir() else WholeFeatures(folder / f"features.{name}.safetensors")


def mapped(file: Path) -> MappedShard:
    """One mapped file of a store."""
    arrays = mapped_tensors(file)
    return MappedShard(arrays["features"], arrays["first"], arrays.get("scale"))


def save_tensors(file: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write a safetensors file that appears only when it is whole."""
    temporary = file.with_name(f"{file.name}.tmp")
    save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, temporary)
    os.replace(temporary, file)


def new_features(file: Path, shape: tuple[int, int]) -> np.ndarray:
    """A new safetensors file with `features` of bfloat16, mapped to be filled: uint16 [N, D], the bits of each number."""
    rows, width = shape
    entry = {"dtype": "BF16", "shape": [rows, width], "data_offsets": [0, 2 * rows * width]}
    header = json.dumps({"features": entry}).encode()
    header += b" " * (-len(header) % 8)
    with file.open("wb") as out:
        out.write(len(header).to_bytes(8, "little") + header)
        out.truncate(8 + len(header) + 2 * rows * width)
    return np.memmap(file, np.uint16, "r+", 8 + len(header), shape)


def mapped_tensors(file: Path) -> dict[str, np.ndarray]:
    """Map the tensors of a safetensors file (8 bytes with the length of a JSON header, the header, the tensors)."""
    with file.open("rb") as data:
        length = int.from_bytes(data.read(8), "little")
        header = json.loads(data.read(length))
    types = {"BF16": np.uint16, "I8": np.int8, "I32": np.int32, "F32": np.float32, "I64": np.int64}
    return {
        name: np.memmap(file, types[entry["dtype"]], "r", 8 + length + entry["data_offsets"][0], tuple(entry["shape"]))
        if np.prod(entry["shape"])
        else np.zeros(entry["shape"], types[entry["dtype"]])
        for name, entry in header.items()
        if name != "__metadata__"
    }
