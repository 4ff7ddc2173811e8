"""Tar archives: WebDataset shards, and images with a table of the same name beside the tar."""

import json
import shutil
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, reduce
from pathlib import Path
from typing import IO, Any, cast

from towers.formats.details import raw_details
from towers.formats.item import (
    CLASS_NAMES,
    IMAGE_SUFFIXES,
    Columns,
    FormatError,
    Found,
    Item,
    key_of,
    labels_of,
    plain,
    texts_of,
)
from towers.formats.places import bare_name, decoded_bytes, decoded_text, endings_of
from towers.formats.splits import SPLIT_NAMES, stated_split
from towers.formats.tables import both, json_lines, read_jsonl
from towers.packed import DAMAGED, MOST, packer_of
from towers.text.unicode import composed

KEY_NAMES = ["key", "id", "image", "filename"]


def read_tar(path: Path, columns: Columns) -> Found:
    """KEY.jpg with KEY.txt, KEY.json or KEY.cls, in any order; or with a row in NAME.jsonl beside NAME.tar."""
    members = tar_members(path)
    pictures = {stem: image for stem, parts in members.items() if (image := image_of(parts)) is not None}
    table = rows_beside(path, columns)
    rows = table.of(path, list(pictures)) if table is not None and pictures else {}
    items = []
    for stem, image in pictures.items():
        own, beside = item_of(path, stem, image, members[stem]), rows.get(stem, [])
        labels = [label for said in [*beside, own] for label in said.labels]  # those beside the tar go first
        items.append(replace(reduce(both, beside, own), labels=list(dict.fromkeys(labels))))
    notes = table.notes if table is not None else [f"{path.name}: a WebDataset shard"]
    return Found("tar", items, [*notes, *(f"{lost}: what it had there is left out" for lost in lost_members(path))])


def item_of(path: Path, stem: str, image: tarfile.TarInfo, parts: dict[str, tarfile.TarInfo]) -> Item:
    """A picture of a tar with what the members of its name say."""
    captions: list[str] = []
    labels: list[str] = []
    values: dict[str, Any] = {}
    if ".json" in parts:
        said = member_json(path, parts[".json"])
        captions += texts_of(said)
        values = said if isinstance(said, dict) else {}
        label = next((values[name] for name in values if plain(name) in map(plain, CLASS_NAMES)), None)
        labels += labels_of(label)
    if ".txt" in parts:
        captions += texts_of(member_text(path, parts[".txt"]).splitlines())
    if ".cls" in parts:
        labels = [*labels_of(member_text(path, parts[".cls"])), *labels]
    word = next((values[name] for name in values if plain(name) in SPLIT_NAMES), None)
    split, unknown = stated_split(f"'split' of {path.name}", word)
    captions, labels = list(dict.fromkeys(captions)), list(dict.fromkeys(labels))
    return Item(stem, member_loader(path, image), captions, labels, split, raw_details(values), unknown)


def image_of(parts: dict[str, tarfile.TarInfo]) -> tarfile.TarInfo | None:
    """The image among the members of one key."""
    return next((parts[suffix] for suffix in parts if suffix in IMAGE_SUFFIXES), None)


def picture_of(parts: dict[str, tarfile.TarInfo]) -> tarfile.TarInfo | None:
    """The image that a row of a table means by a key: KEY.jpg where there is one, else any other."""
    return parts.get(".jpg") or image_of(parts)


Members = dict[str, dict[str, tarfile.TarInfo]]


def tar_members(path: Path) -> Members:
    """The files of a tar by name without ending, in the order of the first of each, and by ending in lower case."""
    return contents_of(path)[0]


def lost_members(path: Path) -> list[str]:
    """A sentence for each place of a tar where a header cannot be read, without what follows from it."""
    return [f"{path.name} is damaged at byte {place}" for place in contents_of(path)[1]]


@lru_cache(maxsize=4)
def contents_of(path: Path) -> tuple[Members, list[int]]:
    """(the files of a tar, the places in bytes of headers that cannot be read)."""
    members: Members = {}
    damaged: list[int] = []
    try:
        with tarfile.open(path) as archive:
            for member in readable_members(archive, damaged):
                if member.isfile():
                    stem, _, suffix = member.name.rpartition(".")
                    members.setdefault(stem, {})["." + suffix.lower()] = member
    except (tarfile.TarError, *DAMAGED) as error:
        raise FormatError(f"{path.name} cannot be read as tar: {error}") from error
    return members, damaged


def readable_members(archive: tarfile.TarFile, damaged: list[int]) -> Iterator[tarfile.TarInfo]:
    """The members whose headers can be read; `damaged` gets the places of others.

    The library takes a header that it cannot read for the end. A tar that is cut off within a member is an error of it.
    """
    file = cast(IO[bytes], archive.fileobj)
    while True:
        try:
            member = archive.next()
        except tarfile.ReadError:
            file.seek(max(0, archive.offset - 1))
            if not file.read(1):
                raise
            member = None
        if member is not None:
            yield member
            continue
        place = archive.offset
        file.seek(place)
        is_end = not any(file.read(tarfile.BLOCKSIZE))
        behind = header_behind(file, place)
        if behind is not None or not is_end:
            damaged.append(place)
        if behind is None:
            return
        archive.offset = behind


MAGIC, MAGIC_PLACE = b"ustar", 257  # in every header but those of the seventies


