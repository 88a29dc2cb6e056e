"""Manifest: what was hashed and uploaded, remembered over crashes, and compared with listings.

Listings are compared by SQL and not by merging two streams: S3 promises the order of the keys'
bytes, but SeaweedFS lists `a/x` before `a.txt`. SQLite keeps memory flat all the same.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dedl_workbook.base import sqlite
from dedl_workbook.base.errors import InputError, ServiceError
from dedl_workbook.base.json import digest
from dedl_workbook.dataset.dataset import File
from dedl_workbook.publication import keys
from dedl_workbook.publication.job import Job
from dedl_workbook.publication.keys import Reused

_MEMORY = """
create table if not exists about (name text primary key, value text) without rowid;
create table if not exists files (
    path text primary key, size integer not null, version text not null,
    sha256 text not null, etag text not null
) without rowid;
create table if not exists uploads (
    path text primary key, upload text not null, type text not null
) without rowid;
"""
_LISTINGS = """
create temp table delivered (path text primary key, size integer, version text) without rowid;
create temp table objects (path text primary key, size integer, etag text) without rowid;
create temp table types (path text primary key, type text) without rowid;
create temp table ours (path text primary key, size integer) without rowid;
create temp table needed (path text primary key, named integer) without rowid;
create temp table listed (path text primary key) without rowid;
create temp table earlier (
    path text, key text, size integer, etag text, primary key (path, key)
) without rowid;
create temp table reused (
    path text primary key, key text, size integer, version text, sha256 text, etag text
) without rowid;
create temp view compared as
    select d.path, d.size, d.version, o.etag, case
        when o.path is null and exists (
            select 1 from reused r join earlier e using (path, key, size, etag)
            where r.path = d.path and r.size = d.size and r.version = d.version
        ) then 'reused'
        when o.path is null then 'missing'
        when o.size <> d.size then 'conflict'
        when f.path is null or f.size <> d.size or f.version <> d.version then 'unknown'
        when f.etag <> o.etag then 'conflict'
        else 'done' end as state
    from delivered d left join objects o using (path) left join files f using (path);
create temp view unneeded as
    select path, size from ours where path not in (select path from needed)
    and (path glob 'data/*' or path glob '[0-9]*/data/*');
create temp view strangers as
    select o.path, o.size, o.etag from objects o
    left join delivered d using (path) left join files f using (path, size, etag)
    where d.path is null and f.path is null;
"""


class Row(NamedTuple):
    """A file that lies in the pool: which state of it, its digest, and its object's ETag."""

    path: str
    size: int
    version: str
    sha256: str
    etag: str


class Todo(NamedTuple):
    """A file to upload, or, where `etag` is that of an object there, to compare with it."""

    path: str
    size: int
    version: str
    etag: str | None
    media_type: str | None

    @property
    def file(self) -> File:
        """The file as the dataset listed it."""
        return File(self.path, self.size, self.version)


