"""The sandbox keeps its neighbours out: other accounts of the machine, and pages in a browser."""

from __future__ import annotations

# The other account can't load what it finds missing: names are resolved with this one.
import encodings.idna  # noqa: F401
import http.client
import json
import os
import pwd
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from dedl_sandbox import Sandbox, environments, postgres, processes, state
from dedl_sandbox.client import TIED_TO
from dedl_workbook.base.retry import until

NOBODY = "nobody"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can try it as another account")
# Users find public collections there, a realm's keys, and the login pages: without any account.
FOR_EVERYBODY = {"guard", "iam", "helpdesk"}
# Whether S3 is well.
HARMLESS = {("s3", "/status")}
PATHS = (
    "/",
    "/collections",
    "/search",
    "/dir/status",
    "/dir/assign",
    "/vol/grow?count=1",
    "/cluster/status",
    "/status",
    "/buckets/fresh-data-pool/?pretty=y",
    "/fresh-data-pool?list-type=2",
    "/rest/data/issue",
    "/issue1",
    "/admin/realms/dedl/users",
)


def as_another(work: Callable[[], Any]) -> Any:
    """Return what a piece of work returns when another account does it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        entry = pwd.getpwnam(NOBODY)
        try:
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
            os.write(writer, json.dumps([work(), ""]).encode())
        except Exception as error:  # noqa: BLE001 (the parent raises it)
            os.write(writer, json.dumps([None, repr(error)]).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as output:
        text = output.read()
    os.waitpid(child, 0)
    answer, problem = json.loads(text)
    assert not problem, problem
    return answer


def listening_ports(servers: Sandbox) -> dict[int, str]:
    """Return the ports on which the sandbox's processes really listen, with the server's name."""
    current = state.read_state(servers.folder)
    assert current is not None
    names: dict[int, str] = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        port = int(fields[1].partition(":")[2], 16)
        if fields[3] == "0A":
            for name, process in current.services.items():
                if processes.listens(process.pid, port):
                    names[port] = name
    return names


def status(
    port: int, method: str, path: str, *, tls: bool = False, **headers: str
) -> tuple[int, str]:
    """Ask a port; return the status, 0 where the connection is refused or cut off."""
    trust = ssl._create_unverified_context() if tls else None
    connection: http.client.HTTPConnection = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=3, context=trust)
        if trust
        else http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    )
    try:
        connection.request(method, path, b"x" if method in ("PUT", "POST") else None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(300).decode("latin-1")
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
    finally:
        connection.close()


def is_page(name: str, text: str) -> bool:
    """Return whether an answer is a page of Roundup's: with one, it also answers an empty form."""
    return name == "helpdesk" and text.startswith("<!--")


def open_doors(ports: dict[int, str]) -> list[str]:
    """Return what any port grants to one who has no key."""
    doors = []
    for port, name in ports.items():
        for tls in (False, True):
            for method in ("GET", "PUT", "POST", "DELETE"):
                for path in PATHS:
                    code, text = status(port, method, path, tls=tls)
                    granted = 0 < code < 400 and not (method == "GET" and name in FOR_EVERYBODY)
                    if granted and (name, path) not in HARMLESS and not is_page(name, text):
                        doors.append(f"{name}:{port} {method} {path} {code} {text[:80]}")
                    if (
                        code
                        and code < 400
                        and ("DEMO-1" in text or ('"username"' in text and name == "iam"))
                    ):
                        doors.append(f"{name}:{port} {method} {path} shows {text[:80]}")
                    if not code:
                        # What speaks no HTTP, or not this one, says so each time.
                        break
                else:
                    continue
                break
    return doors


@as_root
def test_no_port_lets_another_account_read_write_or_configure(data_lake: Sandbox) -> None:
    ports = listening_ports(data_lake)
    assert {"postgres", "s3", "iam", "helpdesk", "stac_api", "hda", "guard"} == set(ports.values())
    # S3, its https, four inner ones, five of gRPC.
    assert sum(name == "s3" for name in ports.values()) == 11

    doors = as_another(lambda: open_doors(ports))

    assert doors == [], doors
    assert (
        status(urlsplit(data_lake.endpoints["stac_api"]).port or 0, "GET", "/collections")[0] == 200
    )


