"""The PgSTAC database: connections, the version guard, the lock on a collection, reading."""

from __future__ import annotations

import getpass
import json
import re
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, LiteralString

from dedl_workbook.base.errors import ServiceError
from dedl_workbook.parameters.target import Catalog
from dedl_workbook.publication.job import Job
from dedl_workbook.services.catalog import comparison

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

SERIES = ("0.9", "0.10")
"""Of PgSTAC, that this works with."""
_OLDEST = (0, 9, 12)
"""Before that, nobody but PgSTAC's owner could delete a collection, or drop its partitions."""
LOCK_PATIENCE = 5.0
"""Seconds to wait for another load: one whose client was killed ends within these."""
_NO_PGSTAC = r'schema "pgstac"|get_version|pgstac\.migrations|relation "collections"'
REMEDIES = {
    "28P01": "Check user and password of the target's catalog.",
    "28000": "Check user and password of the target's catalog, and what the server lets in.",
    "3D000": "Check the database's name in the target's catalog.",
    "42501": "The user needs the role pgstac_ingest: ask the database's operators for it.",
    "53100": "The database's disk is full: have room made, then run again.",
    "53200": "The database is out of memory: run again later, or ask its operators.",
    "53300": "The database has no connection free: run again later, or ask its operators.",
    "55P03": "Somebody else holds a lock for long: run again later.",
    "57014": "The database stopped it (statement_timeout, or an operator): ask for more time for "
    "this user, then run again.",
    "57P01": "The database was shut down meanwhile: run again when it is up.",
    "57P02": "The database crashed meanwhile: run again when it is up.",
    "57P03": "The database is starting or stopping: run again when it is up.",
}
_UNREACHABLE = (
    (r"refused", "Is it running? Check host and port of the target's catalog."),
    (r"translate host|resolve host|Name or service|name resolution", "Check the host's name in the "
     "target's catalog."),
    (r"password authentication|no password supplied", REMEDIES["28P01"]),
    (r"database .* does not exist", REMEDIES["3D000"]),
    (r"too many (clients|connections)|remaining connection slots", REMEDIES["53300"]),
    (r"starting up|shutting down|error response during SSL", REMEDIES["57P03"]),
    (r"time.?out|timed out", "Check host and port, and whether a firewall lies between."),
    (r"SSL|certificate", "Check sslmode of the target's catalog."),
)  # fmt: skip
BACK = "Nothing half-done is left: run again when the database is up."


def address(catalog: Catalog) -> str:
    """Return where the database is, as messages name it."""
    return f"database {catalog.database} at {catalog.host}:{catalog.port}"


def connected(job: Job) -> AbstractContextManager[Connection]:
    """Connect to the target's database for a ticket; see `reached`."""
    return reached(job.target.catalog, job.ticket.ticket)


@contextmanager
def reached(catalog: Catalog, purpose: str, patience: float = 10) -> Iterator[Connection]:
    """Connect to a database; what goes wrong inside is raised as our error.

    The server ends what it does for us soon after we are gone, and the name that others see
    there says for what (such as a ticket) it is, and who.

    Args:
        catalog: the target's part.
        purpose: of the connection.
        patience: seconds until it must stand.

    Raises:
        ServiceError: anything that the database refuses or fails at, with its remedy.
    """
    import psycopg

    who = f"{getpass.getuser()}@{socket.gethostname().partition('.')[0]}"
    name = f"dedl {purpose} {who}".encode("ascii", "replace").decode()
    try:
        with psycopg.connect(
            host=catalog.host,
            port=catalog.port,
            dbname=catalog.database,
            user=catalog.user,
            password=catalog.password.get_secret_value(),
            sslmode=catalog.sslmode,
            application_name=name[:63],
            connect_timeout=int(patience),
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
            tcp_user_timeout=60_000,
            autocommit=True,
        ) as connection:
            connection.execute("set search_path = pgstac, public")
            connection.execute("set client_connection_check_interval = '2s'")
            connection.execute("set timezone = 'UTC'")
            yield connection
    except psycopg.Error as error:
        raise explained(error, address(catalog)) from error


