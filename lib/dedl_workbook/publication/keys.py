"""Keys of a publication's objects: of its edition, or of earlier objects that are reused.

An object is never overwritten. A ticket's files go to `<collection>/<ticket>/data/`. Once one of
them has changed after it was uploaded, the files of now are the ticket's next edition, in
`<collection>/<ticket>/2/data/`, and so on. What earlier editions, or publications, stored unchanged
is reused: the upload's plan finds it, and from then on the published addresses lead there.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from dedl_workbook.base import sqlite
from dedl_workbook.base.errors import InputError
from dedl_workbook.base.files import draft, write_atomic
from dedl_workbook.publication.job import Job

_KEY = re.compile(r"[^/]+/[^/]+/(?:[0-9]+/)?(data/.+)", re.DOTALL)
Keys = Callable[[str], str | None]


class Reused(NamedTuple):
    """A delivered file, in the state that was hashed, and the earlier object with its bytes."""

    path: str
    key: str
    size: int
    version: str
    sha256: str
    etag: str


def edition(job: Job) -> int:
    """Return the number of the edition of its files that a job is about, from 1."""
    record = _edition_file(job)
    return job.edition or (int(record.read_text()) if record.exists() else 1)


def begin_edition(job: Job) -> None:
    """Let the files of now be the next edition; objects of the ones before stay as they are."""
    write_atomic(_edition_file(job), str(edition(job) + 1))


def forget_editions(job: Job) -> None:
    """Begin with the first edition again, after all objects of the ticket were withdrawn."""
    for path in (_edition_file(job), *job.folder.glob("*-edition-*.sqlite*")):
        path.unlink(missing_ok=True)


def _edition_file(job: Job) -> Path:
    return job.folder / "edition"


def memory(job: Job, name: str) -> Path:
    """Return the file in which something of a job's edition is remembered."""
    number = edition(job)
    return job.folder / (f"{name}.sqlite" if number == 1 else f"{name}-edition-{number}.sqlite")


def prefix(job: Job) -> str:
    """Return what the keys of the objects of a job's edition start with."""
    number = edition(job)
    return job.prefix if number == 1 else f"{job.prefix}{number}/"


def path_of(key: str) -> str | None:
    """Return the path in its dataset of the file that lies under a key; None: it is no file's."""
    match = _KEY.fullmatch(key)
    return match[1] if match else None


def location(job: Job) -> Path:
    """Return the file that remembers what is reused. There is none where nothing is."""
    return memory(job, "reused")


def save(job: Job, reused: Iterable[Reused]) -> None:
    """Remember what is reused, in the place of what was remembered. All of it, or nothing."""
    path = location(job)
    rows = iter(reused)
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
    yield from rows_in(location(job))


def rows_in(file: Path) -> Iterator[Reused]:
    """Yield what is remembered in a file, by path; nothing where there is none.

    Raises:
        InputError: the file is damaged.
    """
    if not file.is_file():
        return
    with closing(sqlite.connect(file)) as known:
        try:
            yield from map(Reused._make, known.execute("select * from reused order by path"))
        except sqlite3.DatabaseError as error:
            raise _damaged(file, error) from error


def tickets(job: Job) -> set[str]:
    """Return the earlier tickets whose objects are reused."""
    return {row.key.split("/")[1] for row in rows(job)}


def keys(job: Job) -> Keys:
    """Return what gives the key of a file's object, by the file's path. Thread-safe.

    It gives None where that is the prefix of the job, followed by the path.

    Raises:
        InputError: the file is damaged.
    """
    start = "" if edition(job) == 1 else prefix(job)

    def plain(path: str) -> str | None:
        return start + path if start else None

    if not location(job).is_file():
        return plain
    file = location(job)
    known, lock = sqlite.connect(file), threading.Lock()

    def key(path: str) -> str | None:
        with lock:
            try:
                row = known.execute("select key from reused where path = ?", (path,)).fetchone()
            except sqlite3.DatabaseError as error:
                raise _damaged(file, error) from error
        return row[0] if row else plain(path)

    return key


def _damaged(file: Path, error: Exception) -> InputError:
    return InputError(
        f"what is reused can't be read: {error}",
        where=str(file),
        remedy="Delete it and plan again: the upload then finds anew what it can reuse.",
    )
