"""The files of a sandbox: what is where, what is running, its passwords, its locks."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dedl_workbook.base.errors import ServiceError
from dedl_workbook.base.files import write_atomic

from dedl_sandbox.processes import Identity

STATE = "state.json"
PORTS = "ports.json"
SECRETS = "secrets.json"
CONNECTION = "connection.env"
SUPERVISOR_LOCK = "supervisor.lock"
UP_LOCK = "up.lock"
CONTROL = "control.sock"
ACCOUNTS = "accounts"
"""Names of other accounts of this machine that may ask the STAC API and HDA itself."""
_SECRETS = (
    "postgres_password",
    "ingest_password",
    "reader_password",
    "s3_access_key",
    "s3_secret_key",
    "s3_inner_key",
    "iam_user_password",
    "iam_outsider_password",
    "iam_service_secret",
    "iam_team_secret",
    "helpdesk_admin_password",
    "helpdesk_operator_password",
    "helpdesk_submitter_password",
)


@dataclass
class SandboxState:
    """What a service may know of the others: the folder, everybody's ports, the passwords."""

    folder: Path
    ports: dict[str, int]
    secrets: dict[str, str]

    @property
    def accounts(self) -> Path:
        """Return the file of the accounts that may connect besides our own."""
        return self.folder / ACCOUNTS

    def log(self, service: str) -> Path:
        """Return the log of a service."""
        return self.folder / "logs" / f"{service}.log"


@dataclass
class State:
    """What is running, as the supervisor wrote it down."""

    supervisor: Identity
    phase: str = "starting"
    ports: dict[str, int] = field(default_factory=dict)
    services: dict[str, Identity] = field(default_factory=dict)
    endpoints: dict[str, str] = field(default_factory=dict)


def make_folder(folder: Path) -> Path:
    """Make the sandbox folder, for its owner only, and return its real path."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = folder.resolve()
    (folder / "logs").mkdir(exist_ok=True)
    return folder


def write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by its owner only."""
    write_atomic(path, text, mode=0o600)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def read_lake(folder: Path) -> SandboxState:
    """Return ports and passwords of the last time; passwords that aren't there are passwords."""
    known = _read(folder / SECRETS)
    passwords = {name: known.get(name) or secrets.token_urlsafe(24) for name in _SECRETS}
    if passwords != known:
        write_private(folder / SECRETS, json.dumps(passwords, indent=1))
    return SandboxState(folder, dict(_read(folder / PORTS)), passwords)


def write_ports(lake: SandboxState) -> None:
    """Keep the ports for the next time, so that URLs stay."""
    write_private(lake.folder / PORTS, json.dumps(lake.ports, indent=1))


def write_state(folder: Path, state: State) -> None:
    """Write down what is running."""
    write_private(folder / STATE, json.dumps(asdict(state), indent=1))


def read_state(folder: Path) -> State | None:
    """Return what was written down last, or None; whether it is still so is another question."""
    raw = _read(folder / STATE)
    try:
        services = {name: Identity(**one) for name, one in raw["services"].items()}
        return State(**raw | {"supervisor": Identity(**raw["supervisor"]), "services": services})
    except (KeyError, TypeError):
        return None


def write_connections(folder: Path, connections: dict[str, str]) -> None:
    """Write the environment of those who use the sandbox, as dotenv reads it."""
    lines = []
    for name, value in connections.items():
        quoted = value.replace("\\", "\\\\").replace("'", "\\'")
        lines.append(f"{name}='{quoted}'\n")
    write_private(folder / CONNECTION, "".join(lines))


def _try(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(path: Path, *, patience: float, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock that the kernel frees with its process; `waiting` is told of a wait.

    Raises:
        ServiceError: somebody else still holds it after `patience` seconds.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _try(handle):
            waiting()
            deadline = time.monotonic() + patience
            while not _try(handle):
                if time.monotonic() > deadline:
                    raise ServiceError(
                        "another process is starting or stopping this sandbox",
                        where=str(path),
                        remedy="Wait for it, or end it with: dedl-workbook sandbox down",
                    )
                time.sleep(0.05)
        yield
    finally:
        with suppress(OSError):
            os.close(handle)


def is_locked(path: Path) -> bool:
    """Return whether somebody holds this lock."""
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _try(handle)
    finally:
        os.close(handle)
