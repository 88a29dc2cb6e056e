"""What binds the items that were validated: a SHA-256 over their files as they are read.

Items are read in shards, in any order. Each shard's items are digested as they come, and then the
sorted digests of the shards: 32 bytes for 2,000 items, so memory stays flat.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

LARGEST = 2000
"""Items of a shard, at most."""


def shard_size(items: int) -> int:
    """Return how many items of a dataset are read, and digested, together."""
    return max(1, min(LARGEST, items // 32))


class Shard:
    """The digest of some items, in their order."""

    def __init__(self) -> None:
        self._total = hashlib.sha256()

    def add(self, path: str, data: bytes) -> None:
        """Take in an item's file: its path in the dataset, and its bytes."""
        name = path.encode("utf-8", "surrogateescape")
        self._total.update(b"%d:%s%d:" % (len(name), name, len(data)))
        self._total.update(data)

    def digest(self) -> bytes:
        """Return the SHA-256."""
        return self._total.digest()


class Binding:
    """The digest of all items, which come one by one in the dataset's order."""

    def __init__(self, items: int) -> None:
        """Begin; `items` says how many the dataset has, and so how large a shard is."""
        self._size, self._count = shard_size(items), 0
        self._shard, self._digests = Shard(), list[bytes]()

    def add(self, path: str, data: bytes) -> None:
        """Take in an item's file."""
        self._shard.add(path, data)
        self._count += 1
        if self._count % self._size == 0:
            self._digests.append(self._shard.digest())
            self._shard = Shard()

    def digest(self) -> str:
        """Return the digest of all of them."""
        rest = [self._shard.digest()] if self._count % self._size else []
        return digest([*self._digests, *rest])


def digest(shards: Iterable[bytes]) -> str:
    """Return the SHA-256, in hex, over the digests of all shards."""
    return hashlib.sha256(b"".join(sorted(shards))).hexdigest()
