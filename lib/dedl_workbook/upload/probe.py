"""Probe: an object written, read back and deleted before the first write to a store."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any

from dedl_workbook.errors import ServiceError
from dedl_workbook.upload.transfer import Pool, calling

NAME = ".probe-"
"""What the names of probe objects, which lie directly under the prefix, start with."""
SIZE = 100_000
MEDIA_TYPE = "image/tiff"


def probe(pool: Pool) -> None:
    """Find out whether the store keeps what it is given, with the client that the upload uses.

    Some stores store the framing of checksummed uploads in the object, or label objects
    `Content-Encoding: aws-chunked` (boto3 issue 4435).

    Raises:
        ServiceError: it refuses, or it damages or mislabels the object.
    """
    name, data = NAME + secrets.token_hex(8), secrets.token_bytes(SIZE)
    md5 = hashlib.md5(data, usedforsecurity=False).digest()
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        with calling(f"nothing can be written to {pool.where()}"):
            made = pool.client.put_object(
                **pool.at(name),
                Body=data,
                ContentMD5=base64.b64encode(md5).decode(),
                ContentType=MEDIA_TYPE,
                Metadata={"sha256": sha256},
                IfNoneMatch="*",
            )
        with calling(f"what was written to {pool.where(name)} can't be read back"):
            found = pool.client.get_object(**pool.at(name))
            body = found["Body"].read()
    finally:
        with calling(f"the probe object {pool.where(name)} can't be deleted"):
            pool.client.delete_object(**pool.at(name))
    wrong = _wrong(dict(found), body, data, sha256)
    if made["ETag"].strip('"') != md5.hex():
        wrong.append(f"its ETag is {made['ETag']}, not its MD5")
    if wrong:
        raise ServiceError(
            f"the store damages what is written to it: {'; '.join(wrong)}",
            where=pool.where(),
            remedy="Nothing was uploaded. Show this to the store's operators.",
        )


def _wrong(found: dict[str, Any], body: bytes, data: bytes, sha256: str) -> list[str]:
    wrong = []
    if body != data:
        wrong.append(
            f"{len(body)} bytes were read back, of {len(data)} written, with other content"
        )
    if found.get("ContentLength") != len(data):
        wrong.append(f"the length is given as {found.get('ContentLength')}")
    if found.get("ContentType") != MEDIA_TYPE:
        wrong.append(f"the media type became {found.get('ContentType')}")
    if found.get("ContentEncoding"):
        wrong.append(f"it got a Content-Encoding: {found['ContentEncoding']}")
    if found.get("Metadata", {}).get("sha256") != sha256:
        wrong.append("its metadata were lost")
    return wrong
