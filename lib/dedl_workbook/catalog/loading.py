"""Loads items into PgSTAC with pypgstac, so that readers neither wait nor see half of it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dedl_workbook import comparison
from dedl_workbook.catalog.pgstac import BACK, REMEDIES, last_line
from dedl_workbook.comparison import Comparison, Row
from dedl_workbook.errors import ServiceError
from dedl_workbook.parallel import shards

if TYPE_CHECKING:
    from dedl_workbook.catalog.pgstac import Connection

CHUNK = 10_000
"""Items that go to the server at a time."""
Span = tuple[str, str, str, str]
"""Least and greatest first instant, least and greatest last instant."""
_PARTITION_PATIENCE = 60.0
# Whoever waits for a table's strongest lock makes every later reader wait too.
_SHORT_LOCK = "100ms"
_LOCKED = ("55P03", "40P01")


def make_collection(connection: Connection, document: dict[str, Any]) -> bool:
    """Make the collection if there is none of its id; return whether it was made."""
    done = connection.execute(
        "insert into collections (content) values (%s::jsonb) on conflict (id) do nothing",
        [json.dumps(document)],
    )
    return done.rowcount == 1


def make_partitions(connection: Connection, collection: str, spans: list[Span]) -> list[str]:
    """Make the partitions for these spans, each in a short transaction, and return their names.

    Making one locks out every reader of every collection, so nothing else is done meanwhile, and
    a lock that isn't free at once is asked for again later.

    Raises:
        ServiceError: readers or writers never left room for it.
    """
    return [_make_partition(connection, collection, span) for span in spans]


def _make_partition(connection: Connection, collection: str, span: Span) -> str:
    import psycopg

    notices: list[str] = []
    deadline = time.monotonic() + _PARTITION_PATIENCE

    def listen(notice: psycopg.errors.Diagnostic) -> None:
        notices.append(notice.message_primary or "")

    connection.add_notice_handler(listen)
    try:
        while time.monotonic() < deadline:
            try:
                if name := _try_partition(connection, collection, span):
                    return name
            except psycopg.Error as error:
                if not (_swallowed(notices) or error.sqlstate in _LOCKED):
                    raise
            # PgSTAC swallows what went wrong, and only tells of it.
            state, told = _swallowed(notices) or ("55P03", "")
            if state not in _LOCKED:
                remedy = REMEDIES.get(state, "Ask the database's operators.")
                raise ServiceError(f"can't make a partition: {told}", remedy=remedy)
            notices.clear()
            time.sleep(0.3)
    finally:
        connection.remove_notice_handler(listen)
    raise ServiceError(
        f"no partition of {collection} could be made: the catalogue is always locked",
        remedy="Run again when fewer are reading, or ask the database's operators.",
    )


def _try_partition(connection: Connection, collection: str, span: Span) -> str | None:
    with connection.transaction():
        connection.execute("select set_config('lock_timeout', %s, true)", [_SHORT_LOCK])
        row = connection.execute(
            "select check_partition(%s, tstzrange(%s, %s, '[]'), tstzrange(%s, %s, '[]'))",
            [collection, *span],
        ).fetchone()
        name = str(row[0]) if row else ""
        there = connection.execute("select to_regclass(%s)", [f"pgstac.{name}"]).fetchone()
    return name if there and there[0] else None


def _swallowed(notices: list[str]) -> tuple[str, str] | None:
    """Return SQLSTATE and message of an error that PgSTAC only told of."""
    text = "\n".join(notices)
    state, name = re.search(r"Error State:(\w+)", text), re.search(r"Error Name:(.*)", text)
    return (state[1], name[1] if name else state[1]) if state else None


def update(connection: Connection, document: dict[str, Any]) -> None:
    """Put a collection in the place of the one with its id; inside the load's transaction."""
    connection.execute(
        "update collections set content = %s::jsonb where id = %s",
        [json.dumps(document), document["id"]],
    )


def prepare_load(connection: Connection) -> None:
    """Keep PgSTAC from locking out readers, or changing extents, until the transaction ends.

    It would bring partitions' statistics and constraints up to date after each chunk, under locks
    that hold until the commit; they are queued instead, and `finish` brings them up to date.
    """
    connection.execute("select set_config('pgstac.use_queue', 'true', true)")
    connection.execute("select set_config('pgstac.update_collection_extent', 'false', true)")


def remove(connection: Connection, collection: str, ids: Iterable[str]) -> int:
    """Remove items by their ids; return how many rows went."""
    connection.execute("create temp table dedl_gone (id text) on commit drop")
    with connection.cursor() as cursor, cursor.copy("copy dedl_gone from stdin") as rows:
        for id_ in ids:
            rows.write_row((id_,))
    connection.execute("analyze dedl_gone")
    done = connection.execute(
        "delete from items i using dedl_gone g where i.collection = %s and i.id = g.id",
        [collection],
    )
    return done.rowcount


