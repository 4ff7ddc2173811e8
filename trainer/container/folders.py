"""A folder by its URI, `s3://bucket/prefix` or `file://` and plain paths: the same verbs for both."""

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
# Besides status 5xx and 429. A container's credentials are renewed by the SDK: expired ones are a renewal that failed.
TRANSIENT_CODES = {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "ExpiredToken", "InternalError"}
ABSENT_CODES = {"404", "NoSuchKey"}
DENIED_CODES = {"403", "AccessDenied"}
# The object is another one by now, or is being written this moment.
CHANGED_CODES = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}


@dataclass(frozen=True)
class Entry:
    """A file of a folder; `path` is relative to it, with slashes."""

    path: str
    size: int


class Folder(Protocol):
    """Where inputs come from and outputs go to. Every write replaces a file as a whole: readers see the old or the new."""

    uri: str

    def entries(self) -> Iterator[Entry]: ...

    def read(self, path: str) -> bytes | None:
        """A small file's bytes; None where there is none."""
        ...

    def download(self, path: str, file: Path, on_bytes: Callable[[int], None]) -> None: ...

    def upload(self, file: Path, path: str) -> None: ...

    def write(self, path: str, data: bytes) -> None: ...

    def delete(self, paths: Iterable[str]) -> None: ...

    def read_tagged(self, path: str) -> tuple[bytes, str] | None:
        """A small file's bytes and a tag that changes whenever it does."""
        ...

    def replace(self, path: str, data: bytes, tag: str | None) -> str | None:
        """Write where the file is still the one of that tag (None: absent); the new tag, or None where it is not."""
        ...


def open_folder(uri: str) -> Folder:
    """The folder that a URI names; nothing is asked of it yet."""
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
        return f"{self.prefix}/{path}"

    def entries(self) -> Iterator[Entry]:
        with s3_errors(f"list {self.uri}"):
            pages = client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"{self.prefix}/")
            for item in (item for page in pages for item in page.get("Contents", [])):
                path = item["Key"][len(self.prefix) + 1 :]
                if path and not path.endswith("/"):  # a console's "folder" is an empty object
                    yield Entry(path, item["Size"])

    def read(self, path: str) -> bytes | None:
        found = self.read_tagged(path)
        return None if found is None else found[0]

    def _has(self, path: str) -> bool:
        found = client().list_objects_v2(Bucket=self.bucket, Prefix=self.key(path), MaxKeys=1)
        return any(item["Key"] == self.key(path) for item in found.get("Contents", []))

    def download(self, path: str, file: Path, on_bytes: Callable[[int], None]) -> None:
        with s3_errors(f"download {self.uri}/{path}"):
            client().download_file(self.bucket, self.key(path), str(file), Callback=on_bytes, Config=TRANSFER)

    def upload(self, file: Path, path: str) -> None:
        # Several parts above 64 MB (S3 takes at most 5 GB in one); the object appears when the last one is there.
        with s3_errors(f"upload {self.uri}/{path}"):
            client().upload_file(str(file), self.bucket, self.key(path), Config=TRANSFER)

    def write(self, path: str, data: bytes) -> None:
        with s3_errors(f"write {self.uri}/{path}"):
            client().put_object(Bucket=self.bucket, Key=self.key(path), Body=data)

    def read_tagged(self, path: str) -> tuple[bytes, str] | None:
        with s3_errors(f"read {self.uri}/{path}"):
            try:
                found = client().get_object(Bucket=self.bucket, Key=self.key(path))
                return found["Body"].read(), found["ETag"]
            except ClientError as error:
                # A role that may list only some folders is told 403 for a key that is not there, so 403 is asked about.
                if code_of(error) in ABSENT_CODES or (code_of(error) in DENIED_CODES and not self._has(path)):
                    return None
                raise

    def replace(self, path: str, data: bytes, tag: str | None) -> str | None:
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        with s3_errors(f"write {self.uri}/{path}"):
            try:
                return client().put_object(Bucket=self.bucket, Key=self.key(path), Body=data, **condition)["ETag"]
            except ClientError as error:
                if code_of(error) in CHANGED_CODES | ABSENT_CODES:
                    return None
                raise

    def delete(self, paths: Iterable[str]) -> None:
        with s3_errors(f"delete files of {self.uri}"):
            for path in paths:
                client().delete_object(Bucket=self.bucket, Key=self.key(path))


