"""The ways to production's database: poolers, tokens, private authorities, no password at all."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dedl_workbook.base.errors import ServiceError
from dedl_workbook.parameters.target import Catalog
from dedl_workbook.services import health
from dedl_workbook.services.catalog import pgstac

from tests.conftest import Workbook

POOLER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
needs_pooler = pytest.mark.skipif(POOLER is None, reason="PgBouncer isn't installed")
Pooler = Callable[[str], int]


@pytest.fixture
def pooler(lake: Workbook, tmp_path: Path) -> Iterator[Pooler]:
    """Starts PgBouncer before the lake's database, in a mode; returns its port."""
    catalog, running = lake.target.catalog, []

    def start(mode: str) -> int:
        folder = Path("/tmp") / f"pgbouncer-{lake.bucket}"
        folder.mkdir(mode=0o755)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        (folder / "users.txt").write_text(f'"{catalog.user}" "{pgstac.password(catalog)}"\n')
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={catalog.port}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = scram-sha-256\nauth_file = {folder}/users.txt\npool_mode = {mode}\n"
        )
        command = [str(POOLER), "-u", "nobody", str(folder / "pgbouncer.ini")]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        running.append((process, folder))
        assert process.stderr is not None
        assert any("process up" in line for line in process.stderr)
        return port

    yield start
    for process, folder in running:
        process.terminate()
        process.communicate()
        shutil.rmtree(folder)


def through(lake: Workbook, port: int) -> None:
    """Lead the lake's catalogue through another port."""
    with (lake.root / ".env").open("a") as file:
        file.write(f"DEDL_LAKE__CATALOG__PORT='{port}'\n")


@needs_pooler
def test_a_whole_ticket_goes_through_a_pooler_in_session_mode(
    lake: Workbook, pooler: Pooler
) -> None:
    through(lake, pooler("session"))

    lake.publish("catalog")

    assert lake.collections() == [lake.ticket().collection]


@needs_pooler
def test_a_pooler_in_transaction_mode_is_refused_before_anything_is_changed(
    lake: Workbook, pooler: Pooler
) -> None:
    lake.publish("upload")
    through(lake, pooler("transaction"))

    with pytest.raises(ServiceError, match="pooler in transaction mode") as refusal:
        lake.publish("catalog")

    assert "database's own port" in str(refusal.value)
    assert lake.collections() == []


@needs_pooler
def test_a_lock_behind_a_pooler_in_transaction_mode_is_refused(
    lake: Workbook, pooler: Pooler
) -> None:
    catalog = lake.target.catalog.model_copy(update={"port": pooler("transaction")})

    with (
        pgstac.reached(catalog, "test") as connection,
        pytest.raises(ServiceError, match="transaction mode"),
    ):
        pgstac.lock(connection, "EO.X")


@needs_pooler
def test_reading_goes_through_a_pooler_in_transaction_mode_and_can_change_nothing(
    lake: Workbook, pooler: Pooler
) -> None:
    lake.publish("catalog")
    catalog = lake.target.catalog.model_copy(update={"port": pooler("transaction")})

    with pgstac.reached(catalog, "test") as connection:
        count = pgstac.count_items(connection, lake.ticket().collection)

    assert count == 3
    with pgstac.reached(catalog, "test") as connection, connection.transaction(force_rollback=True):
        later = connection.execute("show transaction_read_only").fetchone()
    assert later == ("on",)


@needs_pooler
def test_target_check_names_the_pooler(lake: Workbook, pooler: Pooler) -> None:
    through(lake, pooler("transaction"))

    assert "transaction mode" in str(health.check("lake", lake.root))


