"""A folder that is there when everything in it is written, or not at all."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exchange.refusal import CannotExpress

FILLED = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


@contextmanager
def becoming(folder: Path) -> Iterator[Path]:
    """An empty folder that becomes `folder` when everything is in it; after an error nothing is left.

    Raises CannotExpress where another process has filled `folder` meanwhile.
    """
    place = folder.resolve()  # a link to an empty folder is that folder
    is_disk = place.is_mount()  # a volume of a container, for instance, which nothing can take the place of
    beside = place if is_disk else place.parent
    beside.mkdir(parents=True, exist_ok=True)
    # Named before it exists: whoever is interrupted at the next line knows what to remove.
    making = beside / f".{place.name}-{secrets.token_hex(8)}"
    try:
        making.mkdir(mode=0o700)
        yield making
        share(making)
        if is_disk:
            for written in sorted(making.iterdir()):
                written.rename(place / written.name)
        else:
            # An empty folder is replaced in this one step, and one that is not empty stays.
            os.rename(making, place)
    except OSError as error:
        if error.errno not in FILLED or error.filename != str(making):
            raise
        raise CannotExpress(f"{folder} was filled meanwhile: name another folder with --to, or remove it") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)


def share(folder: Path) -> None:
    """Give what is in a folder, and the folder, the rights of new files: some libraries write theirs for the owner alone."""
    hidden = os.umask(0)
    os.umask(hidden)
    for path in [folder, *folder.rglob("*")]:
        path.chmod((0o777 if path.is_dir() else 0o666) & ~hidden)
