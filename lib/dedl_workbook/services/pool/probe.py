"""Probe: an object written, read back and deleted before the first write to a store."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

from dedl_workbook.base.errors import RefusedError
from dedl_workbook.dataset import s3
from dedl_workbook.services.pool.objects import (
    Pool,
    complete,
    md5_of,
    patiently,
    upload_part,
    write,
)

NAME = ".probe-"
"""What the names of probe objects, which lie directly under the prefix, start with."""
SIZE = 100_000
MEDIA_TYPE = "image/tiff"


def probe(pool: Pool, *, in_parts: bool) -> None:
    """Find out whether the store keeps what it is given, with the clients that the upload uses.

    Some stores store the framing of checksummed uploads in the object, or label objects
    `Content-Encoding: aws-chunked` (boto3 issue 4435).

    Args:
        pool: where to.
        in_parts: whether files will go out in parts, by another client, so that it is tried too.

    Raises:
        ServiceError: it refuses, or it damages or mislabels the object.
    """
    data = secrets.token_bytes(SIZE)
    md5, labels = md5_of(data), {"sha256": hashlib.sha256(data).hexdigest()}
    whole = partial(write, pool, data=data, media_type=MEDIA_TYPE, metadata=labels)
    patiently(pool, lambda: _try(pool, data, md5.hex(), whole))
    if in_parts:
        joined = f"{md5_of(md5).hex()}-1"
        part = partial(_write_part, pool, data=data, labels=labels)
        patiently(pool, lambda: _try(pool, data, joined, part))


def _try(pool: Pool, data: bytes, expected: str, put: Callable[[str], str]) -> None:
    name = NAME + secrets.token_hex(8)
    try:
        etag = put(name)
        with s3.calling(f"what was written to {pool.where(name)} can't be read back"):
            answer = pool.client.get_object(**pool.at(name))
            body = answer["Body"].read()
    finally:
        patiently(pool, lambda: _delete(pool, name))
    wrong = _wrong(dict(answer), body, data)
    if etag != expected:
        wrong.append(f"its ETag is {etag}, not {expected}")
    if wrong:
        raise RefusedError(
            f"the store damages what is written to it: {'; '.join(wrong)}",
            where=pool.where(),
            remedy="Nothing was uploaded. Show this to the store's operators.",
        )


def _delete(pool: Pool, name: str) -> None:
    with s3.calling(f"the probe object {pool.where(name)} can't be deleted"):
        pool.client.delete_object(**pool.at(name))


def _write_part(pool: Pool, name: str, data: bytes, labels: dict[str, str]) -> str:
    place, client = pool.at(name), pool.client
    with s3.calling(f"{pool.where(name)} can't be written in parts"):
        begun = client.create_multipart_upload(**place, ContentType=MEDIA_TYPE, Metadata=labels)
        upload = begun["UploadId"]
        etag = upload_part(pool, name, upload, 1, data, md5_of(data))
        return complete(pool, name, upload, {1: etag})


def _wrong(answer: dict[str, Any], body: bytes, data: bytes) -> list[str]:
    wrong = []
    if body != data:
        wrong.append(
            f"{len(body)} bytes were read back, of {len(data)} written, with other content"
        )
    if answer.get("ContentLength") != len(data):
        wrong.append(f"the length is given as {answer.get('ContentLength')}")
    if answer.get("ContentType") != MEDIA_TYPE:
        wrong.append(f"the media type became {answer.get('ContentType')}")
    if answer.get("ContentEncoding"):
        wrong.append(f"it got a Content-Encoding: {answer['ContentEncoding']}")
    if answer.get("Metadata", {}).get("sha256") != hashlib.sha256(data).hexdigest():
        wrong.append("its metadata were lost")
    return wrong
