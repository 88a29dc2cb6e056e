"""The files that the catalogue's items name: kept in a file on disk, so memory stays flat."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from dedl_workbook.base.sqlite import scratch

_SCHEMA = """
create table assets (key text primary key, item text, size integer, sha256 text) without rowid;
create table objects (key text primary key, size integer, etag text) without rowid;
create view compared as
    select key, item, a.size as declared, sha256, o.size
    from assets a left join objects o using (key);
"""
_SHA256 = "1220"
"""What a multihash of SHA-256 starts with: the form of file:checksum."""


@dataclass
class Assets:
    """Keys in the pool by what the catalogue, and the pool itself, say of them."""

    database: sqlite3.Connection
    elsewhere: int = 0
    """Assets that don't lie in the pool."""

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator[Assets]:
        """Open an empty one, in a file under a folder."""
        with scratch(_SCHEMA, folder) as database:
            database.execute("begin")
            yield cls(database)

    def note(self, item: str, assets: object, bucket: str) -> None:
        """Take in the assets of an item, or of the collection."""
        for asset in assets.values() if isinstance(assets, dict) else ():
            if not isinstance(asset, dict):
                continue
            href = str(asset.get("href", ""))
            if not href.startswith(start := f"s3://{bucket}/"):
                self.elsewhere += 1
                continue
            size, checksum = asset.get("file:size"), str(asset.get("file:checksum", ""))
            whole = len(checksum) == 68 and checksum.startswith(_SHA256)
            sha256 = checksum.removeprefix(_SHA256) if whole else None
            row = (href[len(start) :], item, size if isinstance(size, int) else None, sha256)
            self.database.execute("insert or ignore into assets values (?, ?, ?, ?)", row)

    def prefix(self) -> str:
        """Return the longest path that all keys start with; '' where they have none in common."""
        first, last = (end or "" for end in self._one("select min(key), max(key) from assets"))
        same = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
        common = "".join(one for one, _ in same)
        return common[: common.rfind("/") + 1]

    def fill(self, objects: Iterable[tuple[str, int, str]]) -> None:
        """Take in what lies in the pool: key, size and ETag."""
        self.database.executemany("insert or ignore into objects values (?, ?, ?)", objects)

    def holds(self, key: str, size: int, etag: str) -> bool:
        """Return whether the pool has this very object."""
        query = "select 1 from objects where key = ? and size = ? and etag = ?"
        return self.database.execute(query, (key, size, etag)).fetchone() is not None

    def count(self) -> int:
        """Return how many different keys the catalogue names."""
        return int(self._one("select count(*) from assets")[0])

    def missing(self) -> tuple[int, list[str]]:
        """Return how many keys have no object, and the items and keys of some."""
        return self._some("size is null")

    def resized(self) -> tuple[int, list[str]]:
        """Return how many objects have another size than the catalogue declares, and some."""
        return self._some("size <> declared")

    def sample(self, most: int | None) -> list[tuple[str, str]]:
        """Return some keys, at random, with the SHA-256 that the catalogue declares of them."""
        query = "select key, sha256 from compared where sha256 is not null and size is not null"
        limit = "" if most is None else f" order by random() limit {int(most)}"
        return self.database.execute(query + limit).fetchall()

    def _some(self, where: str) -> tuple[int, list[str]]:
        count = int(self._one(f"select count(*) from compared where {where}")[0])  # noqa: S608
        rows = self.database.execute(
            f"select key, item from compared where {where} order by key limit 3"  # noqa: S608
        )
        return count, [f"{key} of {item}" for key, item in rows]

    def _one(self, query: str) -> tuple[Any, ...]:
        row: tuple[Any, ...] = self.database.execute(query).fetchone()
        return row
