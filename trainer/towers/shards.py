"""Writes images into tar shards, as JPEG of bounded size."""

import io
import tarfile
from pathlib import Path

from PIL import Image, ImageOps

from contracts.types import PrepareConfig
from towers.preprocess import to_rgb


def stored_image(data: bytes, config: PrepareConfig) -> tuple[bytes | None, str]:
    """JPEG bytes to store: the original where it is a JPEG of allowed size, else re-encoded, upright and shrunk."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            if width * height > config["max_pixels"]:
                return None, f"too many pixels: {width}x{height}"
            if min(width, height) < config["min_side"]:
                return None, f"too small: {width}x{height}"
            image.load()
            if image.format == "JPEG" and max(width, height) <= config["max_side"]:
                return data, ""
            upright = to_rgb(ImageOps.exif_transpose(image))
            upright.thumbnail((config["max_side"], config["max_side"]), Image.Resampling.BICUBIC)
            buffer = io.BytesIO()
            upright.save(buffer, "JPEG", quality=92)
            return buffer.getvalue(), ""
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return None, f"broken image: {error}"


class ShardWriter:
    """Writes images into tar shards of `size` images each; reproducible bytes (no times, no owners)."""

    def __init__(self, folder: Path, split: str, first: int, size: int) -> None:
        self.folder, self.split, self.size = folder, split, size
        self.count = first
        self.images = 0
        self.archive: tarfile.TarFile | None = None

    def add(self, key: str, image: bytes) -> str:
        """Store an image; returns the shard's file name."""
        if self.archive is None or self.images == self.size:
            self.close()
            self.archive = tarfile.open(self.folder / f"{self.split}-{self.count:05d}.tar", "w")  # noqa: SIM115 - until close()
            self.count += 1
        member = tarfile.TarInfo(f"{key}.jpg")
        member.size = len(image)
        self.archive.addfile(member, io.BytesIO(image))
        self.images += 1
        return f"{self.split}-{self.count - 1:05d}.tar"

    def close(self) -> None:
        """Finish the shard that is open."""
        if self.archive is not None:
            self.archive.close()
        self.archive, self.images = None, 0
