"""Objects: moves the bytes of single files into the pool, and proves what arrived."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict, TypeVar

from dedl_workbook.base.errors import ChangedError, ConflictError, RefusedError, ServiceError
from dedl_workbook.base.retry import again
from dedl_workbook.dataset import s3
from dedl_workbook.dataset.dataset import ChangedFileError, Dataset, File
from dedl_workbook.services.pool import writer
from dedl_workbook.services.pool.manifest import Row, Todo

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from obstore.store import S3Store

T = TypeVar("T")

SINGLE = 8 * 2**20
"""Bytes up to which a file is held in memory and put in one request."""
MOST_PARTS = 10_000
CHUNK = 2**20
PLAIN = "application/octet-stream"
MARK = ".used-by-"
"""What the name of an object starts with that says which ticket uses others beside it."""
WRITTEN_FOR = "written-for"
"""The name in an object's metadata that says for which publication it was written."""
PATIENCE = 60.0
"""Seconds for which what may pass (no answer, 5xx, SlowDown) is tried again, for each unit."""
PAUSES = 0.1, 5.0
"""Seconds between the first two tries, and at most between later ones."""


class Place(TypedDict):
    """An object's place, as boto3 takes it."""

    Bucket: str
    Key: str


@dataclass(frozen=True)
class Pool:
    """The place that files go to, and the dataset that they come from."""

    client: S3Client
    bucket: str
    prefix: str
    dataset: Dataset
    copies: bool
    """Whether the store can copy from the dataset by itself: same endpoint, same user."""
    store: S3Store | None = None
    """What writes small objects faster than boto3."""
    stop: threading.Event = field(default_factory=threading.Event)

    def at(self, path: str) -> Place:
        """Return the place of a file's object."""
        return {"Bucket": self.bucket, "Key": self.prefix + path}

    def where(self, path: str = "") -> str:
        """Return the address of a file's object."""
        return f"s3://{self.bucket}/{self.prefix}{path}"


def patiently(pool: Pool, work: Callable[[], T]) -> T:
    """Do a piece of work that can be repeated until it is done, or fails for good.

    Raises:
        RefusedError: at once.
        ServiceError: what may pass didn't for `PATIENCE` seconds, or the upload was stopped.
    """
    return again(work, _may_pass, PATIENCE, pauses=PAUSES, wait=pool.stop.wait)


def _may_pass(error: Exception) -> bool:
    return isinstance(error, ServiceError) and not isinstance(error, RefusedError)


def changed(path: str, how: str) -> ChangedError:
    """Return the error for a file that isn't what was planned."""
    return ChangedError(
        f"{how} since it was validated; nothing of it was uploaded",
        where=path,
        remedy="Validate the dataset again, plan, and have the new plan approved.",
    )


def conflict(where: str) -> ConflictError:
    """Return the error for an object with other bytes at a key of ours."""
    return ConflictError(
        "an object with other content lies there; it was not touched",
        where=where,
        remedy="Withdraw this ticket if it wrote it, or publish under a new ticket.",
    )


def read(dataset: Dataset, file: File, start: int, length: int) -> bytes:
    """Read a range of a file, in the very state that was listed.

    Raises:
        ChangedError: it has changed, before or while it was read.
        ServiceError: the store it lies in fails.
    """
    try:
        data = dataset.read_state(file, start, length)
    except ChangedFileError as error:
        raise changed(file.path, "was changed or removed") from error
    except OSError as error:
        raise changed(file.path, "is gone or can't be read") from error
    if len(data) != length:
        raise changed(file.path, "has another size")
    return data


