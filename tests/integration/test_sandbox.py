"""The embedded data lake, on its real servers."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import dedl_sandbox as sandbox
import psycopg
import pytest
from botocore.config import Config
from botocore.exceptions import SSLError
from dedl_sandbox import environments, postgres, processes, services, state
from dedl_sandbox.client import Sandbox
from dedl_workbook.base.errors import ServiceError
from dotenv import dotenv_values

SERVERS = {"postgres", "s3", "stac_api", "iam", "hda", "guard", "helpdesk"}
POOL = "fresh-data-pool"
COLLECTION = {
    "type": "Collection",
    "stac_version": "1.0.0",
    "id": "EO.XXX.DAT.ONE",
    "description": "one",
    "license": "CC-BY-4.0",
    "links": [],
    "extent": {
        "spatial": {"bbox": [[-180, -90, 180, 90]]},
        "temporal": {"interval": [["2024-01-01T00:00:00Z", None]]},
    },
}
ITEM = {
    "type": "Feature",
    "stac_version": "1.0.0",
    "id": "one",
    "collection": "EO.XXX.DAT.ONE",
    "geometry": {"type": "Point", "coordinates": [2.0, 49.0]},
    "bbox": [2.0, 49.0, 2.0, 49.0],
    "properties": {"datetime": "2024-11-16T00:00:00Z"},
    "links": [],
    "assets": {},
}


def _wait_for(condition: Callable[[], object], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.05)


def _belonging_to(folder: Path) -> dict[int, str]:
    """Return every process that works in the sandbox's folders or was told of them."""
    homes = (str(folder), str(postgres.cluster_home(folder)))
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if processes.identify(int(entry.name)) is None:
                continue
            told = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            place = str((entry / "cwd").readlink())
        except OSError:
            continue
        if any(home in told or place.startswith(home) for home in homes):
            found[int(entry.name)] = told
    return found


def _listening(ports: dict[str, int]) -> list[int]:
    return [port for port in ports.values() if not processes.is_free(port)]


def _s3(connections: dict[str, str], endpoint: str | None = None, verify: Any = None) -> Any:
    prefix = "DEDL_SANDBOX__S3__"
    return boto3.client(
        "s3",
        endpoint_url=endpoint or connections[f"{prefix}ENDPOINT"],
        aws_access_key_id=connections[f"{prefix}ACCESS_KEY"],
        aws_secret_access_key=connections[f"{prefix}SECRET_KEY"],
        region_name=connections[f"{prefix}REGION"],
        verify=verify,
        config=Config(
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
        ),
    )


def _catalog(connections: dict[str, str], database: str | None = None) -> Any:
    prefix = "DEDL_SANDBOX__CATALOG__"
    return psycopg.connect(
        host=connections[f"{prefix}HOST"],
        port=connections[f"{prefix}PORT"],
        dbname=database or connections[f"{prefix}DATABASE"],
        user=connections[f"{prefix}USER"],
        password=connections[f"{prefix}PASSWORD"],
        autocommit=True,
    )


def _reader(lake: Sandbox) -> Any:
    known = state.read_lake(lake.folder)
    return psycopg.connect(
        host="127.0.0.1",
        port=known.ports["postgres"],
        dbname="dedl",
        user="dedl_reader",
        password=known.secrets["reader_password"],
        autocommit=True,
    )


def _load(connections: dict[str, str], database: str | None = None) -> None:
    with _catalog(connections, database) as connection:
        connection.execute("select upsert_collection(%s)", [json.dumps(COLLECTION)])
        connection.execute("select upsert_item(%s)", [json.dumps(ITEM)])


