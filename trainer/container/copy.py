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
from typing import NamedTuple

from container.failures import RefusedError, StorageError
from container.fetch import fetch_of, fetch_one, read_index
from container.folders import open_folder, safe_path
from container.progress import Progress
from contracts.command_line import empty_word
from contracts.constants import EXIT_OK, EXIT_USAGE, FILE_DATA_INDEX
from contracts.types import Artefact, DataIndex

USAGE = "usage: python -m container.copy FOLDER, the s3:// or file:// URI of a folder; reads lines of {name, file}"
THREADS = 16  # files that are copied at a time


def main() -> int:
    """Copy what standard input asks for until it ends; returns the exit code."""
    refusal = empty_word(sys.argv[1:])
    if refusal is not None or len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(refusal or USAGE, file=sys.stderr)
        return EXIT_OK if sys.argv[1:] in (["-h"], ["--help"]) else EXIT_USAGE
    source, lock = Source(sys.argv[1]), threading.Lock()

    def copy(name: str, file: str) -> None:
        error = None
        try:
            source.copy(safe_path(name, source.folder.uri), Path(file))
        except (RefusedError, StorageError, OSError) as reason:
            error = str(reason)
        with lock:
            print(json.dumps({"name": name, "error": error}), flush=True)

    with ThreadPoolExecutor(THREADS) as pool:
        for line in sys.stdin:
            pool.submit(copy, **json.loads(line))
    return EXIT_OK


class Source:
    """A folder that files are copied from. Its index, which may name a million of them, is read once, for the first file."""

    def __init__(self, uri: str) -> None:
        self.folder = open_folder(uri)
        self.lock = threading.Lock()
        self.index: Index | None = None

    def copy(self, name: str, file: Path) -> None:
        """Copy a file, and refuse it where it is not what the folder's index says."""
        index = self.read_index()
        if index.document is None:
            self.folder.download(name, file, lambda _: None)
            return
        said = index.files.get(name)
        if said is None:
            raise RefusedError(f"{self.folder.uri}/{FILE_DATA_INDEX} does not name {name}")
        fetch = fetch_of(said, index.document, self.folder, file)
        fetch_one(fetch, Progress(name, said["size"], lambda _: None))

    def read_index(self) -> "Index":
        """The folder's index; where reading fails, the next file tries again."""
        with self.lock:
            if self.index is None:
                data = self.folder.read(FILE_DATA_INDEX)
                document = None if data is None else read_index(data, self.folder)
                files = [] if document is None else document["files"]
                self.index = Index(document, {each["path"]: each for each in files})
            return self.index


class Index(NamedTuple):
    """index.json and its files by path; None and nothing where a folder has none."""

    document: DataIndex | None
    files: dict[str, Artefact]


if __name__ == "__main__":
    sys.exit(main())
