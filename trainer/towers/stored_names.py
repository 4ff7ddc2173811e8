"""Names of files in both forms of Unicode: Macs store `ö` as o and a mark behind it, most other systems and tables as one letter."""

import os
from functools import lru_cache
from pathlib import Path

from towers.text.unicode import composed


def as_stored(path: Path) -> Path:
    """The file or folder that is there by this name in another form of Unicode; the path itself where none is."""
    if str(path).isascii() or os.path.lexists(path):
        return path
    folder = as_stored(path.parent)
    try:
        names = names_in(str(folder), os.stat(folder).st_mtime_ns)
    except (OSError, ValueError):  # missing, not to be listed, or no name of a file at all
        return folder / path.name
    return folder / names.get(composed(path.name), path.name)


@lru_cache(maxsize=64)
def names_in(folder: str, _changed: int) -> dict[str, str]:
    """The names in a folder by their composed form. `_changed`: the folder's time, so that new files are seen."""
    return {composed(name): name for name in sorted(os.listdir(folder), reverse=True)}