def _get_json(url: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return json.load(answer)


def _python(code: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True
    )


def _wiped(folder: Path) -> None:
    sandbox.down(folder, wipe=True)
    assert not folder.exists()
    assert not postgres.cluster_home(folder).is_relative_to("/var") or not (
        postgres.cluster_home(folder).exists()
    )


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "work" / ".sandbox"
    yield folder
    _wiped(folder)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("used") / ".sandbox"
    sandbox.up(folder, attached=True).stop()
    yield folder
    _wiped(folder)


@pytest.fixture
def folder(used: Path) -> Iterator[Path]:
    """A sandbox folder that has its cluster already, which saves seconds; it is down."""
    yield used
    sandbox.down(used)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("shared") / ".sandbox"
    with sandbox.up(folder, attached=True) as lake:
        yield lake
    sandbox.down(folder, wipe=True)


def test_all_servers_are_healthy_and_no_process_or_port_is_left_after_down(folder: Path) -> None:
    said: list[str] = []
    lake = sandbox.up(folder, progress=said.append)
    found = sandbox.status(folder)
    ports = state.read_lake(folder).ports
    pids = {service.pid for service in found.services}

    assert found.healthy
    assert {service.name for service in found.services} == SERVERS
    assert all(service.log.stat().st_size for service in found.services)
    assert said
    assert sorted(_listening(ports)) == sorted(ports.values())
    assert pids < set(_belonging_to(lake.folder))

    sandbox.down(folder)

    assert sandbox.status(folder) == sandbox.Status("down")
    assert _belonging_to(lake.folder) == {}
    assert _listening(ports) == []
    assert not [*Path("/tmp").glob(f"seaweedfs-*-{ports['s3_grpc_s3']}.sock")]


def test_servers_listen_on_the_loopback_address_only(lake: Sandbox) -> None:
    ours = [address for pid in _belonging_to(lake.folder) for address in _listening_addresses(pid)]
    assert len(ours) >= 12
    assert [address for address in ours if address != "127.0.0.1"] == []


def _listening_addresses(pid: int) -> list[str]:
    """Return the addresses on which a process listens for TCP, as the kernel tells."""
    sockets = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            sockets.add(str(handle.readlink()))
    found = []
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[3] == "0A" and f"socket:[{cells[9]}]" in sockets:
                words = bytes.fromhex(cells[1].partition(":")[0])
                turned = b"".join(words[k : k + 4][::-1] for k in range(0, len(words), 4))
                found.append(socket.inet_ntop(family, turned))
    return found


@pytest.mark.slow
def test_up_twice_keeps_the_servers_and_their_urls(folder: Path) -> None:
    first = sandbox.up(folder)
    before = sandbox.status(folder)

    second = sandbox.up(folder)

    assert sandbox.status(folder) == before
    assert second.connections == first.connections
    sandbox.down(folder)
    assert sandbox.up(folder).connections == first.connections


@pytest.mark.slow
def test_two_ups_at_the_same_time_make_one_sandbox(fresh: Path) -> None:
    code = (
        "import sys, pathlib; import dedl_sandbox as sandbox\n"
        "print(sandbox.up(pathlib.Path(sys.argv[1])).connections)"
    )
    both = [_python(code, fresh) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in both]

    assert [process.returncode for process in both] == [0, 0]
    assert outputs[0] == outputs[1]
    assert len([told for told in _belonging_to(fresh).values() if "supervisor" in told]) == 1


def test_two_sandboxes_run_side_by_side(lake: Sandbox, folder: Path) -> None:
    with sandbox.up(folder, attached=True) as other:
        _s3(other.connections).put_object(Bucket=POOL, Key="only/there", Body=b"x")

        assert sandbox.status(lake.folder).healthy
        assert sandbox.status(folder).healthy
        assert _s3(lake.connections).list_objects_v2(Bucket=POOL, Prefix="only")["KeyCount"] == 0
    assert sandbox.status(lake.folder).healthy


def test_leaves_no_process_behind_when_the_parent_is_killed(folder: Path) -> None:
    code = (
        "import sys, pathlib, time; import dedl_sandbox as sandbox\n"
        "lake = sandbox.up(pathlib.Path(sys.argv[1]), attached=True)\n"
        "print('up', flush=True); time.sleep(600)"
    )
    parent = _python(code, folder)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "up\n"
    ports = state.read_lake(folder).ports
    assert len(_belonging_to(folder)) > len(SERVERS)

    parent.kill()
    parent.communicate()

    _wait_for(lambda: not _belonging_to(folder), "the servers are gone")
    assert _listening(ports) == []
    assert not (folder / "connection.env").exists()


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["making a new PostgreSQL", "making the PgSTAC"])
def test_leaves_no_process_behind_when_up_is_interrupted(fresh: Path, moment: str) -> None:
    code = (
        "import sys, pathlib; import dedl_sandbox as sandbox\n"
        "sandbox.up(pathlib.Path(sys.argv[1]), progress=lambda it: print(it, flush=True))"
    )
    process = _python(code, fresh)
    assert process.stdout is not None
    for line in process.stdout:
        if moment in line:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    assert process.returncode == -signal.SIGINT
    assert _belonging_to(fresh) == {}
    assert sandbox.up(fresh).connections
    assert sandbox.status(fresh).healthy


