"""The servers of the sandbox, each one declared once."""

from __future__ import annotations

import http.client
import json
import signal
import ssl
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dedl_workbook.base.errors import ServiceError

from dedl_sandbox import databases, environments, hda, helpdesk, oidc, postgres, processes
from dedl_sandbox.state import SandboxState

BUCKET = "fresh-data-pool"
REGION = "us-east-1"
Progress = Callable[[str], None]


def _nothing(lake: SandboxState, progress: Progress) -> None:
    pass


@dataclass(frozen=True)
class Service:
    """A server: how it is started, when it is well, and what its users need to know."""

    name: str
    title: str
    ports: tuple[str, ...]
    argv: Callable[[SandboxState], list[str]]
    probe: Callable[[SandboxState], str]
    """Why it isn't well, or the empty string."""
    url: Callable[[SandboxState], str]
    environment: Callable[[SandboxState], dict[str, str]] = lambda _: {}
    folder: Callable[[SandboxState], Path] = lambda lake: lake.folder
    needs: tuple[str, ...] = ()
    prepare: Callable[[SandboxState, Progress], None] = _nothing
    """Runs before each start."""
    furnish: Callable[[SandboxState, Progress], None] = _nothing
    """Runs when it is well for the first time."""
    tidy: Callable[[SandboxState], None] = lambda _: None
    """Runs when it has ended."""
    connections: Callable[[SandboxState], dict[str, str]] = lambda _: {}
    user: Callable[[], str | None] = lambda: None
    stop: signal.Signals = signal.SIGTERM
    death: str = "KILL"


class ExitedError(ServiceError):
    """The server ended while it should have started."""


def choose_ports(service: Service, lake: SandboxState) -> None:
    """Settle the ports of a service: those of the last time, or others where they are busy."""
    for name in service.ports:
        others = {port for other, port in lake.ports.items() if other != name}
        lake.ports[name] = processes.choose_port(lake.ports.get(name), others)


def start(service: Service, lake: SandboxState) -> subprocess.Popen[bytes]:
    """Start the server; call it from a thread that lives on, or the server dies with it."""
    folder = service.folder(lake)
    folder.mkdir(parents=True, exist_ok=True)
    return processes.spawn(
        processes.step_down(service.argv(lake), service.user(), service.death),
        environment=processes.lean_environment(HOME=str(folder)) | service.environment(lake),
        folder=folder,
        log=lake.log(service.name),
    )


def await_health(
    service: Service, lake: SandboxState, process: subprocess.Popen[bytes], *, patience: float = 60
) -> None:
    """Return when the server is well, and it is this process that holds its ports.

    Raises:
        ExitedError: it ended.
        ServiceError: it isn't well after `patience` seconds.
    """
    reason = ""
    for _ in processes.wait_until(time.monotonic() + patience):
        if process.poll() is not None:
            raise ExitedError(
                f"{service.title} did not come up (exit code {process.returncode}); its log ends:\n"
                + processes.tail(lake.log(service.name)),
                where=str(lake.log(service.name)),
                remedy="Fix what the log says, then start again.",
            )
        if not all(processes.listens(process.pid, lake.ports[port]) for port in service.ports):
            reason = "it doesn't listen on its ports"
            continue
        reason = service.probe(lake)
        if not reason:
            return
    raise ServiceError(
        f"{service.title} did not come up in {patience:.0f} s: {reason}; its log ends:\n"
        + processes.tail(lake.log(service.name)),
        where=str(lake.log(service.name)),
        remedy="Fix what the log says, then start again.",
    )


def lost_a_port(service: Service, lake: SandboxState) -> bool:
    """Return whether a stranger sits on a port that a server (ended by now) was to use."""
    return not all(processes.is_free(lake.ports[name]) for name in service.ports)


def _get(
    port: int, path: str, headers: dict[str, str] | None = None, *, ca: Path | None = None
) -> tuple[int, bytes]:
    # http.client and not a bigger one: it knows no proxies, and reads no settings of the user.
    connection = (
        http.client.HTTPSConnection(
            processes.LOOPBACK, port, timeout=5, context=ssl.create_default_context(cafile=ca)
        )
        if ca
        else http.client.HTTPConnection(processes.LOOPBACK, port, timeout=5)
    )
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


# --- S3: SeaweedFS

_ROLES = ("master", "volume", "filer", "admin")
_GRPC_ROLES = ("s3", *_ROLES)
_WORKER_OFFSET = 10_000


def ca_of(folder: Path) -> Path:
    """Return the certificate authority that clients of the https endpoint must trust."""
    return folder / "ca.pem"