def load(
    connection: Connection,
    partitions: list[tuple[str, Span]],
    sides: Comparison,
) -> Iterator[int]:
    """Load the selected items with pypgstac; yield how many were loaded, chunk by chunk.

    Each partition is there already, so nothing is locked that a reader needs. The items' times
    go to PgSTAC in UTC; the items themselves as they are.

    Raises:
        InputError: PgSTAC refuses an item; naming its file.
    """
    from pypgstac.db import PgstacDB
    from pypgstac.load import Loader

    # A lost connection must not be replaced by a new one, outside of the transaction.
    loader = Loader(PgstacDB(connection=connection, pool=_NoPool()))  # type: ignore[arg-type]
    done = 0
    for name, span in partitions:
        for chunk in shards(sides.selected(span[0], span[1]), CHUNK):
            _load_chunk(loader, name, span, chunk)
            done += len(chunk)
            yield done


class _NoPool:
    """In the place of pypgstac's pool, which connects anew by itself."""

    def getconn(self) -> None:
        raise ServiceError("the connection to the database was lost", remedy=BACK)

    def check(self) -> None:
        """Do nothing."""


def _load_chunk(loader: Any, name: str, span: Span, chunk: list[Row]) -> None:
    import psycopg
    from pypgstac.load import Methods, Partition
    from tenacity import stop_after_attempt

    rows = [_formatted(loader, row) for row in chunk]
    partition = Partition(name, rows[0]["collection"], *span, requires_update=False)
    # Another try would be made inside of our transaction, after up to two minutes.
    once = type(loader).load_partition.retry_with(stop=stop_after_attempt(1))
    try:
        once(loader, partition, rows, Methods.insert)
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        place = re.search(r"COPY \S+, line (\d+)", error.diag.context or "")
        if place is None or int(place[1]) > len(chunk):
            raise
        path = chunk[int(place[1]) - 1].path
        raise comparison.refused(path, error.diag.message_primary or str(error)) from error


def _formatted(loader: Any, row: Row) -> dict[str, Any]:
    import orjson
    import psycopg

    try:
        formatted: dict[str, Any] = loader.format_item(orjson.loads(row.content))
    except psycopg.Error:
        raise
    except Exception as error:  # pypgstac raises bare Exceptions, plpygis many kinds
        raise comparison.refused(row.path, str(error) or type(error).__name__) from error
    return formatted | {"datetime": row.first, "end_datetime": row.last}


def forget_counts(connection: Connection) -> None:
    """Drop the cached counts of searches, which PgSTAC would serve for a day."""
    connection.execute("delete from search_wheres")


def unqueue(connection: Connection, partitions: Iterable[str]) -> None:
    """Take what `prepare_load` had queued for these partitions out of the queue again."""
    queued = [f"SELECT update_partition_stats('{name}', '{flag}');" for name in partitions
              for flag in "tf"]  # fmt: skip
    connection.execute("delete from query_queue where query = any(%s)", [queued])


def finish(connection: Connection, collection: str) -> list[str]:
    """Bring statistics up to date after the commit; return what was left undone, and why.

    The data stands by now; searches are only slower without these.
    """
    import psycopg
    from psycopg import sql

    left = []
    names = connection.execute(
        "select partition from partition_stats where collection = %s order by 1", [collection]
    ).fetchall()
    for (name,) in names:
        for statement in (
            sql.SQL("select update_partition_stats({})").format(sql.Literal(name)),
            sql.SQL("analyze {}").format(sql.Identifier("pgstac", name)),
        ):
            try:
                with connection.transaction():
                    connection.execute(
                        "select set_config('lock_timeout', %s, true),"
                        " set_config('pgstac.update_collection_extent', 'false', true)",
                        [_SHORT_LOCK],
                    )
                    connection.execute(statement)
            except psycopg.Error as error:
                left.append(f"{name}: {last_line(error)}")
    with suppress(psycopg.Error):
        forget_counts(connection)
    return left


def delete_collection(connection: Connection, collection: str) -> None:
    """Delete a collection with its items, by PgSTAC's own function, in one transaction.

    It drops the collection's partitions under a lock that every reader would wait behind; so a
    lock that isn't free at once is asked for again later.

    Raises:
        ServiceError: readers or writers never left room for it.
    """
    import psycopg

    deadline = time.monotonic() + _PARTITION_PATIENCE
    while time.monotonic() < deadline:
        try:
            with connection.transaction():
                connection.execute("select set_config('lock_timeout', %s, true)", [_SHORT_LOCK])
                connection.execute("select delete_collection(%s)", [collection])
                forget_counts(connection)
        except psycopg.Error as error:
            if error.sqlstate not in _LOCKED:
                raise
            time.sleep(0.3)
        else:
            return
    raise ServiceError(
        f"{collection} can't be deleted: the catalogue is always locked",
        remedy="Nothing of it was deleted. Run again when fewer are reading.",
    )


def remove_empty(connection: Connection, collection: str) -> None:
    """Remove a collection that we made and that has no items."""
    with connection.transaction():
        connection.execute("select set_config('lock_timeout', %s, true)", [_SHORT_LOCK])
        items = connection.execute(
            "select from items where collection = %s limit 1", [collection]
        ).fetchall()
        if not items:
            connection.execute("select delete_collection(%s)", [collection])