def test_takes_over_with_the_data_when_the_supervisor_was_killed(folder: Path) -> None:
    lake = sandbox.up(folder)
    _load(lake.connections)
    _s3(lake.connections).put_object(Bucket=POOL, Key="kept", Body=b"bytes")
    connections = lake.connections
    current = state.read_state(folder)
    assert current is not None

    processes.end(current.supervisor, signal.SIGKILL, patience=10)

    _wait_for(lambda: not _belonging_to(folder), "the servers are gone")
    assert sandbox.status(folder).phase == "down"
    again = sandbox.up(folder)
    assert again.connections == connections
    assert _s3(connections).get_object(Bucket=POOL, Key="kept")["Body"].read() == b"bytes"
    found = _get_json(f"{again.endpoints['stac_api']}/collections/EO.XXX.DAT.ONE/items")
    assert [item["id"] for item in found["features"]] == ["one"]


@pytest.mark.slow
def test_ends_what_is_left_of_a_killed_sandbox_and_nobody_else(fresh: Path) -> None:
    """A number in old notes may belong to a stranger by now."""
    fresh = state.make_folder(fresh)
    left = subprocess.Popen(["sleep", "600"])
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        gone = processes.Identity(2**22, "boot:1")
        identity = processes.identify(left.pid)
        assert identity is not None
        notes = {"s3": identity, "postgres": processes.Identity(stranger.pid, "boot:1")}
        state.write_state(fresh, state.State(gone, "ready", {}, notes, {}))

        sandbox.up(fresh)

        assert left.wait(5) == -signal.SIGTERM
        assert stranger.poll() is None
    finally:
        left.kill()
        stranger.kill()
        left.wait()
        stranger.wait()


@pytest.mark.slow
def test_stops_when_its_folder_is_deleted_and_starts_afresh(fresh: Path) -> None:
    connections = sandbox.up(fresh).connections
    shutil.rmtree(fresh)

    _wait_for(lambda: not _belonging_to(fresh), "the servers are gone")
    password = "DEDL_SANDBOX__CATALOG__PASSWORD"
    assert sandbox.up(fresh).connections[password] != connections[password]
    assert sandbox.status(fresh).healthy


def test_chooses_another_port_when_the_preferred_one_is_busy(folder: Path) -> None:
    sandbox.up(folder)
    sandbox.down(folder)
    before = state.read_lake(folder).ports
    busy = ("postgres", "s3", "s3_grpc_filer", "stac_api")
    sockets = [socket.create_server(("127.0.0.1", before[name])) for name in busy]
    try:
        sandbox.up(folder)
        after = state.read_lake(folder).ports
        assert sandbox.status(folder).healthy
    finally:
        for one in sockets:
            one.close()
    assert {name for name in before if after[name] != before[name]} == set(busy)


