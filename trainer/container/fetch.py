"""Downloads a stage's inputs, many files at a time, and verifies every file whose digest is known."""

import errno
import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from container.failures import RefusedError, StorageError
from container.folders import Folder, open_folder, safe_path
from container.progress import Progress, duration, size
from container.report import ReportError, digests_of
from contracts import ContractError, load
from contracts.constants import DATA_ROLE, FILE_DATA_INDEX, FILE_LOG, FILE_REPORT, FILE_SHARDS
from contracts.parts import is_read
from contracts.types import Artefact, DataIndex

THREADS = 16
ROLE = re.compile(r"[A-Za-z0-9_-]+")
RESERVE = 1 << 30  # bytes of disk to leave for what the stage writes first


@dataclass(frozen=True)
class Fetch:
    """One file to download, by its name in a folder. `source` says in an error which document promised size and digest.

    `stored`: folder and name of its bytes where they are kept by their content, apart from the folder that names them.
    """

    folder: Folder
    path: str
    size: int
    digest: str | None
    file: Path
    source: str
    stored: tuple[Folder, str] | None = None


def fetches_of_input(role: str, uri: str, target: Path, parts: Iterable[str] | None = None) -> list[Fetch]:
    """Every file of an input's folder; refuses one that is not finished or lacks what its report names.

    `parts`: those of what the stage `role` wrote that may be read; files of other parts are not fetched.
    """
    if ROLE.fullmatch(role) is None:
        raise RefusedError(f"input {role!r}: a role is letters, digits, _ and -")
    folder = open_folder(uri)
    if role == DATA_ROLE:
        index = folder.read(FILE_DATA_INDEX)
        if index is not None:
            return fetches_of_index(index, folder, target)
    sizes = {entry.path: entry.size for entry in folder.entries()}
    if not sizes:
        raise RefusedError(f"input '{role}': there is nothing at {folder.uri}")
    digests = {} if role == DATA_ROLE else verified_digests(role, folder, sizes)
    return [
        Fetch(folder, path, count, digests.get(path), target / safe_path(path, folder.uri), FILE_REPORT)
        for path, count in sizes.items()
        if role == DATA_ROLE
        or (not is_transient_file(path) and (parts is None or path == FILE_REPORT or is_read(path, role, parts)))
    ]


def fetches_of_weights(uri: str, target: Path) -> list[Fetch]:
    """Every file of an uploaded folder of weights."""
    folder = open_folder(uri)
    index = folder.read(FILE_DATA_INDEX)
    if index is None:
        raise RefusedError(f"there are no weights at {folder.uri}, or not all of them yet: submit the recipe again")
    return fetches_of_index(index, folder, target)


def fetches_of_index(index: bytes, folder: Folder, target: Path) -> list[Fetch]:
    """The files that index.json names."""
    read = read_index(index, folder)
    where = f"{folder.uri}/{FILE_DATA_INDEX}"
    return [fetch_of(item, read, folder, target / safe_path(item["path"], where)) for item in read["files"]]


def fetch_of(item: Artefact, index: DataIndex, folder: Folder, file: Path) -> Fetch:
    """One file of an index: beside it by its path, or where the index says that all files are, by its digest."""
    files_at = index.get("files_at")
    stored = None
    if files_at is not None:
        stored = open_folder(from_folder(folder.uri, files_at)), item["digest"].removeprefix("sha256:")
    return Fetch(folder, item["path"], item["size"], item["digest"], file, FILE_DATA_INDEX, stored)


def from_folder(uri: str, relative: str) -> str:
    """The URI of a folder relative to another, `..` for the one above."""
    parts = uri.split("/")
    for part in relative.split("/"):
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def is_transient_file(path: str) -> bool:
    """Whether a file belongs to an attempt and not to its result."""
    name = path.rsplit("/", 1)[-1]
    return name.endswith(".tmp") or path == FILE_LOG or is_checkpoint(path) or is_shard(path)


def is_checkpoint(path: str) -> bool:
    """Files that name a checkpoint: replaced in one step, so always whole, and written after what they name."""
    return path.startswith("checkpoint") and path.endswith(".pt")


