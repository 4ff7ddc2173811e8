"""Vectors that were computed before, in a folder: a file is named by the digest of what its vectors were computed from."""

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from engine.folders.files import replacing

MOST_BYTES = 2 << 30  # the files used longest ago go first


class VectorCache:
    """Without a folder nothing is kept."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    def vectors(self, parts: Iterable[str], compute: Callable[[], np.ndarray]) -> np.ndarray:
        """float32 [N, E] of what `parts` name; computed where it is not there yet."""
        if self.folder is None:
            return compute()
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part.encode() + b"\0")
        file = self.folder / f"{digest.hexdigest()}.npy"
        try:
            vectors_NE = np.load(file)
            os.utime(file)
            return vectors_NE
        except (OSError, ValueError, EOFError):
            pass  # it is not there, or a crash or a full disk cut it short
        vectors_NE = compute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prune(MOST_BYTES - vectors_NE.nbytes)
        with replacing(file) as out:
            np.save(out, vectors_NE)
        return vectors_NE

    def prune(self, most: int) -> None:
        """Remove files until at most `most` bytes are left. Another process may do the same."""
        assert self.folder is not None
        for file in sorted(self.folder.glob("*.npy*"), key=last_use, reverse=True):
            most -= file.stat().st_size if file.exists() else 0
            if most < 0:
                file.unlink(missing_ok=True)


def last_use(file: Path) -> float:
    """Seconds since the epoch."""
    return file.stat().st_mtime if file.exists() else 0.0
