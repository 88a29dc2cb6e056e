"""Loads items into PgSTAC with pypgstac, so that readers neither wait nor see half of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dedl_workbook.base.errors import ServiceError
from dedl_workbook.base.parallel import shards
from dedl_workbook.services.catalog import comparison, partitions
from dedl_workbook.services.catalog.comparison import Comparison, Row
from dedl_workbook.services.catalog.partitions import Span
from dedl_workbook.services.catalog.pgstac import BACK, last_line

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composed

    from dedl_workbook.services.catalog.pgstac import Connection

CHUNK = 10_000
"""Items that go to the server at a time."""


def update(connection: Connection, document: dict[str, Any]) -> None:
    """Put a collection in the place of the one with its id; inside the load's transaction.

    Raises:
        ConflictError: there is none by now.
    """
    done = connection.execute(
        "update collections set content = %s::jsonb where id = %s",
        [json.dumps(document), document["id"]],
    )
    if not done.rowcount:
        raise partitions.meanwhile(document["id"], "deleted")


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
    places: list[tuple[str, Span]],
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
    for name, span in places:
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
    """Bring statistics and extents up to date after the commit; return what was left, and why.

    The data stands by now; searches are only slower without these.
    """
    import psycopg
    from psycopg import sql

    left: list[str] = []
    whole = connection.execute(
        "select from pg_proc where pronamespace = 'pgstac'::regnamespace"
        " and proname = 'update_partition_stats' and pronargs = 3"
    ).rowcount
    update = "select update_partition_stats({}, false, true)"
    names = connection.execute(
        "select partition from partition_stats where collection = %s order by 1", [collection]
    ).fetchall()
    statements = [
        sql.SQL(update if whole else "select update_partition_stats({})").format(name)
        for (name,) in names
    ]
    if _may_analyze(connection):
        statements.append(sql.SQL("select dedl.analyze_collection({})").format(collection))
    else:
        places = [sql.Identifier("pgstac", name) for (name,) in names]
        # Geometries take PostGIS a second for a partition: autovacuum has them still to do.
        analyze = "analyze {} (id, collection, datetime, end_datetime)"
        statements += [sql.SQL(analyze).format(place) for place in places]
    for statement in statements:
        try:
            left += _at_once(connection, statement)
        except psycopg.Error as error:
            left.append(f"{statement.as_string(connection)}: {last_line(error)}")
    with suppress(psycopg.Error):
        forget_counts(connection)
    return left


def _may_analyze(connection: Connection) -> bool:
    """Return whether the database's operators let us ANALYZE: see `database-role.sql`."""
    row = connection.execute(
        "select has_schema_privilege(n.oid, 'usage') and has_function_privilege(p.oid, 'execute')"
        " from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
        " where n.nspname = 'dedl' and p.proname = 'analyze_collection'"
    ).fetchone()
    return bool(row and row[0])


def _at_once(connection: Connection, statement: Composed) -> list[str]:
    """Run a statement in a transaction of its own; return what PostgreSQL warned of.

    Only an owner may ANALYZE, or whom PostgreSQL 17 lets MAINTAIN: it warns, and doesn't.
    """
    warnings: list[str] = []

    def listen(notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            warnings.append(notice.message_primary or "")

    connection.add_notice_handler(listen)
    try:
        with connection.transaction():
            connection.execute(
                "select set_config('lock_timeout', %s, true),"
                " set_config('pgstac.update_collection_extent', 'false', true)",
                [partitions.SHORT_LOCK],
            )
            connection.execute(statement)
    finally:
        connection.remove_notice_handler(listen)
    return [f"{text} (autovacuum will)" for text in warnings]


def delete_collection(connection: Connection, collection: str) -> None:
    """Delete a collection with its items, by PgSTAC's own function, in one transaction.

    Raises:
        ServiceError: readers or writers never left room for it.
    """

    def delete() -> None:
        connection.execute("select delete_collection(%s)", [collection])
        forget_counts(connection)

    partitions.patiently(connection, delete, f"{collection} can't be deleted")
