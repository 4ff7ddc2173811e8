"""`python -m container.copy FOLDER NAME FILE`: copies one file of an `s3://` or `file://` folder to this machine.

What a stage that streams shards runs for each of them (data/copies.py, `CommandCopy`): stages know no store themselves.
"""

import sys
from pathlib import Path

from container.failures import RefusedError, StorageError
from container.folders import open_folder, safe_path
from contracts.constants import EXIT_INTERRUPTED, EXIT_REFUSED

USAGE = "usage: python -m container.copy FOLDER NAME FILE, the s3:// or file:// URI of a folder, a file below it, and where to copy it"


def main() -> int:
    """Copy; returns the exit code."""
    if len(sys.argv) != 4:
        print(USAGE, file=sys.stderr)
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    _, folder, name, file = sys.argv
    try:
        open_folder(folder).download(safe_path(name, folder), Path(file), lambda _: None)
    except (RefusedError, StorageError) as error:
        print(error, file=sys.stderr)
        return EXIT_INTERRUPTED if isinstance(error, StorageError) and error.transient else EXIT_REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