@pytest.mark.slow
def test_does_not_take_a_stranger_on_its_port_for_its_own_server(lake: Sandbox) -> None:
    class Stranger(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"message": "PONG"}')

        def log_message(self, *_: object) -> None:
            pass

    service = services.stac_api("dedl", "beside")
    with http.server.HTTPServer(("127.0.0.1", 0), Stranger) as stranger:
        thread = threading.Thread(target=stranger.serve_forever)
        thread.start()
        try:
            known = state.read_lake(lake.folder)
            known.ports["beside"] = stranger.server_port
            assert service.probe(known) == ""
            with pytest.raises(services.ExitedError, match="address already in use"):
                services.await_health(service, known, services.start(service, known))
            assert services.lost_a_port(service, known)
        finally:
            stranger.shutdown()
            thread.join()


def test_a_server_that_dies_is_seen_and_started_again_by_up(folder: Path) -> None:
    lake = sandbox.up(folder)
    _load(lake.connections)
    for name in ("postgres", "s3"):
        lake.kill(name)
        down = {one.name for one in sandbox.status(folder).services if not one.healthy}
        assert down == {name}

        sandbox.up(folder)

        assert sandbox.status(folder).healthy
    with _catalog(lake.connections) as connection:
        assert connection.execute("select count(*) from items").fetchone() == (1,)


@pytest.mark.slow
def test_says_why_a_server_did_not_come_up_and_leaves_nothing_behind(folder: Path) -> None:
    sandbox.up(folder)
    sandbox.down(folder)
    control = (folder / "postgres").resolve() / "global" / "pg_control"
    control.rename(control.with_name("hidden"))

    try:
        with pytest.raises(ServiceError) as caught:
            sandbox.up(folder)
    finally:
        control.with_name("hidden").rename(control)

    assert "PostgreSQL did not come up (exit code" in caught.value.what
    assert "pg_control" in caught.value.what
    assert caught.value.where == str(folder / "logs" / "postgres.log")
    assert _belonging_to(folder) == {}


def test_https_works_with_the_authority_and_not_without(lake: Sandbox) -> None:
    endpoints = lake.endpoints
    trusting = _s3(lake.connections, endpoints["s3_https"], endpoints["ca"])
    trusting.put_object(Bucket=POOL, Key="over/https", Body=b"x" * 100_000)

    body = _s3(lake.connections).get_object(Bucket=POOL, Key="over/https")["Body"].read()
    assert body == b"x" * 100_000
    with pytest.raises(SSLError):
        _s3(lake.connections, endpoints["s3_https"], True).list_buckets()


def test_s3_refuses_a_wrong_secret(lake: Sandbox) -> None:
    wrong = lake.connections | {"DEDL_SANDBOX__S3__SECRET_KEY": "wrong"}
    with pytest.raises(Exception, match="SignatureDoesNotMatch"):
        _s3(wrong).list_buckets()


def test_the_database_user_of_the_api_can_not_write(lake: Sandbox) -> None:
    attempts = (
        "delete from pgstac.items",
        "update pgstac.collections set content = '{}'",
        f"select pgstac.create_item('{json.dumps(ITEM | {'id': 'two'})}')",
        "select pgstac.delete_item('one')",
        "create table pgstac.mine (x int)",
        "create table public.mine (x int)",
    )
    allowed = []
    with _reader(lake) as connection:
        assert connection.execute("show default_transaction_read_only").fetchone() == ("on",)
        connection.execute("set default_transaction_read_only = off")
        for attempt in attempts:
            try:
                connection.execute(attempt)
            except psycopg.errors.InsufficientPrivilege:
                continue
            allowed.append(attempt)
    assert allowed == []


def test_passwords_are_asked_for(lake: Sandbox) -> None:
    wrong = lake.connections | {"DEDL_SANDBOX__CATALOG__PASSWORD": "wrong"}
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        _catalog(wrong)


