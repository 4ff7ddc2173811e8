"""Where a user's files are on the disk and what is written in them: folders, captions beside images, images near a table."""

import gzip
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from contracts.constants import FORMAT_ENDINGS
from towers.formats.item import FormatError, file_of, is_there
from towers.packed import DAMAGED, GZIP
from towers.stored_names import as_stored


def endings_of(name: str) -> tuple[str, ...]:
    """How the files of a format end, with the dot, the longest first; a folder has none."""
    return tuple(sorted((f".{ending}" for ending in FORMAT_ENDINGS.get(name, ())), key=len, reverse=True))


def format_of(file: Path) -> str | None:
    """What the ending of a file's name says, in either case, as FORMAT_ENDINGS calls it; None for another one."""
    return next((name for name in FORMAT_ENDINGS if file.name.lower().endswith(endings_of(name))), None)


def bare_name(file: Path) -> str:
    """A file's name without the ending of its format."""
    endings = endings_of(format_of(file) or "")
    length = next((len(ending) for ending in endings if file.name.lower().endswith(ending)), 0)
    return file.name[: len(file.name) - length]


def files_below(folder: Path) -> list[Path]:
    """Every file below a folder but hidden ones, sorted. Links are followed; one that leads back to where it lies is not."""
    return sorted(walked(folder, (os.path.realpath(folder),)))


def walked(folder: Path, way: tuple[str, ...]) -> Iterator[Path]:
    """The files of a folder and those below it; `way`: the folders that led here, as they are called without links."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise FormatError(f"the folder {folder} cannot be opened: {error.strerror}") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if os.path.isdir(entry.path):  # unlike the entry's own, no error for a link to itself
            real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(way[-1], entry.name)
            if real not in way:
                yield from walked(Path(entry.path), (*way, real))
        elif os.path.isfile(entry.path):
            yield Path(entry.path)


def text_beside(image: Path) -> Path | None:
    """The file with the captions of an image: of the same name, ending in .txt in either case."""
    places = (as_stored(image.with_suffix(ending)) for ending in (".txt", ".TXT"))
    return next((place for place in places if place.is_file()), None)


def captions_beside(image: Path) -> list[str]:
    """The lines of that file that say something."""
    text = text_beside(image)
    return [] if text is None else [line for line in decoded_text(text)[0].splitlines() if line.strip()]


def decoded_text(path: Path) -> tuple[str, str]:
    """(text, name of its encoding) of a file, which gzip may have packed."""
    data = path.read_bytes()
    if GZIP.match(data):
        try:
            data = gzip.decompress(data)
        except DAMAGED as error:
            raise FormatError(f"{path.name} cannot be read: {error}") from error
    return decoded_bytes(data)


def decoded_bytes(data: bytes) -> tuple[str, str]:
    """The same of what was read already."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace"), "UTF-16"
    try:
        return data.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), "Windows-1252"


def folder_of(path: Path, files: Sequence[str]) -> Path:
    """The folder near the document that holds most of some of its files; the document's own where none does."""
    some = [file for file in files[:: max(1, len(files) // 20)] if file]

    def holds(folder: Path) -> int:
        return sum(is_there(file_of(folder, file)) for file in some)

    if some and holds(path.parent) == len(some):
        return path.parent
    best = max(candidates(path.parent), key=holds)
    return best if holds(best) else path.parent


# trainer/control/recipe/table-images.ts has the same places (PLACES): what is read here is in the digest of the data there.
def candidates(start: Path) -> Iterator[Path]:
    """Folders in which images usually are: beside the document, below it, or beside its folder."""
    yield start
    for folder in (start, start.parent, start / "images"):
        yield from folders_in(folder)


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, sorted; none where it is missing or may not be listed, as /home may be for who works below it."""
    try:
        # The path's own `is_dir` may not look, either.
        return sorted(below for below in folder.iterdir() if os.path.isdir(below))
    except OSError:
        return []