@pytest.fixture
def authority(lake: Workbook, tmp_path: Path) -> Iterator[Path]:
    """The sandbox's database asks for TLS, with a certificate of an authority of its own."""
    import psycopg
    import trustme

    made = trustme.CA()
    certificate = made.issue_cert("127.0.0.1")
    with psycopg.connect(lake.sandbox.admin_dsn, autocommit=True) as admin:
        row = admin.execute("show data_directory").fetchone()
        assert row is not None
        folder = Path(row[0])
        owner = folder.stat()
        names = {
            "server.crt": certificate.cert_chain_pems[0],
            "server.key": certificate.private_key_pem,
        }
        for name, pem in names.items():
            file = folder / name
            pem.write_to_path(file)
            file.chmod(0o600)
            os.chown(file, owner.st_uid, owner.st_gid)
        admin.execute("alter system set ssl = on")
        admin.execute("select pg_reload_conf()")
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    yield tmp_path / "ca.pem"
    with psycopg.connect(lake.sandbox.admin_dsn, autocommit=True) as admin:
        admin.execute("alter system reset ssl")
        admin.execute("select pg_reload_conf()")


def encrypted(lake: Workbook, **changes: Any) -> Catalog:
    return lake.target.catalog.model_copy(update={"sslmode": "verify-full", **changes})


def test_the_certificate_of_a_private_authority_is_verified(
    lake: Workbook, authority: Path
) -> None:
    with pgstac.reached(encrypted(lake, ca_bundle=authority), "test") as connection:
        row = connection.execute(
            "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
        ).fetchone()

    assert row == (True,)


def test_an_unknown_authority_is_refused_with_the_key_that_helps(
    lake: Workbook, authority: Path
) -> None:
    with pytest.raises(ServiceError, match="ca_bundle"), pgstac.reached(encrypted(lake), "test"):
        pass


def test_a_password_comes_from_the_targets_program(lake: Workbook, tmp_path: Path) -> None:
    catalog = lake.target.catalog
    program = tmp_path / "token"
    program.write_text(f"#!/bin/sh\necho '{pgstac.password(catalog)}'\n")
    program.chmod(0o700)
    own = catalog.model_copy(update={"password": None, "password_command": (str(program),)})

    with pgstac.reached(own, "test") as connection:
        assert pgstac.guard(connection)


@pytest.mark.parametrize(
    ("script", "problem"),
    [("exit 3", "ended with 3"), ("true", "printed nothing"), (None, "No such file")],
)
def test_a_program_that_gives_no_password_is_told(
    lake: Workbook, tmp_path: Path, script: str | None, problem: str
) -> None:
    program = tmp_path / "token"
    if script:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
    own = lake.target.catalog.model_copy(
        update={"password": None, "password_command": (str(program),)}
    )

    with pytest.raises(ServiceError, match=problem), pgstac.reached(own, "test"):
        pass


def test_without_a_password_libpq_takes_that_of_its_own_file(
    lake: Workbook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = lake.target.catalog
    file = tmp_path / "pgpass"
    parts = (catalog.host, str(catalog.port), "*", catalog.user, pgstac.password(catalog))
    file.write_text(":".join(parts) + "\n")
    file.chmod(stat.S_IRUSR | stat.S_IWUSR)
    monkeypatch.setenv("PGPASSFILE", str(file))

    with pgstac.reached(catalog.model_copy(update={"password": None}), "test") as connection:
        assert pgstac.guard(connection)


def test_without_any_password_the_remedy_names_the_places(lake: Workbook, tmp_path: Path) -> None:
    own = lake.target.catalog.model_copy(update={"password": None})

    with pytest.raises(ServiceError, match="pgpass"), pgstac.reached(own, "test"):
        pass


def test_tables_that_are_built_otherwise_are_refused_whatever_their_number(lake: Workbook) -> None:
    import psycopg

    with psycopg.connect(lake.admin_dsn, autocommit=True) as admin:
        admin.execute("alter table pgstac.items rename to item_fragments")

    with (
        pgstac.reached(lake.target.catalog, "test") as connection,
        pytest.raises(ServiceError, match="without the columns items"),
    ):
        pgstac.guard(connection)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"password": "x", "password_command": ["y"]}, "both set"),
        ({"sslmode": "verify-ca"}, "needs ca_bundle"),
        ({"client_certificate": "c.pem"}, "go together"),
        ({"sslmode": "always"}, "Input should be"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    changes: dict[str, Any], problem: str
) -> None:
    values = {"host": "h", "database": "d", "user": "u", **changes}

    with pytest.raises(ValueError, match=problem):
        Catalog(**values)