def test_a_database_of_its_own_is_served_by_an_api_of_its_own(lake: Sandbox) -> None:
    lake.create_database("own_one")
    _load(lake.connections, "own_one")

    with lake.stac_api("own_one") as url:
        found = _get_json(f"{url}/search?collections=EO.XXX.DAT.ONE")
        assert [item["id"] for item in found["features"]] == ["one"]
        assert found["numberMatched"] == 1
        with pytest.raises(urllib.error.HTTPError) as caught:
            _get_json(f"{lake.endpoints['stac_api']}/collections/EO.XXX.DAT.ONE")
        assert caught.value.code == 404
    with pytest.raises(urllib.error.URLError):
        _get_json(url)
    lake.drop_database("own_one")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        _catalog(lake.connections, "own_one")


def test_connection_file_is_private_readable_by_dotenv_and_gone_after_down(folder: Path) -> None:
    lake = sandbox.up(folder)
    file = folder / "connection.env"

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert dotenv_values(file) == lake.connections
    assert set(lake.connections) > {
        *(
            f"DEDL_SANDBOX__S3__{it}"
            for it in ["ENDPOINT", "ACCESS_KEY", "SECRET_KEY", "BUCKET", "REGION"]
        ),
        *(
            f"DEDL_SANDBOX__CATALOG__{it}"
            for it in ("HOST", "PORT", "DATABASE", "USER", "PASSWORD")
        ),
        "DEDL_SANDBOX__STAC_API__URL",
        *(f"DEDL_SANDBOX__HELPDESK__{it}" for it in ("URL", "USER", "PASSWORD")),
    }
    services_told = {name.split("__")[1] for name in lake.connections}
    assert services_told == {"S3", "CATALOG", "STAC_API", "IAM", "HDA", "HELPDESK"}
    for name in (state.STATE, state.SECRETS):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    sandbox.down(folder)
    assert not file.exists()


def test_quotes_survive_in_the_connection_file(tmp_path: Path) -> None:
    nasty = {"KEY": 'it\'s \\ "quoted" $HOME #x'}
    state.write_connections(tmp_path, nasty)
    assert dotenv_values(tmp_path / "connection.env", interpolate=False) == nasty


def test_no_password_is_in_a_command_line_or_a_log(lake: Sandbox) -> None:
    known = state.read_lake(lake.folder).secrets
    secrets = {value for name, value in known.items() if name != "s3_access_key"}
    texts = [*_belonging_to(lake.folder).values()]
    texts += [log.read_text(errors="replace") for log in (lake.folder / "logs").iterdir()]
    assert [text for text in texts if any(secret in text for secret in secrets)] == []


def _fake_postgres(folder: Path, *, postgis: bool) -> Path:
    programs = folder / "bin"
    extension = folder / "share" / "extension"
    programs.mkdir(parents=True)
    extension.mkdir(parents=True)
    (programs / "postgres").write_text("#!/bin/sh\necho postgres 15.1\n")
    (programs / "postgres").chmod(0o755)
    if postgis:
        (extension / "postgis.control").touch()
    return programs


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the user of PostgreSQL can enter, too."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_missing_postgresql_and_missing_postgis_say_what_to_type(tmp_path: Path) -> None:
    bare = {"PATH": str(tmp_path)}
    with pytest.raises(ServiceError, match="isn't installed") as caught:
        postgres.find(bare, tmp_path / "none")
    assert caught.value.remedy == "Type: sudo apt-get install postgresql-15-postgis-3"

    programs = _fake_postgres(tmp_path / "system" / "15", postgis=False)
    with pytest.raises(ServiceError, match=f"{programs} has no PostGIS") as caught:
        postgres.find(bare, tmp_path / "system")
    assert caught.value.remedy == "Type: sudo apt-get install postgresql-15-postgis-3"

    with pytest.raises(ServiceError) as caught:
        postgres.find(bare | {"CONDA_PREFIX": str(tmp_path / "conda")}, tmp_path / "system")
    assert caught.value.remedy == "Type: conda install -c conda-forge postgresql postgis"