def _certificates(folder: Path) -> tuple[Path, Path]:
    return folder / "tls" / "server.pem", folder / "tls" / "server.key"


def _pair_admin_ports(lake: SandboxState) -> None:
    # Its worker looks for the administration exactly there, whatever -admin.port.grpc says.
    port = lake.ports["s3_admin"]
    while not processes.is_free(port + _WORKER_OFFSET):
        port = processes.choose_port(None, lake.ports.values())
    lake.ports |= {"s3_admin": port, "s3_grpc_admin": port + _WORKER_OFFSET}


def _prepare_s3(lake: SandboxState, progress: Progress) -> None:
    _pair_admin_ports(lake)
    _remove_sockets(lake)
    certificate, key = _certificates(lake.folder)
    if ca_of(lake.folder).exists() and certificate.exists() and key.exists():
        return
    import trustme

    certificate.parent.mkdir(exist_ok=True, mode=0o700)
    authority = trustme.CA(organization_name="DEDL promotion workbook, sandbox")
    issued = authority.issue_cert(processes.LOOPBACK, "localhost")
    key.touch(0o600)
    key.write_bytes(issued.private_key_pem.bytes())
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    authority.cert_pem.write_to_path(str(ca_of(lake.folder)))


def _remove_sockets(lake: SandboxState) -> None:
    """Remove what SeaweedFS leaves in /tmp, whatever TMPDIR says."""
    for role in _GRPC_ROLES:
        number = lake.ports.get(f"s3_grpc_{role}")
        if number is not None and processes.is_free(number):
            with suppress(OSError):
                Path(f"/tmp/seaweedfs-{role}-grpc-{number}.sock").unlink()  # noqa: S108


def _s3_argv(lake: SandboxState) -> list[str]:
    weed = environments.executable("weed")
    if weed is None:
        raise ServiceError("SeaweedFS isn't installed", remedy="Type: make setup")
    certificate, key = _certificates(lake.folder)
    options: dict[str, object] = {
        "dir": ".",
        "ip": processes.LOOPBACK,
        "ip.bind": processes.LOOPBACK,
        "s3.port": lake.ports["s3"],
        "s3.port.https": lake.ports["s3_https"],
        "s3.cert.file": certificate,
        "s3.key.file": key,
        # Short names: a socket's path may have no more than 107 bytes.
        "filer.localSocket": "filer.sock",
        "s3.localSocket": "s3.sock",
        "bucket": BUCKET,
        "master.telemetry": "false",
        "webdav": "false",
        "admin.ui": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.autoCreateBucket": "false",
        "s3.allowDeleteBucketNotEmpty": "false",
        "volume.preStopSeconds": 0,
    }
    for role in _ROLES:
        options[f"{role}.port"] = lake.ports[f"s3_{role}"]
    for role in _GRPC_ROLES:
        options[f"{role}.port.grpc"] = lake.ports[f"s3_grpc_{role}"]
    return [str(weed), "-logtostderr", "mini", *(f"-{k}={v}" for k, v in options.items())]


def _s3_environment(lake: SandboxState) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": lake.secrets["s3_access_key"],
        "AWS_SECRET_ACCESS_KEY": lake.secrets["s3_secret_key"],
    }


def _probe_s3(lake: SandboxState) -> str:
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    port = lake.ports["s3"]
    request = AWSRequest("GET", f"http://{processes.LOOPBACK}:{port}/")
    keys = Credentials(lake.secrets["s3_access_key"], lake.secrets["s3_secret_key"])
    S3SigV4Auth(keys, "s3", REGION).add_auth(request)
    try:
        if (status := _get(port, "/healthz")[0]) != 200:
            return f"/healthz answers {status}"
        if (status := _get(lake.ports["s3_https"], "/healthz", ca=ca_of(lake.folder))[0]) != 200:
            return f"/healthz over https answers {status}"
        # A volume server can be seconds late, and until then every PUT fails.
        topology = json.loads(_get(lake.ports["s3_master"], "/dir/status")[1])["Topology"]
        if not topology["Max"]:
            return "no volume server has registered"
        status, body = _get(port, "/", dict(request.headers.items()))
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        return str(error)
    if status != 200:
        return f"listing the buckets answers {status}"
    return "" if BUCKET.encode() in body else f"there is no bucket {BUCKET}"


def _s3_connections(lake: SandboxState) -> dict[str, str]:
    prefix = "DEDL_SANDBOX__S3__"
    return {
        f"{prefix}ENDPOINT": f"http://{processes.LOOPBACK}:{lake.ports['s3']}",
        f"{prefix}ACCESS_KEY": lake.secrets["s3_access_key"],
        f"{prefix}SECRET_KEY": lake.secrets["s3_secret_key"],
        f"{prefix}BUCKET": BUCKET,
        f"{prefix}REGION": REGION,
    }