def is_shard(path: str) -> bool:
    """Tensors of a checkpoint, `checkpoints/NAME-STEP/…`, which are whole once a file names their folder."""
    return path.startswith("checkpoints/")


def read_index(data: bytes, folder: Folder) -> DataIndex:
    """The document index.json. The upload of a data set writes it last."""
    try:
        return cast(DataIndex, load("DataIndex", data.decode("utf-8")))
    except (ContractError, UnicodeDecodeError) as error:
        raise RefusedError(f"{folder.uri}/{FILE_DATA_INDEX} is refused: {error}; upload again") from error


def verified_digests(role: str, folder: Folder, sizes: dict[str, int]) -> dict[str, str]:
    """Path to digest of what an input's report names; other files of the folder have none."""
    report = folder.read(FILE_REPORT)
    if report is None:
        raise RefusedError(
            f"input '{role}': {folder.uri} holds no {FILE_REPORT}: the job that writes it has to run first"
        )
    try:
        return digests_of(report, sizes) | digests_of_shards(folder, sizes)
    except ReportError as error:
        raise RefusedError(
            f"input '{role}', {folder.uri}: {error}; delete {FILE_REPORT} there to have it made again"
        ) from error


def digests_of_shards(folder: Folder, sizes: dict[str, int]) -> dict[str, str]:
    """Path to digest of the shards that a folder's manifest names, each of which must be there with its size."""
    manifest = folder.read(FILE_SHARDS) if FILE_SHARDS in sizes else None
    if manifest is None:
        return {}
    try:
        shards = load("PreparedManifest", manifest.decode("utf-8"))["shards"]
    except (ContractError, UnicodeDecodeError) as error:
        raise ReportError(f"{FILE_SHARDS} is refused: {error}") from error
    files = [file for shard in shards for file in (shard["rows"], shard.get("images")) if file is not None]
    for file in files:
        if sizes.get(file["path"]) != file["size"]:
            found = sizes.get(file["path"], "no")
            raise ReportError(f"{file['path']} has {found} bytes, {FILE_SHARDS} says {file['size']}")
    return {file["path"]: file["digest"] for file in files}


def fetch_all(what: str, fetches: list[Fetch], disk: Path, log: Callable[[str], None]) -> None:
    """Download and verify every file, or raise. `disk` is a folder on the volume that the files go to."""
    total = sum(fetch.size for fetch in fetches)
    free = shutil.disk_usage(disk).free
    if total + RESERVE > free:
        raise RefusedError(
            f"{what}: {size(total)} to download and {size(RESERVE)} to start with do not fit the {size(free)} that are "
            f"free at {disk}: give the machines a larger volume, or name another in WORK_DIR"
        )
    started = time.monotonic()
    progress = Progress(f"downloading {what}", total, log)
    for folder in {fetch.file.parent for fetch in fetches}:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        in_parallel([lambda fetch=fetch: fetch_one(fetch, progress) for fetch in fetches], THREADS)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        # It fitted a moment ago, so another job shares the machine. The next attempt may have a machine to itself.
        raise StorageError(f"{what}: the disk at {disk} is full; {size(total)} are needed", transient=True) from error
    log(f"downloaded {what}: {len(fetches)} files, {size(total)} in {duration(time.monotonic() - started)}")


def fetch_one(fetch: Fetch, progress: Progress) -> None:
    """Download one file; refused where its size or digest is not the promised one."""
    folder, path = fetch.stored or (fetch.folder, fetch.path)
    folder.download(path, fetch.file, progress.add)
    name, found = f"{folder.uri}/{path}", fetch.file.stat().st_size
    if found != fetch.size:
        raise RefusedError(
            f"{name} has {found} bytes, {fetch.source} says {fetch.size}: it was altered or half uploaded"
        )
    if fetch.digest is None:
        return
    with fetch.file.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    if digest != fetch.digest:
        raise RefusedError(
            f"{name} has {digest}, {fetch.source} says {fetch.digest}: it was altered after it was written"
        )


def in_parallel(tasks: Iterable[Callable[[], None]], threads: int) -> None:
    """Run every task, or raise what the first one that failed raised."""
    pool = ThreadPoolExecutor(threads)
    try:
        done, _ = wait([pool.submit(task) for task in tasks], return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
