"""Writes images into tar shards, as JPEG of bounded size."""

import io
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from towers.preprocess import to_rgb, upright


@dataclass(frozen=True)
class ImageLimits:
    """What is stored: `max_side` shrinks, `min_side` and `max_pixels` leave out; all in pixels."""

    max_side: int
    min_side: int
    max_pixels: int


def stored_image(data: bytes, limits: ImageLimits) -> tuple[bytes | None, str]:
    """JPEG bytes to store: the original where it is a JPEG of allowed size, else re-encoded, upright and shrunk."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            if width * height > limits.max_pixels:
                return None, f"too many pixels: {width}x{height}"
            if min(width, height) < limits.min_side:
                return None, f"too small: {width}x{height}"
            image.load()
            if image.format == "JPEG" and max(width, height) <= limits.max_side:
                return data, ""
            rgb = to_rgb(upright(image))
            rgb.thumbnail((limits.max_side, limits.max_side), Image.Resampling.BICUBIC)
            buffer = io.BytesIO()
            rgb.save(buffer, "JPEG", quality=92)
            return buffer.getvalue(), ""
    except MemoryError:  # not the image's fault
        raise
    except Exception as error:  # of any kind: each of Pillow's decoders has its own, AVIF's a RuntimeError
        return None, f"broken image: {error}"


class ShardWriter:
    """Writes images into one tar; reproducible bytes (no times, no owners). The tar has its name only when it is whole."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.temporary = file.with_name(file.name + ".tmp")
        self.archive = tarfile.open(self.temporary, "w")  # noqa: SIM115 - until close()

    def add(self, key: str, image: bytes) -> tuple[int, int]:
        """Store an image as KEY.jpg; returns its place: (offset of its first byte in the tar, size)."""
        member = tarfile.TarInfo(f"{key}.jpg")
        member.size = len(image)
        self.archive.addfile(member, io.BytesIO(image))
        blocks = -(-len(image) // tarfile.BLOCKSIZE)
        return self.archive.offset - blocks * tarfile.BLOCKSIZE, len(image)

    def close(self) -> None:
        """Finish the tar and give it its name."""
        self.archive.close()
        os.replace(self.temporary, self.file)