# --- The STAC API: stac-fastapi-pgstac


def stac_api(database: str = databases.DATABASE, name: str = "stac_api") -> Service:
    """Declare a STAC API that reads a database, as a user who can't write."""
    return Service(
        name=name,
        title="The STAC API",
        ports=(name,),
        needs=("postgres",),
        argv=lambda lake: _uvicorn(
            environments.API, "stac_fastapi.pgstac.app:create_app", lake.ports[name]
        ),
        environment=lambda lake: {
            "PGHOST": processes.LOOPBACK,
            "PGPORT": str(lake.ports["postgres"]),
            "PGDATABASE": database,
            "PGUSER": databases.READER,
            "PGPASSWORD": lake.secrets["reader_password"],
        },
        probe=lambda lake: _probe_stac_api(lake.ports[name]),
        url=lambda lake: f"http://{processes.LOOPBACK}:{lake.ports[name]}",
        connections=lambda lake: {
            "DEDL_SANDBOX__STAC_API__URL": f"http://{processes.LOOPBACK}:{lake.ports[name]}"
        },
    )


def _uvicorn(environment: str, factory: str, port: int) -> list[str]:
    command = [str(environments.python_of(environment)), "-m", "uvicorn", factory, "--factory"]
    command += ["--host", processes.LOOPBACK, "--port", str(port)]
    return [*command, "--timeout-graceful-shutdown", "2"]


def _probe_stac_api(port: int) -> str:
    try:
        status, body = _get(port, "/_mgmt/ping")
        well = status == 200 and json.loads(body) == {"message": "PONG"}
    except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
        return str(error)
    return "" if well else f"/_mgmt/ping answers {status}"


SERVICES = (
    Service(
        name="postgres",
        title="PostgreSQL",
        ports=("postgres",),
        argv=postgres.argv,
        probe=postgres.probe,
        url=lambda lake: f"postgresql://{processes.LOOPBACK}:{lake.ports['postgres']}",
        folder=postgres.cluster,
        prepare=postgres.prepare,
        furnish=databases.furnish,
        connections=databases.connections,
        user=postgres.user,
        # "Fast": ends the sessions. The default waits for them.
        stop=signal.SIGINT,
        death="INT",
    ),
    Service(
        name="s3",
        title="The S3 server (SeaweedFS)",
        ports=(
            "s3",
            "s3_https",
            *(f"s3_{role}" for role in _ROLES),
            *(f"s3_grpc_{role}" for role in _GRPC_ROLES),
        ),
        argv=_s3_argv,
        environment=_s3_environment,
        probe=_probe_s3,
        url=lambda lake: f"http://{processes.LOOPBACK}:{lake.ports['s3']}",
        folder=lambda lake: lake.folder / "s3",
        prepare=_prepare_s3,
        tidy=_remove_sockets,
        connections=_s3_connections,
    ),
    Service(
        name="iam",
        title="The OpenID Connect server",
        ports=("iam",),
        argv=oidc.argv,
        environment=oidc.environment,
        folder=oidc.folder,
        probe=oidc.probe,
        url=oidc.url,
        connections=oidc.connections,
    ),
    Service(
        name="helpdesk",
        title="The help desk (Roundup)",
        ports=("helpdesk",),
        argv=helpdesk.argv,
        environment=helpdesk.environment,
        folder=helpdesk.folder,
        probe=helpdesk.probe,
        url=helpdesk.url,
        connections=helpdesk.connections,
    ),
    stac_api(),
    Service(
        name="hda",
        title="HDA (eodag)",
        ports=("hda",),
        needs=("stac_api", "s3"),
        argv=lambda lake: hda.argv(lake.ports["hda"]),
        environment=lambda lake: hda.environment(hda.folder_of(lake.folder)),
        folder=lambda lake: hda.folder_of(lake.folder),
        prepare=hda.prepare(REGION),
        probe=lambda lake: hda.probe(lake.ports["hda"]),
        url=lambda lake: f"http://{processes.LOOPBACK}:{lake.ports['hda']}",
    ),
    Service(
        name="guard",
        title="The guard of HDA",
        ports=("guard",),
        needs=("hda", "iam"),
        argv=hda.guard_command,
        probe=lambda lake: hda.probe(lake.ports["guard"]),
        url=lambda lake: f"http://{processes.LOOPBACK}:{lake.ports['guard']}",
        connections=hda.connections,
    ),
)