@dataclass
class Manifest:
    """The manifest of one publication's upload."""

    connection: sqlite3.Connection
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def fill(self, table: str, rows: Iterable[tuple[Any, ...]], width: int) -> None:
        """Put a listing, streamed, into one of the tables delivered, objects and types."""
        marks = ", ".join("?" * width)
        with _explained(self), self.connection:
            self.connection.executemany(f"insert or ignore into {table} values ({marks})", rows)  # noqa: S608

    def states(self) -> dict[str, tuple[int, int]]:
        """Return count and bytes of the delivered files that are done, missing, unknown, ..."""
        rows = self._all("select state, count(*), sum(size) from compared group by state")
        return {state: (count, size) for state, count, size in rows}

    def largest(self) -> int:
        """Return the bytes of the largest file that is missing."""
        rows = self._all("select coalesce(max(size), 0) from compared where state = 'missing'")
        return int(rows[0][0])

    def examples(self, state: str, limit: int = 3) -> list[str]:
        """Return some paths of delivered files in a state."""
        return [path for (path,) in self._all(_EXAMPLES, (state, limit))]

    def strangers(self) -> tuple[int, str, list[str]]:
        """Return count, digest and some paths of the objects that we didn't write.

        What we wrote, and is no longer delivered, is none of them: it waits to be retired.
        """
        total, count, examples = hashlib.sha256(), 0, []
        for row in self.connection.execute("select * from strangers order by path"):
            total.update(digest(row).encode())
            count += 1
            if count <= 10:
                examples.append(row[0])
        return count, total.hexdigest() if count else "", examples

    def todo(self, least: int, most: int) -> Iterator[Todo]:
        """Yield the files of so many bytes that are missing or not known to be done, small first.

        The order makes SQLite sort them all before the first: `remember` can't disturb them.
        """
        rows = self.connection.execute(
            "select s.path, size, version, etag, type from compared s left join types using (path)"
            " where state in ('missing', 'unknown') and size between ? and ?"
            " order by size, s.path",
            (least, most),
        )
        return map(Todo._make, rows)

    def remember(self, rows: Iterable[Row]) -> None:
        """Keep what was uploaded; once this returns, a killed process doesn't forget it."""
        with _explained(self), self.connection:
            self.connection.executemany("insert or replace into files values (?, ?, ?, ?, ?)", rows)

    def forget_unusable(self) -> None:
        """Drop what can't be reused any more: the file or the earlier object is another."""
        with _explained(self), self.connection:
            self.connection.execute(
                "delete from reused"
                " where path not in (select path from compared where state = 'reused')"
            )

    def candidates_size(self) -> int:
        """Return the bytes of the missing files that may be reused."""
        return int(self._all(f"select coalesce(sum(size), 0) + count(*) {_CANDIDATES}")[0][0])

    def candidates(self) -> Iterator[Todo]:
        """Yield the missing files of which an earlier object has the path and the size."""
        query = f"select path, size, version, null, null {_CANDIDATES} order by size, path"
        return map(Todo._make, self.connection.execute(query))

    def twin(self, row: Row) -> str | None:
        """Return the key of an earlier object with a file's very bytes, by its ETag."""
        query = "select min(key) from earlier where path = ? and size = ? and etag = ?"
        key: str | None = self._all(query, (row.path, row.size, row.etag))[0][0]
        return key

    def reused(self) -> Iterator[Reused]:
        """Yield what is reused, by path."""
        query = "select r.* from reused r join compared s using (path) where s.state = 'reused'"
        return map(Reused._make, self.connection.execute(f"{query} order by path"))

    def reused_from(self) -> set[str]:
        """Return the prefixes of the tickets whose objects are reused."""
        query = "select distinct substr(key, 1, length(key) - length(path)) from reused"
        return {"/".join(prefix.split("/")[:2]) + "/" for (prefix,) in self._all(query)}

    def replaced(self) -> Iterator[tuple[Todo, str]]:
        """Yield the files that may have changed since they were uploaded, and their SHA-256 then.

        Their objects are still those that were uploaded. '' where the size says that it has.
        """
        rows = self.connection.execute(
            "select d.path, d.size, d.version, null, null,"
            " case when d.size = f.size then f.sha256 else '' end from delivered d"
            " join objects o using (path) join files f using (path, etag)"
            " where o.size = f.size and (d.size <> f.size or d.version <> f.version)"
            " order by d.size = f.size, d.size, d.path"
        )
        return ((Todo._make(row[:5]), row[5]) for row in rows)

    def remember_begun(self, path: str, upload: str, media_type: str) -> None:
        """Keep the id of a large file's multipart upload, to go on with it."""
        with _explained(self), self.connection:
            row = (path, upload, media_type)
            self.connection.execute("insert or replace into uploads values (?, ?, ?)", row)

    def begun(self, path: str) -> tuple[str, str] | None:
        """Return id and media type of a large file's multipart upload that is remembered."""
        rows = self._all("select upload, type from uploads where path = ?", (path,))
        return (str(rows[0][0]), str(rows[0][1])) if rows else None

    def resumable(self, path: str, upload: str) -> bool:
        """Return whether a multipart upload is that of a file that is still missing."""
        query = (
            "select 1 from uploads u join compared s using (path)"
            " where path = ? and upload = ? and state = 'missing'"
        )
        return bool(self._all(query, (path, upload)))

    def rows(self) -> Iterator[Row]:
        """Yield what is known of every file that is done, by path."""
        return map(Row._make, self.connection.execute(f"{_DONE} order by path"))

    def everything(self, paths: Iterable[str] | None = None) -> Iterator[Row]:
        """Yield what is remembered, of these paths or all, whatever the listings say."""
        query = "select * from files"
        if paths is not None:
            self.fill("listed", ((path,) for path in paths), 1)
            query += " where path in (select path from listed)"
        return map(Row._make, self.connection.execute(f"{query} order by path"))

    def pick(self, ranks: Iterable[int]) -> list[Row]:
        """Return the smallest and the largest file that is done, and those of some ranks."""
        queries = [f"{_DONE} order by {order} limit 1" for order in ("size", "size desc")]
        queries += [f"{_DONE} order by path limit 1 offset {int(rank)}" for rank in ranks]
        rows = [Row._make(row) for query in queries for row in self._all(query)]
        return list({row.path: row for row in rows}.values())

    def claim(self, edition: str) -> list[tuple[str, int]]:
        """Take the listed objects that are remembered with the very size and ETag for ours.

        Args:
            edition: what stands before the remembered paths in those of the listing.

        Returns:
            Path and size of the others, of which nobody knows yet whose they are.
        """
        with _explained(self), self.connection:
            self.connection.execute(_CLAIM, (edition,))
        return self._all("select path, size from objects except select path, size from ours")

    def ours(self) -> tuple[int, int]:
        """Return count and bytes of the listed objects that are ours."""
        count, size = self._all("select count(*), coalesce(sum(size), 0) from ours")[0]
        return int(count), int(size)

    def our_paths(self) -> Iterator[str]:
        """Yield the paths of the listed objects that are ours."""
        for (path,) in self.connection.execute("select path from ours order by path"):
            yield path

    def unneeded(self) -> Iterator[str]:
        """Yield the paths of the files' objects that are ours and that nobody needs."""
        for (path,) in self.connection.execute("select path from unneeded order by path"):
            yield path

    def unneeded_size(self) -> tuple[int, int]:
        """Return count and bytes of the files' objects that are ours and that nobody needs."""
        count, size = self._all("select count(*), coalesce(sum(size), 0) from unneeded")[0]
        return int(count), int(size)

    def all_listed(self) -> bool:
        """Return whether all that nobody needs is on the list."""
        query = "select 1 from unneeded where path not in (select path from listed) limit 1"
        return not self._all(query)

    def needed_count(self) -> int:
        """Return how many of our objects are needed."""
        return int(self._all("select count(*) from ours join needed using (path)")[0][0])

    def missing_needed(self, limit: int) -> list[str]:
        """Return some paths that a document names and that have no object."""
        query = "select path from needed where named and path not in (select path from objects)"
        return [path for (path,) in self._all(f"{query} order by path limit ?", (limit,))]

    def remembered(self) -> str:
        """Return the digest of all that this manifest remembers."""
        total = hashlib.sha256()
        for row in self.connection.execute("select * from files order by path"):
            total.update(digest(row).encode())
        return total.hexdigest()

    def find(self, path: str) -> Row | None:
        """Return what is known of one file."""
        query = (
            "select path, size, version, sha256, etag from reused where path = :path"
            " union all select * from files where path = :path"
        )
        rows = self._all(query, {"path": path})
        return Row._make(rows[0]) if rows else None

    def count(self) -> int:
        """Return how many files were uploaded or are reused, by this manifest's memory."""
        query = "select count(*) from (select path from files union select path from reused)"
        return int(self._all(query)[0][0])

    def _all(
        self, query: str, values: tuple[Any, ...] | dict[str, Any] = ()
    ) -> list[tuple[Any, ...]]:
        with self.lock, _explained(self):
            return self.connection.execute(query, values).fetchall()


