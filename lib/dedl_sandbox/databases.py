"""The databases of the sandbox: copies of a template with PgSTAC; and who may do what in them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, LiteralString

from dedl_workbook.base.errors import ServiceError
from dedl_workbook.services.catalog import pgstac

from dedl_sandbox import processes
from dedl_sandbox.postgres import dsn
from dedl_sandbox.state import SandboxState

if TYPE_CHECKING:
    import psycopg

INGEST = "dedl_ingest"
READER = "dedl_reader"
DATABASE = "dedl"
TEMPLATE = "pgstac_template"
_DRAFT = "pgstac_template_draft"
_ROLE = Path(pgstac.__file__).with_name("database-role.sql")
"""What the database's operators are asked to run for the workbook's user."""


@contextlib.contextmanager
def _administering(lake: SandboxState) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    import psycopg

    try:
        with psycopg.connect(dsn(lake, "postgres"), autocommit=True) as connection:
            yield connection
    except psycopg.Error as error:
        raise ServiceError(
            f"PostgreSQL refuses: {str(error).strip()}", where=str(lake.log("postgres"))
        ) from error


def _run(
    connection: psycopg.Connection[tuple[object, ...]],
    statement: LiteralString,
    *names: str,
    **literals: str,
) -> None:
    from psycopg import sql

    values = {name: sql.Literal(value) for name, value in literals.items()}
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names), **values))


def _pgstac_of(connection: psycopg.Connection[tuple[object, ...]], database: str) -> str | None:
    """Return the PgSTAC version that a database was marked with, or None when it isn't there."""
    row = connection.execute(
        "select coalesce(shobj_description(oid, 'pg_database'), '') from pg_database"
        " where datname = %s",
        [database],
    ).fetchone()
    return None if row is None else str(row[0])


def furnish(lake: SandboxState, progress: Callable[[str], None]) -> None:
    """Bring template, roles and database to where they should be; safe to repeat."""
    wanted = version("pypgstac")
    with _administering(lake) as connection:
        if _pgstac_of(connection, TEMPLATE) != wanted:
            progress(f"making the PgSTAC {wanted} template")
            _make_template(lake, connection, wanted)
        current = _pgstac_of(connection, DATABASE)
        if current is None:
            _copy_template(connection, DATABASE)
        elif current != wanted:
            progress(f"migrating the database to PgSTAC {wanted}")
            _migrate(lake, DATABASE)
        if current != wanted:
            _run(connection, "comment on database {} is {version}", DATABASE, version=wanted)
        _grant(lake, DATABASE)
        _make_roles(lake, connection)


def _make_template(
    lake: SandboxState, connection: psycopg.Connection[tuple[object, ...]], wanted: str
) -> None:
    if _pgstac_of(connection, TEMPLATE) is not None:
        _run(connection, "alter database {} is_template false", TEMPLATE)
        _run(connection, "drop database {} with (force)", TEMPLATE)
    _run(connection, "drop database if exists {} with (force)", _DRAFT)
    _run(connection, "create database {} template template0", _DRAFT)
    _migrate(lake, _DRAFT)
    _grant(lake, _DRAFT)
    _run(connection, "comment on database {} is {version}", _DRAFT, version=wanted)
    # Nobody may connect to it: a database in use can't be copied.
    _run(connection, "alter database {} allow_connections false", _DRAFT)
    _run(connection, "alter database {} rename to {}", _DRAFT, TEMPLATE)
    _run(connection, "alter database {} is_template true", TEMPLATE)


def _migrate(lake: SandboxState, database: str) -> None:
    import psycopg
    from pypgstac.db import PgstacDB
    from pypgstac.migrate import Migrate

    with psycopg.connect(dsn(lake, database), autocommit=True) as connection:
        connection.execute("select set_config('search_path', 'pgstac,public', false)")
        Migrate(PgstacDB(dsn=dsn(lake, database), connection=connection)).run_migration()
        # Counts of matches are off by default, and clients ask for numberMatched.
        connection.execute("update pgstac.pgstac_settings set value='on' where name='context'")


def _grant(lake: SandboxState, database: str) -> None:
    import psycopg

    with psycopg.connect(dsn(lake, database), autocommit=True) as connection:
        connection.execute(_ROLE.read_bytes())


def _make_roles(lake: SandboxState, connection: psycopg.Connection[tuple[object, ...]]) -> None:
    roles = (
        (INGEST, "dedl_catalog", lake.secrets["ingest_password"]),
        (READER, "pgstac_read", lake.secrets["reader_password"]),
    )
    for name, group, password in roles:
        there = connection.execute("select 1 from pg_roles where rolname = %s", [name]).fetchone()
        if there is None:
            _run(connection, "create role {}", name)
        _run(connection, "alter role {} login password {password}", name, password=password)
        _run(connection, "grant {} to {}", group, name)
        _run(connection, "alter role {} set search_path = pgstac, public", name)
    _run(connection, "alter role {} set default_transaction_read_only = on", READER)
    # A search counts, which it must not write down, then reads: all as of one moment.
    _run(connection, "alter role {} set default_transaction_isolation = 'repeatable read'", READER)
    _run(connection, "alter role {} set pgstac.readonly = 'true'", READER)


def _copy_template(connection: psycopg.Connection[tuple[object, ...]], name: str) -> None:
    _run(connection, "create database {} template {}", name, TEMPLATE)


def create_database(lake: SandboxState, name: str) -> None:
    """Make an empty PgSTAC database, where both roles can work, by copying the template.

    Raises:
        ServiceError: PostgreSQL refuses; for one, there is a database of this name.
    """
    with _administering(lake) as connection:
        _copy_template(connection, name)
        _run(connection, "comment on database {} is {version}", name, version=version("pypgstac"))


def drop_database(lake: SandboxState, name: str) -> None:
    """Remove a database, whoever is connected to it; one that isn't there is fine."""
    with _administering(lake) as connection:
        _run(connection, "drop database if exists {} with (force)", name)


def connections(lake: SandboxState) -> dict[str, str]:
    """Return what the workbook needs to load the catalogue."""
    prefix = "DEDL_SANDBOX__CATALOG__"
    return {
        f"{prefix}HOST": processes.LOOPBACK,
        f"{prefix}PORT": str(lake.ports["postgres"]),
        f"{prefix}DATABASE": DATABASE,
        f"{prefix}USER": INGEST,
        f"{prefix}PASSWORD": lake.secrets["ingest_password"],
    }
