"""Dataset: the collection, items and files of a local folder or an s3:// prefix, streamed.

A path is relative to the dataset's root, with `/` between its parts. Files come in an order that
depends on their paths alone, but not in the same one everywhere: a folder is listed by its paths'
bytes, a bucket as its store lists it.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple, Protocol, cast

from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.base.parallel import THREADS
from dedl_workbook.dataset import handles, s3, walk
from dedl_workbook.parameters.target import S3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

COLLECTION = "metadata/collection.json"
ITEMS = "metadata/items/"
DATA = "data/"
READS = 3
"""How often an object's stream that breaks off is read, at most."""


class File(NamedTuple):
    """One file: what it is called and which state of it was seen."""

    path: str
    size: int
    """Bytes; -1 where it wasn't looked at (see `Dataset.entries`)."""
    version: str
    """Of a local file its identity (see `_version`), of an object its ETag; '' likewise."""
    kind: Literal["file", "symlink", "other", "unreadable"] = "file"


class Names(NamedTuple):
    """Regular files of one folder, none of which was looked at."""

    folder: str
    """Its path with `/` at its end, or '' for the root."""
    names: list[str]
    whole: bool
    """Whether the folder holds these, and nothing else."""


class Dataset(Protocol):
    """What a delivered dataset can be asked for."""

    @property
    def location(self) -> str:
        """The folder or the s3:// address."""

    @property
    def name(self) -> str:
        """The name of the root folder (the bucket or the last part of the prefix)."""

    def files(self, prefix: str = "") -> Iterator[File]:
        """Yield the files whose paths start with `prefix`; links unfollowed."""

    def entries(self) -> Iterator[File | Names]:
        """Yield every file as `files` does, but look at no regular one in a folder."""

    def stat(self, path: str) -> File | None:
        """Return a file as it is now, or None."""

    def identities(self) -> Iterator[str]:
        """Yield a line for each file, and each folder that is one, which tells its state."""

    def read(self, path: str, start: int = 0, length: int | None = None) -> bytes:
        """Return a file's bytes, or a range of them.

        Raises:
            OSError: it is gone or can't be read.
            ServiceError: the store that it lies in doesn't answer.
        """

    def read_state(self, file: File, start: int, length: int) -> bytes:
        """Return a range of a file's bytes, in the very state that was listed.

        Raises:
            ChangedFileError: it is in another state, before or after it was read.
            OSError: it is gone or can't be read.
            ServiceError: the store that it lies in doesn't answer.
        """

    def head(self, path: str, length: int) -> tuple[bytes, int, int]:
        """Return a file's first bytes, at most `length`, its size, and how many names it has.

        All in one access. More names than one are hard links; an object has one.

        Raises:
            OSError: it is gone or can't be read.
        """

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open a file for reading from its start."""


_FORMS = "Name a folder, or s3://bucket/prefix with s3:// in small letters."


def open_dataset(location: str, *, root: Path | None = None, settings: S3 | None = None) -> Dataset:
    """Open a dataset at a folder or an s3:// address.

    Args:
        location: `s3://bucket[/prefix]`, or a folder.
        root: what a relative folder starts from; default: the current folder.
        settings: the S3 endpoint of an s3:// address; default: what boto3 finds.

    Raises:
        InputError: none was named, nothing there, a file, empty, or unreadable.
        ServiceError: the S3 endpoint refuses or doesn't answer.
    """
    if location.startswith("s3://"):
        return _open_bucket(location, settings)
    if not location.strip():
        raise InputError("no dataset was named", remedy=_FORMS)
    if "://" in location:
        raise InputError(
            "datasets can't be read from such an address", where=location, remedy=_FORMS
        )
    try:
        folder = (root or Path()) / Path(location).expanduser()
        if not folder.exists():
            raise InputError("there is no such folder", where=location)
        if not folder.is_dir():
            raise InputError("is a file; a dataset is a folder", where=location)
        with os.scandir(folder) as entries:
            if next(entries, None) is None:
                raise InputError("is an empty folder", where=location)
    except (OSError, RuntimeError) as error:
        # A RuntimeError: there is no user of that name, as in ~name/folder.
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"can't be read: {reason}", where=location) from error
    return Folder(folder.resolve())


class ChangedFileError(OSError):
    """A file is not in the state that was listed."""


def fingerprint(dataset: Dataset) -> str:
    """Return the SHA-256 over the state of every file: the dataset's identity.

    It costs a listing, no reading. Two equal fingerprints mean that nothing was changed: a local
    file can't be written, nor one put in its place, without another inode or another ctime, which
    nobody can set back as they can the time of the last change; the same holds for folders.

    The order of the listing counts; that is fine, because fingerprints are only compared within one
    store, which lists equal paths in an equal order. Were it not so, an unchanged dataset would be
    taken for a changed one and refused, never the other way round. (Sorting would hold every path
    in memory; a sum of digests, which needs no order, can be forged.)
    """
    total = hashlib.sha256()
    for line in dataset.identities():
        total.update(line.encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def _identity(file: File) -> str:
    return f"{file.path}\0{file.kind}\0{file.size}\0{file.version}\n"


@dataclass(frozen=True)
class Folder:
    """A dataset in a local folder."""

    root: Path

    @property
    def location(self) -> str:
        """The folder's path."""
        return str(self.root)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.root.name

    def files(self, prefix: str = "") -> Iterator[File]:
        """Yield the files whose paths start with `prefix`, in byte order; links unfollowed."""
        below = prefix[: prefix.rfind("/") + 1]
        for folder, names, kind in self._walked(below):
            wanted = [name for name in names if (folder + name).startswith(prefix)]
            yield from self._files(folder, wanted, kind)

    def entries(self) -> Iterator[File | Names]:
        """Yield every file as `files` does, the regular ones of a folder together."""
        for folder, names, kind in self._walked(""):
            if kind in ("file", "whole"):
                yield Names(folder, names, kind == "whole")
            else:
                yield from self._files(folder, names, kind)

    def identities(self) -> Iterator[str]:
        """Yield a line for each file, and for each folder with files.

        Who exchanges a folder, has it read, and puts it back, leaves its files as they were, but
        not the folder.
        """
        last = None
        for folder, names, kind in self._walked(""):
            if folder != last and kind != "closed":
                with suppress(OSError):
                    yield f"{folder}\0folder\0{self._version(self._handles.folder(folder))}\n"
                last = folder
            yield from map(_identity, self._files(folder, names, kind))

    def _walked(self, below: str) -> Iterator[tuple[str, list[str], walk.Kind]]:
        """Walk the dataset; it is an error (InputError) if that is gone by the end."""
        try:
            root = self._handles
        except FileNotFoundError:
            raise InputError("the dataset's folder is gone", where=self.location) from None
        yield from walk.walk(root, below)
        if not root.is_there():
            raise InputError("the dataset's folder is gone", where=self.location)

    def _files(self, folder: str, names: list[str], kind: walk.Kind) -> Iterator[File]:
        if kind == "closed":
            yield from (File(folder + name, 0, "", "unreadable") for name in names)
            return
        try:
            for name, status in zip(names, self._handles.stats(folder, names), strict=True):
                if status is not None and not stat.S_ISDIR(status.st_mode):
                    yield self._file(folder + name, status)
        except OSError:
            # The folder is gone, or a link now.
            return

    def stat(self, path: str) -> File | None:
        """Return a file as it is now, or None."""
        try:
            status = self._handles.stat(path)
        except (OSError, ValueError):
            return None
        return None if stat.S_ISDIR(status.st_mode) else self._file(path, status)

    def read(self, path: str, start: int = 0, length: int | None = None) -> bytes:
        """Return a file's bytes, or a range of them."""
        handle = self._handles.open(path)
        try:
            most = max(0, _regular(handle, path).st_size - start)
            return _read(handle, start, most if length is None else min(length, most))
        finally:
            os.close(handle)

    def read_state(self, file: File, start: int, length: int) -> bytes:
        """Return a range of a file's bytes, in the very state that was listed."""
        handle = self._handles.open(file.path)
        try:
            self._require(handle, file)
            data = _read(handle, start, length)
            self._require(handle, file)
            return data
        finally:
            os.close(handle)

    def _require(self, handle: int, file: File) -> None:
        if self._file(file.path, _regular(handle, file.path)) != file:
            raise ChangedFileError(f"{file.path} was changed")

    def head(self, path: str, length: int) -> tuple[bytes, int, int]:
        """Return a file's first bytes, at most `length`, its size, and how many names it has."""
        handle = self._handles.open(path)
        try:
            data = _pread(handle, length, 0)
            status = _regular(handle, path)
            # Less than was asked for is all that there was.
            size = len(data) if len(data) < length else status.st_size
            return data, size, status.st_nlink
        finally:
            os.close(handle)

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open a regular file; a link on any part of its path is refused (OSError)."""
        handle = self._handles.open(path)
        try:
            _regular(handle, path)
        except OSError:
            os.close(handle)
            raise
        return os.fdopen(handle, "rb")

    @cached_property
    def _handles(self) -> handles.Root:
        return handles.open_root(self.root)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the handle out, which can't go to another process."""
        return {"root": self.root}

    def _file(self, path: str, status: os.stat_result) -> File:
        kind: Literal["file", "symlink", "other"] = "file"
        if not stat.S_ISREG(status.st_mode):
            kind = "symlink" if stat.S_ISLNK(status.st_mode) else "other"
        return File(path, status.st_size, self._version(status), kind)

    def _version(self, status: os.stat_result) -> str:
        """Return what tells one state of a file or a folder from all others.

        The device is told where it isn't the root's: that one's number is another on each machine,
        and after each time that a network's file system is mounted.
        """
        elsewhere = "" if status.st_dev == self._device else f"{status.st_dev}:"
        return f"{elsewhere}{status.st_ino}:{status.st_mtime_ns}:{status.st_ctime_ns}"

    @cached_property
    def _device(self) -> int:
        return self._handles.folder("").st_dev


