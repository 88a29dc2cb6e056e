"""SQLite: databases that stay, and empty databases that hold what memory should not."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


def connect(path: Path, *, write: bool = False) -> sqlite3.Connection:
    """Open a database that stays, for all threads of this process.

    Args:
        path: its file; made where there is none and it is written.
        write: whether it may be written.

    Raises:
        sqlite3.Error: it can't be opened. Whether it is one shows when it is read.
    """
    mode = "rwc" if write else "ro"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, check_same_thread=False)


@contextmanager
def scratch(schema: str, folder: Path | None = None) -> Iterator[sqlite3.Connection]:
    """Open an empty database that goes away at the end. It is on disk, so memory stays flat.

    Nothing of it outlives a crash, so no change waits for the disk. Transactions are begun by hand.

    Args:
        schema: the SQL that makes its tables.
        folder: where it lies; default: where SQLite puts what is temporary.
    """
    with tempfile.TemporaryDirectory(prefix="compare-", dir=folder) as place:
        path = Path(place) / "scratch.sqlite"
        with closing(
            sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        ) as database:
            database.executescript(f"pragma journal_mode = off; pragma synchronous = off; {schema}")
            yield database
