"""Finds doubles among images of different elements: equal bytes, keys that were used before, difference hashes that are near.

Everything is compared as 64-bit hashes, 32 bytes an image. Among 60 million images the chance that two different ones
share a hash is 1e-4; the later one would be left out.
"""

import io
from hashlib import blake2b
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image

from towers.samples import Source

COLUMNS = 4  # of the array of an element: image, key, key with its set, difference hash
BANDS = 4  # two hashes that differ in at most three bits are equal in one of four bands of 16


def hash64(data: bytes) -> int:
    """64 bits of BLAKE2b."""
    return int.from_bytes(blake2b(data, digest_size=8).digest())


def full_key(source: Source, key: str) -> str:
    """The key with the name of its set in front."""
    return f"{source.name}/{key}"


def hashes_of(source: Source, key: str, image: bytes, *, near: bool) -> tuple[int, int, int, int]:
    """What is compared of one image; the difference hash is 0 where it is not wanted."""
    keys = hash64(key.encode()), hash64(full_key(source, key).encode())
    return hash64(image), *keys, difference_hash(image) if near else 0


def difference_hash(data: bytes) -> int:
    """Whether each of 9 x 8 grey means is darker than its right neighbour, 64 bits: dHash (N. Krawetz, 2013)."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft("L", (64, 64))
        grey_HW = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX))
    return int.from_bytes(np.packbits(grey_HW[:, 1:] > grey_HW[:, :-1]).tobytes())


class Origin(NamedTuple):
    """Which image one is: the set of its source, a file of that, and its own name in the file."""

    set: str
    file: str
    name: str


class Verdict(NamedTuple):
    """The key to keep an image under, and why it is left out or None. `by_name`: its key was used, so that it has its name."""

    key: str
    reason: str | None = None
    by_name: bool = False


class Doubles:
    """Says of images one after the other, in the order of `hashes_NC`, under which key they are kept or why they are not.

    Holds names only of images that share a hash with another one, so that a set without doubles needs little memory.
    """

    def __init__(self, hashes_NC: np.ndarray, *, with_set: bool, near: int | None) -> None:
        self.hashes_NC, self.with_set = hashes_NC, with_set
        self.images = repeated(hashes_NC[:, 0])
        self.keys = repeated(hashes_NC[:, 2] if with_set else hashes_NC[:, 1:3].ravel())
        self.near = None if near is None else Near(hashes_NC[:, 3], near)
        self.key_of_image: dict[int, str] = {}
        self.user_of_key: dict[str, Origin] = {}
        self.number = -1

    def next(self, source: Source, origin: Origin, key: str) -> Verdict:
        """What becomes of the next image."""
        self.number += 1
        image, bare, full, _ = (int(value) for value in self.hashes_NC[self.number])
        key, by_name = self._own_key(source, origin, key)
        if key in self.user_of_key:
            return Verdict(key, "key used twice")
        if (twin := self.key_of_image.get(image)) is not None:
            return Verdict(key, f"same image as another: {twin}")
        if self.near is not None and (twin := self.near.twin(self.number)) is not None:
            return Verdict(key, f"nearly the same image as another: {twin}")
        if full in self.keys or (not self.with_set and bare in self.keys):
            self.user_of_key[key] = origin
        if image in self.images:
            self.key_of_image[image] = key
        if self.near is not None:
            self.near.keep(self.number, key)
        return Verdict(key, None, by_name)

    def _own_key(self, source: Source, origin: Origin, own: str) -> tuple[str, bool]:
        """(a key that no other image has, whether the image's name is in it).

        Sets count from zero alike: where not all keys have the name of their set, one that another set has used gets it. So do the
        tars of some sets: a key that another file of the set has used gets its own file's name, too. One that another image of
        the file has used, as cat/1.jpg and dog/1.jpg do, becomes the image's name.
        """
        key = full_key(source, own) if self.with_set or self._user(own, origin).set != origin.set else own
        if self._user(key, origin).file != origin.file:
            key = full_key(source, f"{PurePosixPath(origin.file).with_suffix('')}/{own}")
        by_name = False
        for name in (origin.name, f"{origin.file}/{origin.name}"):
            if self._user(key, origin) != origin:
                key, by_name = full_key(source, name), True
        return key, by_name

    def _user(self, key: str, otherwise: Origin) -> Origin:
        """The image that has a key; the one given where none has it."""
        return self.user_of_key.get(key, otherwise)


def repeated(values: np.ndarray) -> set[int]:
    """The values that occur more than once."""
    ordered = np.sort(values)
    return set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())


class Near:
    """Which images that were kept have a difference hash near that of another one. A picture without any edge, 0, is near none."""

    def __init__(self, hashes_N: np.ndarray, bits: int) -> None:
        values_U, self.value_of_N, count_U = np.unique(hashes_N, return_inverse=True, return_counts=True)
        self.near: dict[int, list[int]] = {int(u): [int(u)] for u in np.flatnonzero((count_U > 1) & (values_U != 0))}
        for left, right in near_values(values_U, bits) if bits > 0 else ():
            if values_U[left] and values_U[right]:
                self.near.setdefault(left, [left]).append(right)
                self.near.setdefault(right, [right]).append(left)
        self.kept: dict[int, str] = {}  # by value

    def twin(self, number: int) -> str | None:
        """The key of a kept image that the image of this number is near to."""
        values = self.near.get(int(self.value_of_N[number]), ())
        return next((self.kept[value] for value in values if value in self.kept), None)

    def keep(self, number: int, key: str) -> None:
        """The image of this number is kept."""
        value = int(self.value_of_N[number])
        if value in self.near:
            self.kept[value] = key


def near_values(values_U: np.ndarray, bits: int) -> set[tuple[int, int]]:
    """Places of pairs of different values that differ in at most `bits` bits: they are equal in one band at least."""
    found: set[tuple[int, int]] = set()
    for band in range(BANDS):
        part_U = (values_U >> np.uint64(16 * band)) & np.uint64(0xFFFF)
        order = np.argsort(part_U, kind="stable")
        starts = np.flatnonzero(np.diff(part_U[order], prepend=-1)) if len(order) else order
        for bucket in np.split(order, starts[1:]):
            for place in range(len(bucket) - 1):
                rest = bucket[place + 1 :]
                distance = np.bitwise_count(values_U[rest] ^ values_U[bucket[place]])
                found.update((int(bucket[place]), int(other)) for other in rest[distance <= bits])
    return found
