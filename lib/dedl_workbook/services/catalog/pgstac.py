"""The PgSTAC database: connections, the version guard, the lock on a collection, reading."""

from __future__ import annotations

import getpass
import json
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
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
COLUMNS = {
    f"{table}.{column}"
    for table, columns in {
        "collections": ("id", "content", "base_item", "partition_trunc"),
        "items": ("id", "collection", "geometry", "datetime", "end_datetime", "content"),
    }.items()
    for column in columns
}
"""What this works with of its tables; a later PgSTAC builds them otherwise."""
_OLDEST = (0, 9, 12)
"""Before that, nobody but PgSTAC's owner could delete a collection, or drop its partitions."""
LOCK_PATIENCE = 5.0
"""Seconds to wait for another load: one whose client was killed ends within these."""
_NO_PGSTAC = r'schema "pgstac"|get_version|pgstac\.migrations|relation "collections"'
REMEDIES = {
    "28P01": "Check user and password of the target's catalog. Where the target has no password, "
    "libpq takes it from ~/.pgpass or the service.",
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
    (r"certificate verify failed|certificate is not trusted|self.signed", "Put the file of the "
     "authority that signed the server's certificate into the target's catalog, as ca_bundle."),
    (r"root certificate file", "Check ca_bundle of the target's catalog: there is no such file."),
    (r"SSL|certificate", "Check sslmode of the target's catalog."),
)  # fmt: skip
PASSWORD_PATIENCE = 30
"""Seconds that the target's password_command may take."""
_PROBES = 3
"""Connections that try to get the one a pooler gave us before."""
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
    there says for what (such as a ticket) it is, and who. Behind a pooler that lends a server
    process for one transaction, all of it is one transaction, which can only read: `lock` refuses.

    Args:
        catalog: the target's part.
        purpose: of the connection.
        patience: seconds until it must stand.

    Raises:
        ServiceError: anything that the database refuses or fails at, with its remedy.
    """
    import psycopg

    with _errors(catalog), psycopg.connect(**_parameters(catalog, purpose, patience)) as connection:
        if not _is_lent(connection, catalog, purpose, patience):
            _set_up(connection, "session")
            yield connection
            return
        with connection.transaction():
            connection.execute("set transaction read only")
            _set_up(connection, "local")
            yield connection


@contextmanager
def _errors(catalog: Catalog) -> Iterator[None]:
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise explained(error, address(catalog)) from error


def _parameters(catalog: Catalog, purpose: str, patience: float) -> dict[str, Any]:
    """Return how to connect, in the words of libpq."""
    who = f"{getpass.getuser()}@{socket.gethostname().partition('.')[0]}"
    name = f"dedl {purpose} {who}".encode("ascii", "replace").decode()
    trusted = str(catalog.ca_bundle or ("system" if catalog.sslmode == "verify-full" else ""))
    optional = {
        "password": password(catalog),
        "service": catalog.service,
        "sslrootcert": trusted,
        "sslcert": str(catalog.client_certificate or ""),
        "sslkey": str(catalog.client_key or ""),
    }
    return {
        "host": catalog.host,
        "port": catalog.port,
        "dbname": catalog.database,
        "user": catalog.user,
        "sslmode": catalog.sslmode,
        "application_name": name[:63],
        "connect_timeout": int(patience),
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
        "autocommit": True,
        **{key: value for key, value in optional.items() if value},
    }


def password(catalog: Catalog) -> str:
    """Return the password that the target names, or '': libpq then looks where it always does.

    Raises:
        ServiceError: the target's program fails, prints nothing, or takes too long.
    """
    if not catalog.password_command:
        return catalog.password.get_secret_value() if catalog.password else ""
    program = catalog.password_command[0]
    try:
        run = subprocess.run(
            catalog.password_command, capture_output=True, text=True, timeout=PASSWORD_PATIENCE
        )
        problem = f"it ended with {run.returncode}" if run.returncode else ""
        value = run.stdout.strip()
    except subprocess.TimeoutExpired:
        problem, value = f"it took longer than {PASSWORD_PATIENCE} s", ""
    except (OSError, ValueError) as error:
        problem, value = getattr(error, "strerror", None) or str(error), ""
    if problem or not value:
        raise ServiceError(
            f"catalog.password_command gave no password: {problem or 'it printed nothing'}",
            where=program,
            remedy="Run it by hand; it must print the password, and nothing else.",
        )
    return value


def _set_up(connection: Connection, scope: LiteralString) -> None:
    for setting in (
        "search_path = pgstac, public",
        "client_connection_check_interval = '2s'",
        "timezone = 'UTC'",
    ):
        connection.execute(f"set {scope} {setting}")


def _is_lent(connection: Connection, catalog: Catalog, purpose: str, patience: float) -> bool:
    """Return whether a pooler gives the server process to others between our transactions.

    A pooler tells a process number of its own at the start, in each of its modes. Whether the
    process behind it stays ours is tried: other connections, each in a transaction, get it or not.
    """
    import psycopg

    process = _process(connection)
    if connection.info.backend_pid == process:
        return False
    with ExitStack() as others:
        for _ in range(_PROBES):
            parameters = _parameters(catalog, purpose, patience)
            other = others.enter_context(psycopg.connect(**parameters))
            others.enter_context(other.transaction())
            if _process(other) == process or _process(connection) != process:
                return True
    return False


def _process(connection: Connection) -> int:
    row = connection.execute("select pg_backend_pid()").fetchone()
    return int(row[0]) if row else 0


def require_own_process(connection: Connection) -> None:
    """Refuse a connection that cannot keep a lock from one transaction to the next.

    Raises:
        ServiceError: it goes through a pooler in transaction mode.
    """
    from psycopg.pq import TransactionStatus

    if connection.info.transaction_status == TransactionStatus.INTRANS:
        raise ServiceError(
            "a connection pooler in transaction mode stands before the database: a lock on a "
            "collection would be none there, and stay behind",
            where=f"{connection.info.host}:{connection.info.port}",
            remedy="Put the database's own port (or a pooler's in session mode) into the target's "
            "catalog; nothing was changed.",
        )


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
    require_own_process(connection)
    row = connection.execute("select pgstac.get_version()").fetchone()
    number, ours = str(row[0] if row else None), version("pypgstac")
    if _series(number) != _series(ours) and number != "unreleased":
        remedy = f'Type: pip install "pypgstac[psycopg]=={_series(number)}.*"'
        if _series(number) not in SERIES:
            remedy = (
                f"The workbook works with {' and '.join(SERIES)}: ask the database's operators."
            )
        raise ServiceError(
            f"the database has PgSTAC {number}, and pypgstac {ours} can't load into that",
            remedy=remedy,
        )
    if tuple(map(int, re.findall(r"\d+", number)[:3])) < _OLDEST and number != "unreleased":
        raise ServiceError(
            f"the database has PgSTAC {number}, where only its owner may delete a collection",
            remedy="Ask the database's operators for 0.9.12 or later: pypgstac migrate.",
        )
    _require_columns(connection, number)
    return number


def _require_columns(connection: Connection, number: str) -> None:
    """Refuse tables that are built otherwise than those of the series: a number can mislead."""
    rows = connection.execute(
        "select table_name || '.' || column_name from information_schema.columns"
        " where table_schema = 'pgstac' and table_name in ('collections', 'items')"
    ).fetchall()
    missing = sorted(COLUMNS - {row[0] for row in rows})
    if missing:
        raise ServiceError(
            f"the database has PgSTAC {number} without the columns {', '.join(missing)}: it is "
            "built otherwise than what this workbook can load into",
            remedy="Ask the database's operators for a released PgSTAC of the series "
            f"{' or '.join(SERIES)}.",
        )


def _series(number: str) -> str:
    return ".".join(number.split(".")[:2])


def lock(connection: Connection, collection: str) -> None:
    """Take the one lock on loading a collection; it is freed with the connection.

    Raises:
        ServiceError: somebody else has it, naming who, and since when; or a pooler in transaction
            mode would not keep it.
    """
    import psycopg

    require_own_process(connection)
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
    """Return whether a changed collection would alter the items that it has.

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
    rows = connection.execute(query, [collection] * query.count("%s")).fetchall()
    return {tag: json.loads(base) for tag, base in rows}


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
