"""A folder that is there when everything in it is written, or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def becoming(folder: Path) -> Iterator[Path]:
    """An empty folder that becomes `folder` when everything is in it; after an error nothing is left."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield making
        if folder.exists():
            folder.rmdir()
        making.chmod(0o755)
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
