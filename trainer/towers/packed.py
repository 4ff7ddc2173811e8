"""Files that are packed, told by their first bytes: their names may end in anything, and a browser may have unpacked one."""

import bz2
import gzip
import lzma
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

# How a packed file begins. A tar that is not packed begins with the name of its first file.
GZIP = re.compile(rb"\x1f\x8b")
PACKERS: tuple[tuple[re.Pattern[bytes], Callable[[Path], IO[bytes]]], ...] = (
    (GZIP, gzip.open),  # pyright: ignore[reportAssignmentType]
    (re.compile(rb"BZh[1-9]1AY&SY"), bz2.open),  # pyright: ignore[reportAssignmentType]
    (re.compile(rb"\xfd7zXZ\0"), lzma.open),  # pyright: ignore[reportAssignmentType]
)
MOST = 10  # bytes of them
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)  # what reading one raises that is cut off or altered


def is_gzip(file: Path) -> bool:
    """Whether a file is packed by gzip."""
    return GZIP.match(beginning(file)) is not None


def packer_of(begins: bytes) -> Callable[[Path], IO[bytes]] | None:
    """What opens a packed file that begins so; None for one that is not packed."""
    return next((opened for pattern, opened in PACKERS if pattern.match(begins)), None)


def beginning(file: Path) -> bytes:
    """As many bytes as tell."""
    with file.open("rb") as opened:
        return opened.read(MOST)
