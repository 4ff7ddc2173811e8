"""Folders by URI: the same operations for `s3://bucket/prefix`, `file://` and plain paths."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

from container.failures import RefusedError, StorageError

MB = 1 << 20
# Parts of 64 MB: 10,000 of them, S3's limit, make 625 GB. One file is at most 4 parts at a time, as several files are.
TRANSFER = TransferConfig(multipart_threshold=64 * MB, multipart_chunksize=64 * MB, max_concurrency=4)
# Besides status 5xx and 429. The SDK renews a container's credentials, so expired ones are a failed renewal.
TRANSIENT_CODES = {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "ExpiredToken", "InternalError"}
ABSENT_CODES = {"404", "NoSuchKey"}
DENIED_CODES = {"403", "AccessDenied"}
# The object was replaced meanwhile, or is being written right now.
CHANGED_CODES = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}


@dataclass(frozen=True)
class Entry:
    """A file of a folder; `path` is relative to it, with slashes."""

    path: str
    size: int


class Folder(Protocol):
    """A folder of inputs or outputs. Every write replaces a whole file, so that readers see the old or the new one."""

    uri: str

    def entries(self) -> Iterator[Entry]:
        """Every file below the folder."""
        ...

    def read(self, path: str) -> bytes | None:
        """A small file's bytes; None where there is none."""
        ...

    def download(self, path: str, file: Path, on_bytes: Callable[[int], None]) -> None:
        """Copy a file to this machine; `on_bytes` gets the number of bytes of each part as it arrives."""
        ...

    def upload(self, file: Path, path: str) -> None:
        """Copy a file of this machine into the folder."""
        ...

    def write(self, path: str, data: bytes) -> None:
        """Replace a small file by these bytes."""
        ...

    def delete(self, paths: Iterable[str]) -> None:
        """Delete files; one that is missing is not an error."""
        ...

    def read_tagged(self, path: str) -> tuple[bytes, str] | None:
        """A small file's bytes and a tag that changes whenever it does."""
        ...

    def replace(self, path: str, data: bytes, tag: str | None) -> str | None:
        """Write where the file is still the one of that tag (None: absent); the new tag, or None where it is not."""
        ...


def open_folder(uri: str) -> Folder:
    """The folder that a URI names; it is not accessed yet."""
    if uri.startswith("s3://"):
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        if not bucket or not prefix.strip("/"):
            raise RefusedError(f"{uri}: s3://bucket/prefix is wanted, a whole bucket is not a folder")
        return S3Folder(bucket, prefix.strip("/"))
    if "://" in uri and not uri.startswith("file://"):
        raise RefusedError(f"{uri}: only s3:// and file:// can be read and written")
    return LocalFolder(Path(uri.removeprefix("file://")))


def safe_path(path: str, where: str) -> str:
    """The path as it is, if it stays below the folder it is relative to."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path:
        raise RefusedError(f"{where} names {path!r}, which is not a path below it")
    return path


class S3Folder:
    """Objects of one bucket below one prefix."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket, self.prefix = bucket, prefix
        self.uri = f"s3://{bucket}/{prefix}"

    def key(self, path: str) -> str:
        """The key of a file."""
        return f"{self.prefix}/{path}"

    def entries(self) -> Iterator[Entry]:
        """Every object below the prefix, page by page."""
        with s3_errors(f"list {self.uri}"):
            pages = client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"{self.prefix}/")
            for item in (item for page in pages for item in page.get("Contents", [])):
                path = item["Key"][len(self.prefix) + 1 :]
                if path and not path.endswith("/"):  # a console's "folder" is an empty object
                    yield Entry(path, item["Size"])

    def read(self, path: str) -> bytes | None:
        """An object's bytes; None where there is none."""
        found = self.read_tagged(path)
        return None if found is None else found[0]

    def _has(self, path: str) -> bool:
        found = client().list_objects_v2(Bucket=self.bucket, Prefix=self.key(path), MaxKeys=1)
        return any(item["Key"] == self.key(path) for item in found.get("Contents", []))

    def download(self, path: str, file: Path, on_bytes: Callable[[int], None]) -> None:
        """Download an object, in parts where it is large."""
        with s3_errors(f"download {self.uri}/{path}"):
            client().download_file(self.bucket, self.key(path), str(file), Callback=on_bytes, Config=TRANSFER)

    def upload(self, file: Path, path: str) -> None:
        """Upload a file; the object appears when its last part has arrived."""
        # Several parts above 64 MB: S3 takes at most 5 GB in one.
        with s3_errors(f"upload {self.uri}/{path}"):
            client().upload_file(str(file), self.bucket, self.key(path), Config=TRANSFER)

    def write(self, path: str, data: bytes) -> None:
        """Put an object."""
        with s3_errors(f"write {self.uri}/{path}"):
            client().put_object(Bucket=self.bucket, Key=self.key(path), Body=data)

    def read_tagged(self, path: str) -> tuple[bytes, str] | None:
        """An object's bytes with its ETag."""
        with s3_errors(f"read {self.uri}/{path}"):
            try:
                found = client().get_object(Bucket=self.bucket, Key=self.key(path))
                return found["Body"].read(), found["ETag"]
            except ClientError as error:
                # A role that may list only some folders gets 403 for a missing key, so a listing decides what 403 means.
                if code_of(error) in ABSENT_CODES or (code_of(error) in DENIED_CODES and not self._has(path)):
                    return None
                raise

    def replace(self, path: str, data: bytes, tag: str | None) -> str | None:
        """Put an object under a condition on its ETag; `data` says whose they are, so equal bytes were written here."""
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        with s3_errors(f"write {self.uri}/{path}"):
            try:
                return client().put_object(Bucket=self.bucket, Key=self.key(path), Body=data, **condition)["ETag"]
            except ClientError as error:
                if code_of(error) not in CHANGED_CODES | ABSENT_CODES:
                    raise
        # Where an answer is lost the SDK sends the same again, which then meets what it has written itself.
        found = self.read_tagged(path)
        return found[1] if found is not None and found[0] == data else None

    def delete(self, paths: Iterable[str]) -> None:
        """Delete objects one by one."""
        with s3_errors(f"delete files of {self.uri}"):
            for path in paths:
                client().delete_object(Bucket=self.bucket, Key=self.key(path))