def header_behind(file: IO[bytes], place: int) -> int | None:
    """Where the next header behind a place of a tar begins, which need not be a whole number of blocks; None without one."""
    window, start = b"", place + 1
    file.seek(start)
    while chunk := file.read(1 << 20):
        window += chunk
        found = window.find(MAGIC, MAGIC_PLACE)
        while found >= 0:
            begin = found - MAGIC_PLACE
            if is_header(window[begin : begin + tarfile.BLOCKSIZE]):
                return start + begin
            found = window.find(MAGIC, found + 1)
        known = max(0, len(window) - tarfile.BLOCKSIZE)
        window, start = window[known:], start + known
    return None


def is_header(block: bytes) -> bool:
    """Whether a block is a header by its checksum."""
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def parts_named(path: Path, stem: str) -> dict[str, tarfile.TarInfo]:
    """The members of one name by ending, in whichever form of Unicode it is written; nothing where there are none."""
    members = tar_members(path)
    return members.get(stem) or members.get(stored_stems(path).get(composed(stem), stem), {})


@lru_cache(maxsize=4)
def stored_stems(path: Path) -> dict[str, str]:
    """The names of `tar_members` by their composed form."""
    return {composed(stem): stem for stem in tar_members(path)}


@dataclass(frozen=True)
class RowsBeside:
    """The rows of a table beside a tar, each as an item whose key names a member; sentences on how they were read."""

    file: Path
    rows: list[Item]
    notes: list[str] = field(default_factory=list)

    def of(self, path: Path, stems: Sequence[str]) -> dict[str, list[Item]]:
        """The rows of each picture of the tar, by the picture's name without ending; none for all of them is an error.

        A row belongs to the picture of its whole name. Names without folders count only where both the table and the tar
        have them once: cat/1.jpg and dog/1.jpg are two pictures.
        """
        whole: dict[str, list[Item]] = {}
        for row in self.rows:
            whole.setdefault(bare(row.key), []).append(row)
        last = Counter(bare(stem).rpartition("/")[2] for stem in stems)
        names = Counter(name.rpartition("/")[2] for name in whole)
        by_last = {name.rpartition("/")[2]: rows for name, rows in whole.items()}
        found: dict[str, list[Item]] = {}
        for stem in stems:
            name = bare(stem).rpartition("/")[2]
            rows = whole.get(bare(stem))
            if rows is None and last[name] == names[name] == 1:
                rows = by_last[name]
            if rows is not None:
                found[stem] = rows
        if not found:
            raise FormatError(
                f"{self.file.name} names no image of {path.name}: its rows are of {self.rows[0].key}, the images are called "
                f"like {stems[0]}. Give the rows the members' names, or put the table elsewhere"
            )
        unmatched = len(self.rows) - len({id(row) for rows in found.values() for row in rows})
        if unmatched:
            self.notes.append(
                f"{unmatched} of the {len(self.rows)} rows of {self.file.name} name no image of {path.name}"
            )
        return found


def bare(name: str) -> str:
    """The composed name of a member or a row without the ending of an image."""
    name = composed(key_of(name))
    stem, dot, ending = name.rpartition(".")
    return stem if dot and f".{ending.lower()}" in IMAGE_SUFFIXES else name


def rows_beside(path: Path, columns: Columns) -> RowsBeside | None:
    """Rows of NAME.jsonl (NAME-000.tar is of NAME.jsonl, too), or as JSON lines may end else; None without one whose rows have keys."""
    stem = bare_name(path)
    names = [stem, stem.rpartition("-")[0], f"{stem}.captions", f"{stem.rpartition('-')[0]}.captions"]
    endings = [written for ending in endings_of("jsonl") for written in (ending, ending.upper())]
    places = (path.parent / f"{name}{ending}" for name in names for ending in endings)
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        return None
    first = next(iter(json_lines(file, decoded_text(file)[0].lstrip().split("\n", 1)[0])), None)
    usual = (name for name in KEY_NAMES if isinstance(first, dict) and name in first)
    key = columns.image or next(usual, None)
    if key is None:
        return None
    found = read_jsonl(file, Columns(key, columns.captions, columns.label))
    return RowsBeside(file, found.items, [f"{path.name} with {found.notes[0]}"])


def member_loader(path: Path, member: tarfile.TarInfo) -> Callable[[], bytes]:
    """Reads the member when asked."""
    return lambda: member_bytes(path, member)


def member_text(path: Path, member: tarfile.TarInfo) -> str:
    """A member as text, whatever its encoding; one that cannot be read is an error that names the tar and the member."""
    try:
        return decoded_bytes(member_bytes(path, member))[0]
    except OSError as error:
        raise FormatError(f"{member.name} of {path.name} cannot be read: {error}") from error


def member_json(path: Path, member: tarfile.TarInfo) -> Any:
    """A member as JSON; what is none is an error that names the tar and the member."""
    try:
        return json.loads(member_text(path, member))
    except json.JSONDecodeError as error:
        raise FormatError(f"{path.name}, {member.name} is not JSON: {error}") from error


def member_bytes(path: Path, member: tarfile.TarInfo) -> bytes:
    """A member's bytes, read from their place without walking through the tar."""
    with path.open("rb") as file:
        opened = packer_of(file.read(MOST))
        return read_at(path, file if opened is None else unpacked(path, opened), member)


def read_at(path: Path, file: IO[bytes], member: tarfile.TarInfo) -> bytes:
    """The bytes of a member from an open tar; one that ends early is an error."""
    file.seek(member.offset_data)
    data = file.read(member.size)
    if len(data) != member.size:
        raise OSError(f"{path.name} ends within {member.name}: it was cut off")
    return data


@lru_cache(maxsize=1)
def unpacked(path: Path, opened: Callable[[Path], IO[bytes]]) -> IO[bytes]:
    """A packed tar, unpacked into a temporary file that vanishes with the process: places in it can be read."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as it is remembered
    with opened(path) as packed:
        shutil.copyfileobj(packed, file)
    return file