def test_prefers_the_conda_environment_and_else_the_newest_with_postgis(
    open_folder: Path,
) -> None:
    tmp_path = open_folder
    bare = {"PATH": str(tmp_path)}
    _fake_postgres(tmp_path / "system" / "9.6", postgis=True)
    newest = _fake_postgres(tmp_path / "system" / "15", postgis=True)
    _fake_postgres(tmp_path / "system" / "17", postgis=False)
    assert postgres.find(bare, tmp_path / "system").programs == newest

    conda = _fake_postgres(tmp_path / "envs" / "conda", postgis=True)
    environment = bare | {"CONDA_PREFIX": str(conda.parent)}
    assert postgres.find(environment, tmp_path / "system").programs == conda


def test_runs_the_servers_of_an_active_conda_environment(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prefix of links to the real programs stands for one that conda made."""
    real, prefix = postgres.find().programs, open_folder / "envs" / "dedl"
    (prefix / "bin").mkdir(parents=True)
    for program in real.iterdir():
        (prefix / "bin" / program.name).symlink_to(program)
    weed = environments.executable("weed")
    assert weed is not None
    (prefix / "bin" / "weed").symlink_to(weed)
    share = Path(
        postgres._ask(real / "pg_config", "--sharedir")
        if (real / "pg_config").exists()
        else f"/usr/share/postgresql/{real.parent.name}"
    )
    (prefix / "share").symlink_to(share)
    monkeypatch.setenv("CONDA_PREFIX", str(prefix))

    with sandbox.up(open_folder / "sandbox", attached=True) as running:
        found = {one.name: one.pid for one in sandbox.status(running.folder).services}
        started = {
            name: Path(f"/proc/{found[name]}/cmdline").read_bytes().split(b"\0")[0].decode()
            for name in ("postgres", "s3")
        }
    sandbox.down(open_folder / "sandbox", wipe=True)

    assert started == {
        "postgres": str(prefix / "bin" / "postgres"),
        "s3": str(prefix / "bin" / "weed"),
    }


@pytest.mark.slow
def test_an_environment_that_was_cut_off_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = environments.home("api", prefix=tmp_path) / "bin" / "python"
    half.parent.mkdir(parents=True)
    half.write_text("half of it")

    environments.ensure_environments(prefix=tmp_path)

    done = subprocess.run([half, "-c", "import stac_fastapi.pgstac.app"], check=False)
    assert done.returncode == 0
    monkeypatch.setattr(environments, "_uv", lambda *_: pytest.fail("made it once more"))
    environments.ensure_environments(prefix=tmp_path)


def test_down_without_a_sandbox_does_nothing(tmp_path: Path) -> None:
    sandbox.down(tmp_path / "none", wipe=True)
    assert sandbox.status(tmp_path / "none") == sandbox.Status("down")
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_wipe_keeps_what_the_sandbox_did_not_make(fresh: Path) -> None:
    sandbox.up(fresh)
    mine = fresh / "mine.txt"
    mine.write_text("mine")
    sandbox.down(fresh, wipe=True)
    assert [entry.name for entry in fresh.iterdir()] == ["mine.txt"]
    mine.unlink()


def test_a_cluster_whose_sandbox_was_deleted_goes_and_no_other(tmp_path: Path) -> None:
    """Root's clusters lie outside of their sandboxes' folders, so they can be left behind."""
    homes = {}
    for name in ("deleted", "there", "unknown"):
        (tmp_path / "homes" / name / "postgres").mkdir(parents=True)
        homes[name] = tmp_path / "homes" / name
    (tmp_path / "sandbox").mkdir()
    (homes["there"] / "sandbox-folder").write_text(str(tmp_path / "sandbox"))
    (homes["deleted"] / "sandbox-folder").write_text(str(tmp_path / "gone"))

    postgres._drop_abandoned(tmp_path / "homes")

    assert sorted(path.name for path in (tmp_path / "homes").iterdir()) == ["there", "unknown"]