class LocalFolder:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.uri = f"file://{self.folder}"

    def entries(self) -> Iterator[Entry]:
        """Every file below the folder, in the order of their paths."""
        for file in sorted(file for file in self.folder.rglob("*") if file.is_file()):
            yield Entry(file.relative_to(self.folder).as_posix(), file.stat().st_size)

    def read(self, path: str) -> bytes | None:
        """A file's bytes; None where there is none."""
        file = self.folder / path
        return file.read_bytes() if file.is_file() else None

    def download(self, path: str, file: Path, on_bytes: Callable[[int], None]) -> None:
        """Copy a file out of the folder."""
        if not (self.folder / path).is_file():
            raise StorageError(f"cannot download {self.uri}/{path}: it is not there", transient=False)
        shutil.copyfile(self.folder / path, file)
        on_bytes(file.stat().st_size)

    def upload(self, file: Path, path: str) -> None:
        """Copy a file into the folder, then rename it to its path."""
        temporary = self._temporary(path)
        shutil.copyfile(file, temporary)
        os.replace(temporary, self.folder / path)

    def write(self, path: str, data: bytes) -> None:
        """Write beside the file, then rename."""
        temporary = self._temporary(path)
        temporary.write_bytes(data)
        os.replace(temporary, self.folder / path)

    def read_tagged(self, path: str) -> tuple[bytes, str] | None:
        """A file's bytes with their digest."""
        data = self.read(path)
        return None if data is None else (data, hashlib.sha256(data).hexdigest())

    def replace(self, path: str, data: bytes, tag: str | None) -> str | None:
        """Write where the file still has the digest `tag`."""
        # Not atomic, which is enough for two terminals of one machine.
        found = self.read_tagged(path)
        if (None if found is None else found[1]) != tag:
            return None
        self.write(path, data)
        return hashlib.sha256(data).hexdigest()

    def delete(self, paths: Iterable[str]) -> None:
        """Delete files one by one."""
        for path in paths:
            (self.folder / path).unlink(missing_ok=True)

    def _temporary(self, path: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.with_name(file.name + ".tmp")


@cache
def client() -> Any:
    """The S3 client, created for the first `s3://` URI; endpoint, region and credentials come from the SDK's variables."""
    retries: Any = {"mode": "standard", "total_max_attempts": 5}
    # A connection on which nothing comes for so many seconds is dead. At a minute, the default, two in a row end a lease of three.
    waits = {"connect_timeout": 10, "read_timeout": 30}
    return boto3.client("s3", config=Config(retries=retries, max_pool_connections=64, tcp_keepalive=True, **waits))


@contextmanager
def s3_errors(what: str) -> Iterator[None]:
    """Turn every failure of the SDK into a StorageError with one sentence. The SDK itself has tried five times by then."""
    try:
        yield
    except (ClientError, BotoCoreError, Boto3Error) as error:
        # boto3 wraps the cause of a failed upload into a class of its own that does not name the reason.
        cause = error.__context__ if isinstance(error, Boto3Error) and error.__context__ else error
        raise StorageError(f"cannot {what}: {reason_of(cause)}", transient=is_transient(cause)) from error


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or status == 429 or code_of(error) in TRANSIENT_CODES
    # The rest are failed or broken connections and checksums that do not match.
    return not isinstance(error, NoCredentialsError | ParamValidationError)


def reason_of(error: BaseException) -> str:
    """The reason of a failed request, as the end of a sentence."""
    if isinstance(error, ClientError):
        code, message = code_of(error), error.response.get("Error", {}).get("Message", "")
        hint = " (the job's role lacks a permission on the bucket or on its key)" if code in DENIED_CODES else ""
        return "it is not there" if code in ABSENT_CODES else f"{code}: {message}{hint}"
    if isinstance(error, NoCredentialsError):
        return "there are no credentials: give the job a role, or set the SDK's variables"
    return str(error)


def code_of(error: ClientError) -> str:
    """The error code of an answer, empty where it has none."""
    return error.response.get("Error", {}).get("Code", "")
