"""The servers of the sandbox, each one declared once."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dedl_workbook.base.errors import ServiceError

from dedl_sandbox import databases, environments, hda, helpdesk, oidc, postgres, processes, state
from dedl_sandbox.state import SandboxState, write_private

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


# What lies in a sandbox folder, and what `wipe` may therefore remove.
_ENTRIES = (
    *(state.STATE, state.PORTS, state.SECRETS, state.CONNECTION, state.CONTROL, state.ACCOUNTS),
    *(state.SUPERVISOR_LOCK, state.UP_LOCK, "ca.pem"),
    *("logs", "tls", "s3", "hda", "iam", "helpdesk"),
)


def wipe(folder: Path) -> None:
    """Remove the data of a sandbox that is down."""
    postgres.wipe(folder)
    for entry in [*(folder / name for name in _ENTRIES), *folder.glob(".*.json.*")]:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


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
    port: int,
    path: str,
    headers: dict[str, str] | None = None,
    *,
    trust: ssl.SSLContext | None = None,
) -> tuple[int, bytes]:
    # http.client and not a bigger one: it knows no proxies, and reads no settings of the user.
    connection = (
        http.client.HTTPSConnection(processes.LOOPBACK, port, timeout=5, context=trust)
        if trust
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
_GRPC_PARTS = (*_GRPC_ROLES, "worker", "client", "msg_broker", "mq")
_JWTS = ("signing", "filer_signing", "filer_signing.read")
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
    (lake.folder / "tls").mkdir(exist_ok=True, mode=0o700)
    certificate, key = _certificates(lake.folder)
    _certify(ca_of(lake.folder), certificate, key)
    inner = _inner(lake.folder)
    _certify(*inner)
    write_private(lake.folder / "s3" / "security.toml", _security(lake, *map(str, inner)))


def _certify(authority_file: Path, certificate: Path, key: Path) -> None:
    """Make an authority and a certificate of the loopback address, where there are none."""
    if authority_file.exists() and certificate.exists() and key.exists():
        return
    import trustme

    authority = trustme.CA(organization_name="DEDL promotion workbook, sandbox")
    issued = authority.issue_cert(processes.LOOPBACK, "localhost")
    write_private(key, issued.private_key_pem.bytes().decode())
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    authority.cert_pem.write_to_path(str(authority_file))


def _inner(folder: Path) -> tuple[Path, Path, Path]:
    """Return authority, certificate and key by which SeaweedFS's parts know one another."""
    return tuple(folder / "tls" / name for name in ("inner-ca.pem", "inner.pem", "inner.key"))  # type: ignore[return-value]


def _security(lake: SandboxState, authority: str, certificate: str, key: str) -> str:
    """Return SeaweedFS's security.toml: all of its ports but S3's own want a certificate of ours.

    They ask for nothing by default, so that any process of this machine could read the pool, or
    make itself an S3 administrator.
    """
    secret = lake.secrets["s3_inner_key"]
    sections: dict[str, dict[str, str | bool]] = {
        **{f"jwt.{name}": {"key": secret} for name in _JWTS},
        "cors.allowed_origins": {"values": "none"},
        "grpc": {"ca": authority},
        **{f"grpc.{name}": {"cert": certificate, "key": key} for name in _GRPC_PARTS},
        **{f"https.{name}": {"cert": certificate, "key": key, "ca": authority} for name in _ROLES},
        "https.client": {"enabled": True, "cert": certificate, "key": key, "ca": authority},
    }
    return "\n".join(
        f"[{name}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items())
        for name, values in sections.items()
    )


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
        outer = ssl.create_default_context(cafile=ca_of(lake.folder))
        if (status := _get(lake.ports["s3_https"], "/healthz", trust=outer)[0]) != 200:
            return f"/healthz over https answers {status}"
        # A volume server can be seconds late, and until then every PUT fails.
        authority, certificate, key = _inner(lake.folder)
        inner = ssl.create_default_context(cafile=authority)
        inner.load_cert_chain(certificate, key)
        status, body = _get(lake.ports["s3_master"], "/dir/status", trust=inner)
        topology = json.loads(body)["Topology"]
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
        argv=lambda lake: environments.gated(
            environments.API,
            "stac_fastapi.pgstac.app:create_app",
            lake.ports[name],
            "--factory",
            f"--accounts={lake.accounts}",
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
        argv=lambda lake: hda.argv(lake.ports["hda"], lake.accounts),
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
