"""What a file's metadata says: whether it changed since it was read, and whether a checkpoint's folder is whole."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from container.fetch import is_shard


@dataclass(frozen=True)
class State:
    """Enough of a file's metadata to see that it changed."""

    size: int
    modified: int
    inode: int


def folder_of(shard: str) -> str:
    """`checkpoints/NAME-STEP` of a file in it."""
    return "/".join(shard.split("/")[:2])


def folders_of(names: Iterable[str]) -> set[str]:
    """The folders of checkpoints that files are in."""
    return {folder_of(name) for name in names if is_shard(name)}


def whole_folders(states: dict[str, State], saved_at: int) -> set[str]:
    """Those in which nothing was written after the file that names the newest checkpoint."""
    newer = folders_of(path for path, state in states.items() if state.modified > saved_at)
    return folders_of(states) - newer


def newest_size(states: dict[str, State]) -> int:
    """Bytes of the largest checkpoint's tensors."""
    sizes: dict[str, int] = {}
    for path, state in states.items():
        if is_shard(path):
            folder = path.split("/")[1]
            sizes[folder] = sizes.get(folder, 0) + state.size
    return max(sizes.values(), default=0)


def state_of(file: Path) -> State:
    """A file's state, or that of a file that is not there."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return State(-1, 0, 0)
    return State(stat.st_size, stat.st_mtime_ns, stat.st_ino)