def _regular(handle: int, path: str) -> os.stat_result:
    """Return what an open file is, which must be a regular one."""
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path} is no regular file")
    return status


def _read(handle: int, start: int, length: int) -> bytes:
    """Return a range of an open file: one call gives at most 2 GiB."""
    data = _pread(handle, length, start)
    while len(data) < length:
        more = _pread(handle, length - len(data), start + len(data))
        if not more:
            break
        data += more
    return data


def _seek_and_read(handle: int, length: int, start: int) -> bytes:
    os.lseek(handle, start, os.SEEK_SET)
    return os.read(handle, length)


_pread: Callable[[int, int, int], bytes] = getattr(os, "pread", _seek_and_read)


@dataclass(frozen=True)
class Bucket:
    """A dataset under a prefix of an S3 bucket."""

    settings: S3 | None
    """The endpoint and who we are there; None: what boto3 finds."""
    bucket: str
    prefix: str
    """'' or ending in '/'."""

    @cached_property
    def client(self) -> S3Client:
        """The client: one a process, made when it is first needed."""
        return s3.client(self.settings, connections=THREADS)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the client out, which can't go to another process."""
        return {name: value for name, value in vars(self).items() if name != "client"}

    @property
    def location(self) -> str:
        """The s3:// address."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def name(self) -> str:
        """The last part of the prefix, or the bucket's name."""
        return self.prefix.rstrip("/").rpartition("/")[2] or self.bucket

    def files(self, prefix: str = "") -> Iterator[File]:
        """Yield the objects whose paths start with `prefix`, as the store lists them.

        S3 lists in the order of the keys' bytes; SeaweedFS lists `a/x` before `a.txt`.
        """
        pages = self.client.get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix + prefix):
                for entry in page.get("Contents", []):
                    path = entry["Key"][len(self.prefix) :]
                    if path and not path.endswith("/"):
                        yield File(path, entry["Size"], entry["ETag"].strip('"'))
        except s3.errors() as error:
            raise s3.explained(error, f"{self.location} can't be listed") from error

    def entries(self) -> Iterator[File]:
        """Yield every object: the listing has its size and its ETag."""
        return self.files()

    def identities(self) -> Iterator[str]:
        """Yield a line for each object."""
        return map(_identity, self.files())

    def stat(self, path: str) -> File | None:
        """Return an object as it is now, or None."""
        try:
            head = self.client.head_object(Bucket=self.bucket, Key=self.prefix + path)
        except s3.errors() as error:
            if s3.answer(error).code in s3.NOT_FOUND:
                return None
            raise s3.explained(error, f"{self.location}/{path} can't be read") from error
        return File(path, head["ContentLength"], head["ETag"].strip('"'))

    def read(self, path: str, start: int = 0, length: int | None = None) -> bytes:
        """Return an object's bytes, or a range of them."""
        if length == 0:
            return b""
        end = "" if length is None else str(start + length - 1)
        extra = {"Range": f"bytes={start}-{end}"} if start or length is not None else {}
        try:
            body = self.client.get_object(Bucket=self.bucket, Key=self.prefix + path, **extra)  # type: ignore[arg-type]
            return body["Body"].read()
        except s3.errors() as error:
            if s3.answer(error).code == "InvalidRange":
                return b""
            raise self._unread(error, path) from error

    def read_state(self, file: File, start: int, length: int) -> bytes:
        """Return a range of an object's bytes, in the very state that was listed."""
        extra = {"Range": f"bytes={start}-{start + length - 1}"} if length else {}
        for attempt in range(READS):
            try:
                body = self.client.get_object(
                    Bucket=self.bucket,
                    Key=self.prefix + file.path,
                    IfMatch=f'"{file.version}"',
                    **extra,  # type: ignore[arg-type]
                )
                return body["Body"].read()
            except s3.errors() as error:
                code, _, status = s3.answer(error)
                if code in {"PreconditionFailed", "412", "InvalidRange", *s3.NOT_FOUND}:
                    raise ChangedFileError("was changed or removed") from error
                # botocore asks again, but does not read a stream again that broke off.
                if status or attempt == READS - 1:
                    what = f"{self.location}/{file.path} can't be read"
                    raise s3.explained(error, what) from error
        raise AssertionError

    def head(self, path: str, length: int) -> tuple[bytes, int, int]:
        """Return an object's first bytes, at most `length`, and its size; it has one name."""
        try:
            answer = self.client.get_object(
                Bucket=self.bucket, Key=self.prefix + path, Range=f"bytes=0-{length - 1}"
            )
            size = answer.get("ContentRange", "").rpartition("/")[2] or answer["ContentLength"]
            return answer["Body"].read(), int(size), 1
        except s3.errors() as error:
            if s3.answer(error).code == "InvalidRange":
                return b"", 0, 1
            raise self._unread(error, path) from error

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open an object as a stream."""
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + path)
        except s3.errors() as error:
            raise self._unread(error, path) from error
        return closing(cast(BinaryIO, _Stream(answer["Body"], partial(self._unread, path=path))))

    def _unread(self, error: Exception, path: str) -> Exception:
        """Return what to raise: an OSError if it is the object's trouble, else a ServiceError."""
        if s3.answer(error).code in s3.NOT_FOUND:
            return FileNotFoundError(errno.ENOENT, "there is no such object any more")
        if 400 <= s3.answer(error).status < 500:
            return OSError(errno.EACCES, s3.explained(error, path).what)
        return s3.explained(error, f"{self.location}/{path} can't be read")


