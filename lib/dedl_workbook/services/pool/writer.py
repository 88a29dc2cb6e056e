"""Writer: puts whole objects with obstore, the fastest client that keeps every rule of ours.

`docs/adr/0001-upload-client.md` has the numbers. boto3 does what obstore can't: keys with empty
or odd parts, multipart uploads that can be resumed, and whatever isn't writing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from dedl_workbook.base.errors import InputError
from dedl_workbook.parameters.target import S3

if TYPE_CHECKING:
    from obstore.store import S3Store

TIMEOUT = timedelta(seconds=120)
"""For one object of at most 8 MiB. obstore has no time-out for a connection that stands still."""


def writer(settings: S3, bucket: str, timeout: timedelta = TIMEOUT) -> S3Store:
    """Return what puts objects into a bucket, signing the SHA-256 of every body.

    Raises:
        InputError: the file of certificate authorities can't be used.
    """
    from obstore.store import S3Store

    options: dict[str, object] = {
        "allow_http": True,
        "connect_timeout": min(timeout, timedelta(seconds=10)),
        "timeout": timeout,
    }
    try:
        if settings.ca_bundle:
            options["root_certificate"] = settings.ca_bundle.read_bytes()
        return S3Store(
            bucket,
            endpoint=settings.endpoint,
            region=settings.region,
            access_key_id=settings.access_key.get_secret_value(),
            secret_access_key=settings.secret_key.get_secret_value(),
            virtual_hosted_style_request=False,
            client_options=options,  # type: ignore[arg-type]
            retry_config={"max_retries": 0},
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"the certificate authorities can't be used: {error}",
            where=str(settings.ca_bundle),
            remedy="Set the target's s3.ca_bundle to a PEM file.",
        ) from error


def put(
    store: S3Store, key: str, data: bytes, media_type: str, metadata: Mapping[str, str]
) -> str | None:
    """Put an object where none is; return its ETag, or None where obstore can't name such a key.

    Raises:
        obstore.exceptions.BaseError, OSError: as obstore raises them.
    """
    import obstore

    labels = {"Content-Type": media_type, **metadata}
    try:
        answer = obstore.put(
            store, key, data, attributes=labels, mode="create", use_multipart=False
        )
    except ValueError:
        # Empty parts, `..`, control characters: nothing was sent.
        return None
    return (answer["e_tag"] or "").strip('"')