_CANDIDATES = (
    "from compared s where state = 'missing'"
    " and exists (select 1 from earlier e where e.path = s.path and e.size = s.size)"
)
_CLAIM = (
    "insert or ignore into ours select o.path, o.size from files f"
    " join objects o on o.path = ? || f.path and o.size = f.size and o.etag = f.etag"
)
_EXAMPLES = "select path from compared where state = ? order by path limit ?"
_DONE = (
    "select * from (select f.* from files f join compared s using (path) where s.state = 'done'"
    " union all select r.path, r.size, r.version, r.sha256, r.etag"
    " from reused r join compared s using (path) where s.state = 'reused')"
)


def location(job: Job) -> Path:
    """Return the manifest's file."""
    return keys.memory(job, "upload")


def open_manifest(job: Job, *, write: bool = False) -> Manifest:
    """Open the manifest of a job; where there is none, or it is of another place, an empty one.

    Args:
        job: whose.
        write: whether it will be written: only then a file is made.

    Raises:
        InputError: the file is damaged.
    """
    path = location(job)
    place = f"{job.target.s3.endpoint}/{job.target.s3.bucket}/{keys.prefix(job)}"
    try:
        if write:
            path.parent.mkdir(parents=True, exist_ok=True)
            return Manifest(_prepared(sqlite.connect(path, write=True), place))
        if path.is_file():
            connection = sqlite.connect(path)
            if _place(connection) == place:
                connection.executescript(_LISTINGS)
                return Manifest(connection)
            connection.close()
        return Manifest(_prepared(sqlite3.connect(":memory:", check_same_thread=False), place))
    except sqlite3.Error as error:
        raise _damaged(path, error) from error


def _prepared(connection: sqlite3.Connection, place: str) -> sqlite3.Connection:
    # A commit outlives the process, if not the machine; then files are compared again.
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = normal")
    connection.executescript(_MEMORY)
    if _place(connection) != place:
        with connection:
            connection.execute("delete from files")
            connection.execute("delete from uploads")
            connection.execute("insert or replace into about values ('place', ?)", (place,))
    connection.executescript(_LISTINGS)
    return connection


def _place(connection: sqlite3.Connection) -> str | None:
    row = connection.execute("select value from about where name = 'place'").fetchone()
    return row[0] if row else None


@contextmanager
def _explained(manifest: Manifest) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise ServiceError(
            f"the upload's manifest can't be written: {error}",
            remedy="Make room or mend the rights of the ticket's working folder, then run again.",
        ) from error
    except sqlite3.DatabaseError as error:
        name = manifest.connection.execute("pragma database_list").fetchone()[2]
        raise _damaged(Path(name), error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"the upload's manifest can't be read: {error}",
        where=str(path),
        remedy="Delete it and run again: the upload then compares the bytes of every file.",
    )