@dataclass(frozen=True)
class _Stream:
    """An object's bytes as they come, with our errors."""

    body: Any
    explain: Callable[[Exception], Exception]

    def read(self, length: int = -1) -> bytes:
        try:
            data: bytes = self.body.read(None if length < 0 else length)
        except s3.errors() as error:
            raise self.explain(error) from error
        return data

    def close(self) -> None:
        self.body.close()


def _open_bucket(location: str, settings: S3 | None) -> Bucket:
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    if importlib.util.find_spec("boto3") is None:
        raise InputError(
            "a dataset in S3 is read by boto3, which isn't installed",
            where=location,
            remedy="Install it: pip install 'dedl-workbook[s3]'.",
        )
    if not bucket:
        raise InputError("names no bucket", where=location, remedy="Write s3://bucket/prefix.")
    dataset = Bucket(settings, bucket, f"{prefix}/" if prefix else "")
    try:
        if next(iter(dataset.files()), None) is None:
            raise InputError("nothing lies there", where=location)
    except ServiceError as error:
        raise InputError(error.what, remedy=error.remedy) from error
    return dataset


def bounded(dataset: Dataset, file: File, limit: int) -> bytes:
    """Read a whole file of at most `limit` bytes.

    Raises:
        ValueError: it is larger; not all of it was read.
        OSError: it is gone, can't be read, or was changed meanwhile.
    """
    return bounded_with_links(dataset, file, limit)[0]


def bounded_with_links(dataset: Dataset, file: File, limit: int) -> tuple[bytes, int]:
    """Return the bytes of a whole file of at most `limit`, and how many names it has.

    Raises:
        ValueError: it is larger; not all of it was read.
        OSError: it is gone, can't be read, or was changed meanwhile.
    """
    if file.size > limit:
        raise ValueError(f"has {file.size} bytes; more than {limit} are not read")
    # One byte more, so that it is seen if the file grew.
    data, size, links = dataset.head(file.path, USUAL if file.size < 0 else file.size + 1)
    if size > limit:
        raise ValueError(f"has {size} bytes; more than {limit} are not read")
    if file.size < 0 and len(data) < size:
        # One byte more here too.
        data = dataset.read(file.path, 0, size + 1)
    if len(data) != (size if file.size < 0 else file.size):
        raise OSError("it was changed while it was read")
    return data, links


USUAL = 2**14
"""Bytes that are asked for first of a document whose size isn't known: hardly any has more."""