class LocalFolder:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.uri = f"file://{self.folder}"

    def entries(self) -> Iterator[Entry]:
        for file in sorted(file for file in self.folder.rglob("*") if file.is_file()):
            yield Entry(file.relative_to(self.folder).as_posix(), file.stat().st_size)

    def read(self, path: str) -> bytes | None:
        file = self.folder / path
        return file.read_bytes() if file.is_file() else None

    def download(self, path: str, file: Path, on_bytes: Callable[[int], None]) -> None:
        if not (self.folder / path).is_file():
            raise StorageError(f"cannot download {self.uri}/{path}: it is not there", transient=False)
        shutil.copyfile(self.folder / path, file)
        on_bytes(file.stat().st_size)

    def upload(self, file: Path, path: str) -> None:
        temporary = self._temporary(path)
        shutil.copyfile(file, temporary)
        os.replace(temporary, self.folder / path)

    def write(self, path: str, data: bytes) -> None:
        temporary = self._temporary(path)
        temporary.write_bytes(data)
        os.replace(temporary, self.folder / path)

    def read_tagged(self, path: str) -> tuple[bytes, str] | None:
        data = self.read(path)
        return None if data is None else (data, hashlib.sha256(data).hexdigest())

    def replace(self, path: str, data: bytes, tag: str | None) -> str | None:
        # Enough for one machine, where two attempts at the same instant are one person's two terminals.
        found = self.read_tagged(path)
        if (None if found is None else found[1]) != tag:
            return None
        self.write(path, data)
        return hashlib.sha256(data).hexdigest()

    def delete(self, paths: Iterable[str]) -> None:
        for path in paths:
            (self.folder / path).unlink(missing_ok=True)

    def _temporary(self, path: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.with_name(file.name + ".tmp")


@cache
def client() -> Any:
    """The S3 client, made when a `s3://` URI is met; endpoint, region and credentials are the SDK's own variables."""
    retries: Any = {"mode": "standard", "total_max_attempts": 5}
    return boto3.client("s3", config=Config(retries=retries, max_pool_connections=64, tcp_keepalive=True))


@contextmanager
def s3_errors(what: str) -> Iterator[None]:
    """Every way the SDK fails, as one class with one sentence. The SDK itself has tried five times by then."""
    try:
        yield
    except (ClientError, BotoCoreError, Boto3Error) as error:
        # boto3 wraps what an upload met into a class of its own, without a reason that could be looked at.
        cause = error.__context__ if isinstance(error, Boto3Error) and error.__context__ else error
        raise StorageError(f"cannot {what}: {reason_of(cause)}", is_transient(cause)) from error


def is_transient(error: BaseException) -> bool:
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or status == 429 or code_of(error) in TRANSIENT_CODES
    # What is left are connections that failed or broke off and checksums that did not agree.
    return not isinstance(error, NoCredentialsError | ParamValidationError)


def reason_of(error: BaseException) -> str:
    if isinstance(error, ClientError):
        code, message = code_of(error), error.response.get("Error", {}).get("Message", "")
        hint = " (the job's role lacks a permission on the bucket or on its key)" if code in DENIED_CODES else ""
        return "it is not there" if code in ABSENT_CODES else f"{code}: {message}{hint}"
    if isinstance(error, NoCredentialsError):
        return "there are no credentials: give the job a role, or set the SDK's variables"
    return str(error)


def code_of(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")
