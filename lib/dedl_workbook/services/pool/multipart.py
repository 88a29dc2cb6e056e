"""Multipart: large files go to the pool in parts, whose digests are taken on the way.

Every byte is read once. So the SHA-256 of a small object stands in its metadata, and that of a
large one in a tag: metadata must be given when a multipart upload begins, and to know the digest by
then would cost a second reading of every large file.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dedl_workbook.base.errors import RefusedError, ServiceError
from dedl_workbook.dataset import s3
from dedl_workbook.dataset.dataset import Bucket
from dedl_workbook.services.pool.manifest import Row, Todo
from dedl_workbook.services.pool.objects import (
    PLAIN,
    WRITTEN_FOR,
    Pool,
    accept,
    complete,
    joined,
    md5_of,
    part_size,
    patiently,
    proven,
    read,
    require_etag,
    starts,
    tag,
    there,
    upload_part,
)


@dataclass
class Multipart:
    """A large file on its way."""

    todo: Todo
    upload: str
    """The id of the multipart upload."""
    sha256: str = ""
    md5s: dict[int, bytes] = field(default_factory=dict)
    """By the part's number, those that have arrived."""
    etags: dict[int, str] = field(default_factory=dict)
    """What the store calls them."""
    known: dict[int, str] = field(default_factory=dict)
    """The MD5s, or other ETags, of the parts that an earlier run sent."""
    hashed: Any = field(default_factory=hashlib.sha256)
    """Takes the bytes in their order, as they are read."""
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Part:
    """A part of a large file, read and ready to go."""

    of: Multipart
    number: int
    start: int
    data: bytes


def begin(pool: Pool, todo: Todo) -> Multipart:
    """Begin the upload of a large file."""
    with s3.calling(f"{pool.where(todo.path)} can't be written"):
        answer = pool.client.create_multipart_upload(
            **pool.at(todo.path),
            ContentType=todo.media_type or PLAIN,
            Metadata={WRITTEN_FOR: pool.prefix},
        )
    return Multipart(todo, answer["UploadId"])


def resume(pool: Pool, todo: Todo, upload: str) -> Multipart:
    """Go on with the upload of a large file, of which some parts have arrived."""
    pages = pool.client.get_paginator("list_parts")
    with s3.calling(f"what arrived of {pool.where(todo.path)} can't be listed"):
        known = {
            part["PartNumber"]: part["ETag"].strip('"')
            for page in pages.paginate(**pool.at(todo.path), UploadId=upload)
            for part in page.get("Parts", [])
        }
    return Multipart(todo, upload, known=known)


def read_part(pool: Pool, multipart: Multipart, start: int) -> Part:
    """Read a part. They must be read in their order; after the last one the SHA-256 is known."""
    todo = multipart.todo
    length = min(part_size(todo.size), todo.size - start)
    data = patiently(pool, partial(read, pool.dataset, todo.file, start, length))
    multipart.hashed.update(data)
    if start + length == todo.size:
        multipart.sha256 = multipart.hashed.hexdigest()
    return Part(multipart, start // part_size(todo.size) + 1, start, data)


def arrived(part: Part) -> bool:
    """Return whether an earlier run sent this very part."""
    etag = part.of.known.get(part.number)
    return etag is not None and etag == md5_of(part.data).hex()


def send(pool: Pool, part: Part) -> Row | None:
    """Send a part, unless it has arrived; with the last, complete the object and return its row."""
    multipart, path, md5 = part.of, part.of.todo.path, md5_of(part.data)
    # An earlier try may have failed after the part had arrived: at the completion.
    etag = multipart.etags.get(part.number) or multipart.known.get(part.number, "")
    if part.number not in multipart.etags and etag != md5.hex():
        with s3.calling(f"{pool.where(path)}, part {part.number}, can't be written"):
            if pool.copies:
                etag = _copy(pool, part)
            else:
                etag = upload_part(pool, path, multipart.upload, part.number, part.data, md5)
    if etag.strip('"') != md5.hex() and not pool.copies:
        raise RefusedError(
            f"part {part.number}: the store holds other bytes than were sent",
            where=pool.where(path),
            remedy="Have the store's operators look at it, then run again.",
        )
    with multipart.lock:
        multipart.md5s[part.number], multipart.etags[part.number] = md5, etag
        last = len(multipart.md5s) == len(starts(multipart.todo.size))
    if not last:
        return None
    row = _complete(pool, multipart)
    patiently(pool, partial(tag, pool, row))
    return row


def _copy(pool: Pool, part: Part) -> str:
    if not isinstance(pool.dataset, Bucket):
        raise TypeError("only a store can copy")
    todo = part.of.todo
    answer = pool.client.upload_part_copy(
        **pool.at(todo.path),
        UploadId=part.of.upload,
        PartNumber=part.number,
        CopySource={"Bucket": pool.dataset.bucket, "Key": pool.dataset.prefix + todo.path},
        CopySourceIfMatch=f'"{todo.version}"',
        CopySourceRange=f"bytes={part.start}-{part.start + len(part.data) - 1}",
    )
    return answer["CopyPartResult"]["ETag"]


def _complete(pool: Pool, multipart: Multipart) -> Row:
    todo = multipart.todo
    md5s = [multipart.md5s[number] for number in sorted(multipart.md5s)]
    row = Row(todo.path, todo.size, todo.version, multipart.sha256, joined(md5s, todo.size))
    if there(pool, todo.path):
        # Stores may ignore If-None-Match on completion.
        return accept(pool, row)
    try:
        with s3.calling(f"{pool.where(todo.path)} can't be completed"):
            etag = complete(pool, todo.path, multipart.upload, multipart.etags)
    except ServiceError as error:
        if s3.code_of(error) in {"NoSuchUpload", "PreconditionFailed", "412"} and there(
            pool, todo.path
        ):
            return accept(pool, row)
        raise
    whole = proven(pool, row, etag)
    if whole is None:
        require_etag(pool, todo.path, etag, row.etag)
    return whole or row


def stale(pool: Pool) -> list[tuple[str, str]]:
    """Return key and id of the multipart uploads under our prefix that were never completed."""
    pages = pool.client.get_paginator("list_multipart_uploads")
    with s3.calling(f"the multipart uploads under {pool.where()} can't be listed"):
        return [
            (upload["Key"], upload["UploadId"])
            for page in pages.paginate(Bucket=pool.bucket, Prefix=pool.prefix)
            for upload in page.get("Uploads", [])
        ]


def abort(pool: Pool, key: str, upload: str) -> None:
    """Abort a multipart upload, so that nothing of it stays; one that is gone is fine."""
    try:
        with s3.calling(f"the multipart upload of {key} can't be aborted"):
            pool.client.abort_multipart_upload(Bucket=pool.bucket, Key=key, UploadId=upload)
    except ServiceError as error:
        if s3.code_of(error) not in {"NoSuchUpload", *s3.NOT_FOUND}:
            raise