def explained(error: Exception, where: str) -> ServiceError:
    """Return our error for one of psycopg's: one line, and the remedy."""
    code = getattr(error, "sqlstate", None) or ""
    diagnostic = getattr(error, "diag", None)
    text = (diagnostic and diagnostic.message_primary) or last_line(error)
    if code in ("3F000", "42883", "42P01") and re.search(_NO_PGSTAC, text):
        return ServiceError(
            f"has no PgSTAC that this user can see ({text})",
            where=where,
            remedy="Check the database's name; else have PgSTAC installed: pypgstac migrate.",
        )
    if code:
        remedy = REMEDIES.get(code, "Nothing half-done is left. Ask the database's operators.")
        return ServiceError(text, where=where, remedy=remedy)
    for pattern, remedy in _UNREACHABLE:
        if re.search(pattern, str(error), re.IGNORECASE):
            return ServiceError(text, where=where, remedy=remedy)
    return ServiceError(f"the connection was lost ({text})", where=where, remedy=BACK)


def last_line(error: Exception) -> str:
    """Return the line of a driver's error that says most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = next((line for line in lines if "FATAL" in line or "failed" in line), "")
    text = text or (lines[0] if lines else type(error).__name__)
    return text.split("FATAL:")[-1].split("failed: ")[-1].strip()


def guard(connection: Connection) -> str:
    """Return the database's PgSTAC version, if our pypgstac can load into it.

    Raises:
        ServiceError: it can't; the remedy is the very line to type, if there is one.
    """
    row = connection.execute("select pgstac.get_version()").fetchone()
    found, ours = str(row[0] if row else None), version("pypgstac")
    if _series(found) != _series(ours) and found != "unreleased":
        remedy = f'Type: pip install "pypgstac[psycopg]=={_series(found)}.*"'
        if _series(found) not in SERIES:
            remedy = (
                f"The workbook works with {' and '.join(SERIES)}: ask the database's operators."
            )
        raise ServiceError(
            f"the database has PgSTAC {found}, and pypgstac {ours} can't load into that",
            remedy=remedy,
        )
    if tuple(map(int, re.findall(r"\d+", found)[:3])) < _OLDEST and found != "unreleased":
        raise ServiceError(
            f"the database has PgSTAC {found}, where only its owner may delete a collection",
            remedy="Ask the database's operators for 0.9.12 or later: pypgstac migrate.",
        )
    return found


def _series(number: str) -> str:
    return ".".join(number.split(".")[:2])


def lock(connection: Connection, collection: str) -> None:
    """Take the one lock on loading a collection; it is freed with the connection.

    Raises:
        ServiceError: somebody else has it; naming who, and since when.
    """
    import psycopg

    name = f"dedl-workbook/{collection}"
    connection.execute("select set_config('lock_timeout', %s, false)", [f"{LOCK_PATIENCE}s"])
    try:
        connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [name])
    except psycopg.errors.LockNotAvailable:
        raise ServiceError(
            f"{collection} is being loaded by {_holder(connection, name)}",
            remedy="Wait until that is done (or have it ended), then run again.",
        ) from None
    connection.execute("set lock_timeout = '30s'")


def _holder(connection: Connection, name: str) -> str:
    lock = (
        "l.locktype = 'advisory' and l.objsubid = 1"
        " and (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended(%s, 0)"
    )
    return _oldest(connection, lock, name) or "somebody else"


def holder_of_items(connection: Connection) -> str:
    """Return who has had a lock on the table of all items for longest, and since when, or ''."""
    return _oldest(connection, "l.relation = to_regclass(%s)", "pgstac.items")


def _oldest(connection: Connection, lock: LiteralString, value: str) -> str:
    from psycopg import sql

    query = sql.SQL(
        "select coalesce(nullif(a.application_name, ''), a.usename, 'another user'), l.pid,"
        " to_char(a.backend_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')"
        " from pg_locks l left join pg_stat_activity a using (pid)"
        " where l.granted and l.pid <> pg_backend_pid() and {}"
        " order by a.xact_start nulls last limit 1"
    ).format(sql.SQL(lock))
    row = connection.execute(query, [value]).fetchone()
    if row is None:
        return ""
    since = f", since {row[2]} UTC" if row[2] else ""
    return f"{row[0]} (server process {row[1]}{since})"


def held_collection(connection: Connection, collection: str) -> dict[str, Any] | None:
    """Return the collection that the database holds under this id, or None."""
    row = connection.execute(
        "select content::text from collections where id = %s", [collection]
    ).fetchone()
    return None if row is None else json.loads(row[0])


def held_items(connection: Connection, collection: str) -> Iterator[tuple[str, str, bytes]]:
    """Yield id, first instant and form of each item, as PgSTAC serves it; in no order."""
    import orjson
    from psycopg import sql
    from pypgstac.hydration import hydrate

    bases = _base_items(connection, collection)
    first = r"""to_char(datetime at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    query = sql.SQL(
        "copy (select id, {}, ST_AsGeoJSON(geometry, 20), content from items"
        " where collection = {}) to stdout"
    ).format(sql.SQL(first), sql.Literal(collection))
    with connection.cursor() as cursor, cursor.copy(query) as rows:
        for id_, first, geometry, content in rows.rows():
            item = orjson.loads(content)
            tag = item.pop("pgstac:base_item", None)
            item |= {"id": id_, "geometry": orjson.loads(geometry), "collection": collection}
            yield id_, first, comparison.form(hydrate(bases[tag], item))


def alters_items(connection: Connection, document: dict[str, Any]) -> bool:
    """Tell whether a changed collection would alter the items that it has.

    PgSTAC stores items as their difference to what the collection says of all (`item_assets`).
    Before 0.10 it doesn't keep what it said when they were stored.
    """
    row = connection.execute(
        "select to_regclass('pgstac.base_items') is null and base_item is distinct from"
        " collection_base_item(%s::jsonb) from collections where id = %s",
        [json.dumps(document), document["id"]],
    ).fetchone()
    return bool(row and row[0])


def _base_items(connection: Connection, collection: str) -> dict[Any, dict[str, Any]]:
    """Return what items are stored as the difference to; from PgSTAC 0.10 on, by their tag."""
    row = connection.execute("select to_regclass('pgstac.base_items') is not null").fetchone()
    if not (row and row[0]):
        query: LiteralString = "select null, base_item::text from collections where id = %s"
    else:
        query = (
            "select null, collection_base_item(id, null)::text from collections where id = %s"
            " union all select id, base_item::text from base_items where collection = %s"
        )
    found = connection.execute(query, [collection] * query.count("%s")).fetchall()
    return {tag: json.loads(base) for tag, base in found}


def count_items(connection: Connection, collection: str) -> int:
    """Return how many items there are in a collection."""
    row = connection.execute(
        "select count(*) from items where collection = %s", [collection]
    ).fetchone()
    return int(row[0]) if row else 0


def extent(connection: Connection, collection: str) -> tuple[Any, Any, Any]:
    """Return what the items cover, as the database computes it, each None where there are none.

    West, south, east and north in degrees; first and last instant.
    """
    row = connection.execute(
        "select case when box is not null then"
        " array[st_xmin(box), st_ymin(box), st_xmax(box), st_ymax(box)] end, first, last"
        " from (select st_extent(geometry) box, min(datetime) first, max(end_datetime) last"
        " from items where collection = %s) covered",
        [collection],
    ).fetchone()
    return row if row and len(row) == 3 else (None, None, None)


def partition_trunc(connection: Connection, collection: str) -> str | None:
    """Return how a collection is partitioned: None, `year` or `month`."""
    row = connection.execute(
        "select partition_trunc from collections where id = %s", [collection]
    ).fetchone()
    return row[0] if row else None