def part_size(size: int) -> int:
    """Return the size of the parts (bytes) that a file of that size goes out in.

    It depends on nothing else, so the ETag of a multipart object can be told from the bytes.
    """
    return max(SINGLE, -(-size // MOST_PARTS // CHUNK) * CHUNK)


def starts(size: int) -> range:
    """Return where the parts of a file begin."""
    return range(0, max(size, 1), part_size(size))


def joined(md5s: list[bytes], size: int) -> str:
    """Return the ETag that an object has whose parts have these MD5s: one MD5 if it is small."""
    if size <= SINGLE:
        return md5s[0].hex()
    return f"{md5_of(b''.join(md5s)).hex()}-{len(md5s)}"


def md5_of(data: bytes) -> bytes:
    """Return the MD5 of bytes, which is what ETags are made of."""
    return hashlib.md5(data, usedforsecurity=False).digest()


def put(pool: Pool, todo: Todo) -> Row:
    """Upload a small file that isn't there.

    Raises:
        ChangedError, ConflictError, ServiceError: and nothing of the file stays.
    """
    data = read(pool.dataset, todo.file, 0, todo.size)
    md5, sha256 = md5_of(data), hashlib.sha256(data).hexdigest()
    row = Row(todo.path, todo.size, todo.version, sha256, md5.hex())
    labels = {"sha256": sha256, WRITTEN_FOR: pool.prefix}
    try:
        etag = write(pool, todo.path, data, todo.media_type or PLAIN, labels)
    except ServiceError as error:
        if s3.code_of(error) in {"PreconditionFailed", "412"}:
            return accept(pool, row)
        raise
    require_etag(pool, todo.path, etag, row.etag)
    return row


def write(pool: Pool, path: str, data: bytes, media_type: str, metadata: Mapping[str, str]) -> str:
    """Write an object where none is, in one request, and return its ETag.

    The store compares what arrives with a digest in the request: the SHA-256 that is signed, or,
    from boto3, the MD5.

    Raises:
        ServiceError: code "PreconditionFailed" where an object is already.
    """
    with s3.calling(f"{pool.where(path)} can't be written"):
        if pool.store is not None:
            etag = writer.put(pool.store, pool.prefix + path, data, media_type, metadata)
            if etag is not None:
                return etag
        answer = pool.client.put_object(
            **pool.at(path),
            Body=data,
            ContentMD5=base64.b64encode(md5_of(data)).decode(),
            ContentType=media_type,
            Metadata=metadata,
            IfNoneMatch="*",
        )
    return answer["ETag"].strip('"')


def upload_part(pool: Pool, path: str, upload: str, number: int, data: bytes, md5: bytes) -> str:
    """Write a part of an object, and return its ETag as the store wants it back."""
    answer = pool.client.upload_part(
        **pool.at(path),
        UploadId=upload,
        PartNumber=number,
        Body=data,
        ContentMD5=base64.b64encode(md5).decode(),
    )
    return answer["ETag"]


def complete(pool: Pool, path: str, upload: str, etags: Mapping[int, str]) -> str:
    """Make an object of its parts, given by their numbers, and return its ETag."""
    listed = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
    answer = pool.client.complete_multipart_upload(
        **pool.at(path),
        UploadId=upload,
        MultipartUpload={"Parts": listed},  # type: ignore[typeddict-item]
        IfNoneMatch="*",
    )
    # RGW 16 answers with an empty ETag.
    return (answer.get("ETag") or pool.client.head_object(**pool.at(path))["ETag"]).strip('"')


def accept(pool: Pool, row: Row) -> Row:
    """Return the row if the object that is there already holds its bytes.

    The store's answer may have got lost on the way, and our own first try lie there.

    Raises:
        ConflictError: it has other content. It isn't touched.
    """
    with s3.calling(f"{pool.where(row.path)} can't be read"):
        head = pool.client.head_object(**pool.at(row.path))
    state = (
        proven(pool, row, head["ETag"].strip('"')) if head["ContentLength"] == row.size else None
    )
    if state is None:
        raise conflict(pool.where(row.path))
    return state


def proven(pool: Pool, row: Row, etag: str) -> Row | None:
    """Return the row with the ETag of its object if that holds the row's bytes, else None.

    Where an ETag of parts isn't the one of our parts, the object is read: it may have been put in
    parts of another size, and SeaweedFS gives copied parts ETags of its own.
    """
    if etag == row.etag:
        return row
    read_back = "-" in etag and digest_of(pool, row.path) == row.sha256
    return row._replace(etag=etag) if read_back else None


def require_etag(pool: Pool, path: str, etag: str, expected: str) -> None:
    """Remove an object of ours that has another ETag than its bytes, and raise RefusedError.

    The error says so where the object could not be removed: then bytes that nobody sent are still
    at that key.
    """
    if etag.strip('"') == expected:
        return
    problem = f"the store holds other bytes than were sent (ETag {etag}, sent {expected})"
    ask = "Have the store's operators look at it, then run again."
    try:
        with s3.calling(f"{pool.where(path)} can't be removed"):
            pool.client.delete_object(**pool.at(path))
    except ServiceError as error:
        raise RefusedError(
            f"{problem}, and could not be removed: {error.what}",
            where=pool.where(path),
            remedy=f"Remove that object: {ask[0].lower()}{ask[1:]}",
        ) from error
    raise RefusedError(problem, where=pool.where(path), remedy=f"The object was removed. {ask}")


def hashed(pool: Pool, todo: Todo) -> Row:
    """Read a file in full: its SHA-256, and the ETag that its object would have.

    Raises:
        ChangedError: it isn't any more as it was listed.
    """
    sha256, md5s = hashlib.sha256(), []
    for start in starts(todo.size):
        length = min(part_size(todo.size), todo.size - start)
        data = read(pool.dataset, todo.file, start, length)
        sha256.update(data)
        md5s.append(md5_of(data))
    return Row(todo.path, todo.size, todo.version, sha256.hexdigest(), joined(md5s, todo.size))


def compare(pool: Pool, todo: Todo) -> Row:
    """Read a file whose object is there already, and prove that both are the same.

    Raises:
        ConflictError: the object has other content. It isn't touched.
    """
    row = proven(pool, hashed(pool, todo), todo.etag or "")
    if row is None:
        raise conflict(pool.where(todo.path))
    if "-" in row.etag:
        # Who put it there may have been killed before its tag was set.
        tag(pool, row)
    return row


def tag(pool: Pool, row: Row) -> None:
    """Keep an object's SHA-256 with it as a tag, where the store has tags and we may set them.

    Metadata is given before the bytes are read: too early for an object in parts.
    """
    try:
        with s3.calling(f"the SHA-256 of {pool.where(row.path)} can't be kept as its tag"):
            pool.client.put_object_tagging(
                **pool.at(row.path), Tagging={"TagSet": [{"Key": "sha256", "Value": row.sha256}]}
            )
    except ServiceError as error:
        if s3.code_of(error) not in {"AccessDenied", "NotImplemented", "MethodNotAllowed"}:
            raise


def digest_of(pool: Pool, path: str, key: str | None = None) -> str:
    """Read a file's object in full, or the one of another key, and return its SHA-256."""
    sha256, key = hashlib.sha256(), key or pool.prefix + path
    with s3.calling(f"s3://{pool.bucket}/{key} can't be read"):
        body = pool.client.get_object(Bucket=pool.bucket, Key=key)["Body"]
        for chunk in body.iter_chunks(CHUNK):
            sha256.update(chunk)
    return sha256.hexdigest()


def there(pool: Pool, path: str) -> bool:
    """Return whether a file has an object."""
    try:
        with s3.calling(f"{pool.where(path)} can't be read"):
            pool.client.head_object(**pool.at(path))
    except ServiceError as error:
        if s3.code_of(error) in s3.NOT_FOUND:
            return False
        raise
    return True
