"""The user that the database's operators are asked for can do all of it, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from dedl_sandbox import Sandbox
from dedl_workbook.publication.job import Verdict
from dedl_workbook.services.catalog import pgstac
from dedl_workbook.steps import catalog
from dedl_workbook.steps.withdraw import catalog as withdraw_catalog
from psycopg.conninfo import make_conninfo

from tests.integration.lake import Lake, a_collection, an_item, own_lake, write_dataset

ROLE = Path(pgstac.__file__).with_name("database-role.sql")
REFUSED = {
    "other schemas": "select * from secret.papers",
    "tables in public": "create table public.mine (id int)",
    "schemas": "create schema mine",
    "dropping what others load": "drop table pgstac.items",
    "altering it": "alter table pgstac.items add column more int",
    "indexes": "create index on pgstac.items (id)",
    "PgSTAC's functions": "drop function pgstac.check_partition",
    "roles": "create role another",
    "databases": "create database another",
    "becoming PgSTAC's owner": "set role pgstac_admin",
    "rights of others": "grant pgstac_ingest to pg_monitor",
    "settings of the server": "alter system set work_mem = '1GB'",
    "programs": "copy (select 1) to program 'true'",
    "files": "copy (select 1) to '/tmp/a-file'",
    "reading files": "select pg_read_file('/etc/passwd')",
    "locking triggers out": "set session_replication_role = replica",
    "the function for ANALYZE": "drop function dedl.analyze_collection",
}


@pytest.fixture
def lake(data_lake: Sandbox, tmp_path: Path) -> Iterator[Lake]:
    with own_lake(data_lake, tmp_path) as made:
        made.execute("create schema secret; create table secret.papers (id int)")
        yield made


@pytest.fixture
def user(lake: Lake) -> Iterator[str]:
    """A user as the file tells to make it."""
    name = f"operator_{lake.database}"
    lake.execute(ROLE.read_text())
    lake.execute(f"create role {name} login connection limit 10 password 'secret'")
    lake.execute(f"grant dedl_catalog to {name}")
    yield name
    lake.execute(f"drop role {name}")


def test_the_documented_user_can_publish_replace_and_withdraw(lake: Lake, user: str) -> None:
    first = write_dataset(lake.folder / "1", [an_item(number) for number in range(6)])
    second = write_dataset(
        lake.folder / "2",
        [an_item(number) for number in range(3, 400, 40)],
        a_collection(title="B"),
    )
    who = {"user": user, "password": "secret", "api": True}
    jobs = [
        lake.job(first, ticket="A-1", **who, partition_items=2),
        lake.job(second, ticket="B-2", mode="replace", **who),
    ]

    for job in jobs:
        plan = catalog.plan(job)
        receipt = catalog.apply(plan)
        outcome = catalog.check(plan)
        assert outcome.verdict is Verdict.PASSED, outcome.summary
        assert "left" not in receipt.done
        analyzed = lake.execute(
            "select bool_and(reltuples > 0) from pg_class where relname = any(%s)", lake.tables()
        )
        assert analyzed == [(True,)]
    for job in reversed(jobs):
        withdraw_catalog.undo(job, withdraw_catalog.look(job))
        kept = withdraw_catalog.before(job)
        assert kept is not None
        assert [c for c in withdraw_catalog.checks(job, kept.state) if not c.passed] == []

    assert lake.tables() == []


def test_the_documented_user_is_refused_what_is_not_its_business(lake: Lake, user: str) -> None:
    allowed = []
    dsn = make_conninfo(lake.admin_dsn, user=user, password="secret")
    with psycopg.connect(dsn, autocommit=True) as connection:
        for what, statement in REFUSED.items():
            try:
                connection.execute(statement)
            except psycopg.errors.InsufficientPrivilege:
                continue
            allowed.append(what)

    assert allowed == []


def test_without_the_function_for_analyze_the_receipt_says_what_was_left(lake: Lake) -> None:
    lake.execute("drop schema dedl cascade")
    job = lake.job(write_dataset(lake.folder, [an_item(1)]))

    receipt = catalog.apply(catalog.plan(job))

    [left] = receipt.done["left"]
    assert "analyze" in left
    assert "autovacuum will" in left