@as_root
def test_an_account_that_is_let_in_reads_the_stac_api_and_hda(data_lake: Sandbox) -> None:
    ports = [urlsplit(data_lake.endpoints[name]).port or 0 for name in ("stac_api", "hda")]
    file = data_lake.folder / state.ACCOUNTS

    def codes() -> list[int]:
        return [status(port, "GET", "/collections")[0] for port in ports]

    assert as_another(codes) == [403, 403]
    file.write_text(f"{NOBODY}\n")
    try:
        assert as_another(codes) == [200, 200]
    finally:
        file.unlink()


@as_root
def test_another_account_reads_no_file_and_opens_no_socket_of_the_sandbox(
    data_lake: Sandbox,
) -> None:
    current = state.read_state(data_lake.folder)
    assert current is not None
    grpc = [f"/tmp/seaweedfs-*-grpc-{p}.sock" for n, p in current.ports.items() if "grpc" in n]
    sockets = [str(path) for one in grpc for path in Path("/").glob(one.lstrip("/"))]
    files = [data_lake.folder / name for name in (state.SECRETS, state.CONNECTION, "tls/inner.key")]
    cluster = postgres.cluster_home(data_lake.folder) / "postgres" / "PG_VERSION"

    def opened() -> list[str]:
        places = []
        for path in [*files, cluster]:
            try:
                path.read_bytes()
                places.append(str(path))
            except OSError:
                pass
        for name in sockets:
            try:
                with socket.socket(socket.AF_UNIX) as one:
                    one.connect(name)
                places.append(name)
            except OSError:
                pass
        return places

    assert sockets != []
    assert as_another(opened) == []


@pytest.mark.parametrize("name", ["stac_api", "hda", "guard", "iam", "helpdesk"])
def test_a_page_of_a_foreign_origin_and_a_foreign_host_are_refused(
    data_lake: Sandbox, name: str
) -> None:
    port = urlsplit(data_lake.endpoints[name]).port or 0
    path = "/realms/dedl" if name == "iam" else "/"
    own = f"127.0.0.1:{port}"

    assert status(port, "GET", path)[0] == 200
    assert status(port, "GET", path, Origin=f"http://{own}")[0] == 200
    for headers in (
        {"Host": "evil.example"},
        {"Host": f"evil.example:{port}"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{port + 1}"},
    ):
        assert status(port, "GET", path, **headers)[0] == 403, headers


def test_seaweedfs_answers_its_inner_ports_only_to_its_own_certificate(data_lake: Sandbox) -> None:
    port = state.read_lake(data_lake.folder).ports["s3_master"]

    with pytest.raises(httpx.HTTPError):
        httpx.get(f"https://127.0.0.1:{port}/dir/status", verify=False)

    trust = ssl.create_default_context(cafile=data_lake.folder / "tls" / "inner-ca.pem")
    trust.load_cert_chain(
        data_lake.folder / "tls" / "inner.pem", data_lake.folder / "tls" / "inner.key"
    )
    assert httpx.get(f"https://127.0.0.1:{port}/dir/status", verify=trust).status_code == 200


STARTER = """
import os, pathlib, subprocess, sys, time
folder = pathlib.Path(sys.argv[1])
if sys.argv[2] == "child":
    # As a test that runs the demo: what stays up belongs to a process of its own.
    code = "import pathlib, sys, dedl_sandbox; dedl_sandbox.up(pathlib.Path(sys.argv[1]))"
    os.environ["DEDL_SANDBOX_TIED_TO"] = str(os.getpid())
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
else:
    import dedl_sandbox
    os.environ["DEDL_SANDBOX_TIED_TO"] = str(os.getpid())
    dedl_sandbox.up(folder, attached=True)
print("up", flush=True)
time.sleep(600)
"""


@contextmanager
def starter(folder: Path, how: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", STARTER, str(folder), how]
    environment = {k: v for k, v in os.environ.items() if k != TIED_TO}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("how", ["itself", "child"])
def test_a_killed_starter_leaves_no_server_and_no_cluster_behind(tmp_path: Path, how: str) -> None:
    environments.ensure_environments()
    folder = tmp_path / "sandbox"
    with starter(folder, how) as process:
        current = state.read_state(folder)
        assert current is not None
        running = [current.supervisor, *current.services.values()]
        assert all(processes.is_alive(one) for one in running)

        process.send_signal(signal.SIGKILL)

        assert until(lambda: not any(processes.is_alive(one) for one in running), 60)
    assert not folder.exists()
    assert not (postgres.cluster_home(folder) / "postgres").exists()
