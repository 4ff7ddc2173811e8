"""`python -m container.copy FOLDER`: copies files of an `s3://` or `file://` folder to this machine.

Standard input asks for them, {name, file} a line; several are copied at a time, and each is answered by {name, error} when it is
there. The bytes are compared with the folder's index, where it has one. What stages run that leave files in the store until they
read them (data/copies.py): they know no store themselves.
"""

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from container.failures import RefusedError, StorageError
from container.fetch import fetch_of, fetch_one, read_index
from container.folders import open_folder, safe_path
from container.progress import Progress
from contracts.constants import EXIT_OK, EXIT_USAGE, FILE_DATA_INDEX

USAGE = "usage: python -m container.copy FOLDER, the s3:// or file:// URI of a folder; reads lines of {name, file}"
THREADS = 16  # files that are copied at a time


def main() -> int:
    """Copy what standard input asks for until it ends; returns the exit code."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(USAGE, file=sys.stderr)
        return EXIT_OK if sys.argv[1:] in (["-h"], ["--help"]) else EXIT_USAGE
    uri = sys.argv[1]

    def copy(name: str, file: str) -> None:
        error = None
        try:
            copy_file(uri, safe_path(name, uri), Path(file))
        except (RefusedError, StorageError, OSError) as reason:
            error = str(reason)
        with lock:
            print(json.dumps({"name": name, "error": error}), flush=True)

    lock = threading.Lock()
    with ThreadPoolExecutor(THREADS) as pool:
        for line in sys.stdin:
            pool.submit(copy, **json.loads(line))
    return EXIT_OK


def copy_file(uri: str, name: str, file: Path) -> None:
    """Copy a file, and refuse it where it is not what the folder's index says."""
    folder = open_folder(uri)
    data = folder.read(FILE_DATA_INDEX)
    if data is None:
        folder.download(name, file, lambda _: None)
        return
    index = read_index(data, folder)
    said = next((each for each in index["files"] if each["path"] == name), None)
    if said is None:
        raise RefusedError(f"{folder.uri}/{FILE_DATA_INDEX} does not name {name}")
    fetch_one(fetch_of(said, index, folder, file), Progress(name, said["size"], lambda _: None))


if __name__ == "__main__":
    sys.exit(main())
