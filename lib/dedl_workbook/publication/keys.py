"""Keys of reused objects: files that earlier publications stored unchanged, and where.

The upload's plan finds them. From then on the published addresses lead to the earlier objects.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from dedl_workbook.base import sqlite
from dedl_workbook.base.errors import InputError
from dedl_workbook.base.files import draft
from dedl_workbook.publication.job import Job

NAME = "reused.sqlite"
Keys = Callable[[str], str | None]


class Reused(NamedTuple):
    """A delivered file, in the state that was hashed, and the earlier object with its bytes."""

    path: str
    key: str
    size: int
    version: str
    sha256: str
    etag: str


def location(job: Job) -> Path:
    """Return the file that remembers what is reused. There is none where nothing is."""
    return job.folder / NAME


def save(job: Job, found: Iterable[Reused]) -> None:
    """Remember what is reused, in the place of what was remembered. All of it, or nothing."""
    path = location(job)
    rows = iter(found)
    first = next(rows, None)
    if first is None:
        path.unlink(missing_ok=True)
        return
    with draft(path) as part, closing(sqlite.connect(part, write=True)) as database, database:
        database.execute(
            "create table reused (path text primary key, key text, size integer, version text,"
            " sha256 text, etag text) without rowid"
        )
        database.execute("insert into reused values (?, ?, ?, ?, ?, ?)", first)
        database.executemany("insert into reused values (?, ?, ?, ?, ?, ?)", rows)


def rows(job: Job) -> Iterator[Reused]:
    """Yield what is remembered, by path.

    Raises:
        InputError: the file is damaged.
    """
    if not location(job).is_file():
        return
    with closing(_opened(job)) as known:
        try:
            yield from map(Reused._make, known.execute("select * from reused order by path"))
        except sqlite3.DatabaseError as error:
            raise _damaged(job, error) from error


def tickets(job: Job) -> set[str]:
    """Return the earlier tickets whose objects are reused."""
    return {row.key.split("/")[1] for row in rows(job)}


def keys(job: Job) -> Keys:
    """Return what gives the key of a reused file's object, by the file's path. Thread-safe.

    Raises:
        InputError: the file is damaged.
    """
    if not location(job).is_file():
        return lambda path: None
    known, lock = _opened(job), threading.Lock()

    def key(path: str) -> str | None:
        with lock:
            try:
                found = known.execute("select key from reused where path = ?", (path,)).fetchone()
            except sqlite3.DatabaseError as error:
                raise _damaged(job, error) from error
        return found[0] if found else None

    return key


def _opened(job: Job) -> sqlite3.Connection:
    return sqlite.connect(location(job))


def _damaged(job: Job, error: Exception) -> InputError:
    return InputError(
        f"what is reused can't be read: {error}",
        where=str(location(job)),
        remedy="Delete it and plan again: the upload then finds anew what it can reuse.",
    )
