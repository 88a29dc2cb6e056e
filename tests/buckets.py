"""Buckets of single tests: made, and removed with all that is in them.

SeaweedFS gives each bucket volumes of its own, and a server has only so many.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

_MADE: list[tuple[Any, str]] = []


@contextmanager
def own(client: Any, name: str) -> Iterator[str]:
    """Make a bucket, and remove it after the block."""
    client.create_bucket(Bucket=name)
    try:
        yield name
    finally:
        _remove(client, name)


def made(client: Any, name: str) -> str:
    """Make a bucket that goes with the test."""
    client.create_bucket(Bucket=name)
    _MADE.append((client, name))
    return name


def remove_made() -> None:
    """Remove what `made` made."""
    while _MADE:
        _remove(*_MADE.pop())


def empty(client: Any, name: str) -> None:
    """Remove all objects of a bucket."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        if keys := [{"Key": found["Key"]} for found in page.get("Contents", [])]:
            client.delete_objects(Bucket=name, Delete={"Objects": keys, "Quiet": True})


def _remove(client: Any, name: str) -> None:
    # Some tests end the server, or take rights away.
    with suppress(BotoCoreError, ClientError):
        empty(client, name)
        client.delete_bucket(Bucket=name)
