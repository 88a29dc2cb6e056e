"""A STAC API that reads a replica, which lags behind: waited for, said so, and told from a loss."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dedl_sandbox import postgres, processes, services
from dedl_workbook.parameters.target import StacApi
from dedl_workbook.publication.job import Job, Verdict
from dedl_workbook.services.catalog import pgstac
from dedl_workbook.steps import catalog, withdraw
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.integration.lake import COLLECTION, Lake, an_item, own_lake, write_dataset

LAG = 3600
"""Seconds by which the replica follows, unless a test lets it catch up."""


@dataclass
class Replica:
    """A streaming replica of the sandbox's PostgreSQL, and a STAC API that reads it."""

    port: int
    api: str

    def lag(self, seconds: int) -> None:
        with self.connected() as connection:
            connection.execute(f"alter system set recovery_min_apply_delay = '{seconds}s'")
            connection.execute("select pg_reload_conf()")

    def connected(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.dsn, autocommit=True)

    dsn: str = ""


@pytest.fixture(scope="module")
def base(data_lake: Any) -> Iterator[Callable[[str], Replica]]:
    """Starts a replica of the whole cluster as it is now; one for all tests of this file."""
    folder = Path("/tmp") / f"replica-{uuid.uuid4().hex[:8]}"
    owner, programs = postgres.user(), postgres.find().programs
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        if owner is not None:
            shutil.chown(folder, owner)
        primary = conninfo_to_dict(data_lake.admin_dsn)
        source = make_conninfo("", **{k: v for k, v in primary.items() if k != "dbname"})
        copy = [str(programs / "pg_basebackup"), "-d", source, "-D", str(folder / "data")]
        copy += ["-R", "--wal-method=stream", "--checkpoint=fast", "--no-sync"]
        subprocess.run(
            processes.step_down(copy, owner, "KILL"), cwd=folder, check=True, capture_output=True
        )
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [str(programs / "postgres"), "-D", str(folder / "data"), "-p", str(port)]
        for setting in (
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
            "hot_standby=on",
            "fsync=off",
        ):
            command += ["-c", setting]
        server = processes.spawn(
            processes.step_down(command, owner, "KILL"),
            environment=processes.lean_environment(HOME=str(folder)),
            folder=folder,
            log=data_lake.folder / "replica.log",
        )
        stack.callback(server.wait)
        stack.callback(server.terminate)

        def of(database: str) -> Replica:
            dsn = make_conninfo(data_lake.admin_dsn, port=port, dbname=database)
            until = time.monotonic() + 60
            while True:
                try:
                    psycopg.connect(dsn).close()
                    break
                except psycopg.OperationalError:
                    assert time.monotonic() < until
                    time.sleep(0.1)
            name = f"stac_api_replica_{database}"
            plain = services.stac_api(database, name)
            beside = replace(
                plain, environment=lambda lake: {**plain.environment(lake), "PGPORT": str(port)}
            )
            return Replica(
                port, stack.enter_context(data_lake.beside(beside, data_lake._lake)), dsn
            )

        yield of


@pytest.fixture
def lake(data_lake: Any, tmp_path: Path) -> Iterator[Lake]:
    with own_lake(data_lake, tmp_path) as own:
        yield own


@pytest.fixture
def replica(base: Callable[[str], Replica], lake: Lake) -> Iterator[Replica]:
    found = base(lake.database)
    found.lag(LAG)
    yield found
    found.lag(0)


def job_of(lake: Lake, replica: Replica, patience: float, reports: list[str]) -> Job:
    dataset = write_dataset(lake.folder, [an_item(number) for number in range(3)])
    job = lake.job(dataset, api=True)
    stac_api = StacApi(url=replica.api, patience=patience)
    target = job.target.model_copy(update={"stac_api": stac_api})
    return replace(job, target=target, tell=lambda what, *_: reports.append(what))


def test_a_tickets_catalogue_step_waits_for_a_replica_and_says_so(
    lake: Lake, replica: Replica
) -> None:
    reports: list[str] = []
    job = job_of(lake, replica, 120, reports)

    def catch_up(what: str, *_: Any) -> None:
        if "waiting for the STAC API" in what:
            reports.append(what)
            replica.lag(0)

    job = replace(job, tell=catch_up)
    plan = catalog.plan(job)
    catalog.apply(plan)
    outcome = catalog.check(plan)
    assert outcome.verdict is Verdict.PASSED, outcome.summary
    [lag] = [check.found for check in outcome.checks if "up to date" in check.name]
    assert "lagged behind" in lag
    assert reports
    taken = withdraw.plan(job)
    withdraw.apply(taken)
    assert withdraw.check(taken).verdict is Verdict.PASSED


def test_a_replica_that_lags_for_longer_is_told_from_a_loss(lake: Lake, replica: Replica) -> None:
    job = job_of(lake, replica, 0, [])
    plan = catalog.plan(job)
    catalog.apply(plan)
    outcome = catalog.check(plan)
    assert outcome.verdict is Verdict.FAILED
    assert "nothing is lost" in outcome.summary
    with pgstac.connected(job) as connection:
        connection.execute("delete from items where collection = %s", [COLLECTION])
    lost = catalog.check(plan)
    assert (
        "the database itself does not hold it"
        in {c.name: c.found for c in lost.checks}["STAC API: up to date with the database"]
    )


def test_once_the_replica_has_followed_a_second_run_finishes(lake: Lake, replica: Replica) -> None:
    plan = catalog.plan(job_of(lake, replica, 0, []))
    catalog.apply(plan)
    replica.lag(0)
    again = catalog.plan(job_of(lake, replica, 60, []))
    assert again.actions == ()
    assert catalog.check(again).verdict is Verdict.PASSED
